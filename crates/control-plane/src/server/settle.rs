//! Conflicts between what people said here and on a runner.

use api::control::{Document, Kind, Settlement, Verb};
use axum::Json;
use axum::extract::{Path, State};

use super::Control;
use super::answer::{Body, Refusal};
use super::caller::{Caller, Rules, Wish};
use super::resources::name;
use crate::audit::{self, Told};
use crate::resources;

/// Says what counts of a field that two sides changed without knowing of each other.
pub(super) async fn settle(
    State(control): State<Control>,
    caller: Caller,
    Path((organization, wanted)): Path<(String, String)>,
    Body(settlement): Body<Settlement>,
) -> Result<Json<Document>, Refusal> {
    let (organization, wanted) = (name(&organization)?, name(&wanted)?);
    let (who, rules, now) = (caller.clone(), Rules::for_write(&control), (control.now)());
    let fleet = control.fleet.clone();
    let settled = caller.write(&control, move |transaction| {
        let wish = Wish {
            verb: Verb::Update,
            kind: Kind::Environment,
            organization: Some(&organization),
            name: Some(&wanted),
        };
        let because = who.may(&rules, transaction, &wish)?;
        let document = resources::find(transaction, Kind::Environment, &organization, &wanted)?;
        let turn = fleet.turn(transaction, &organization, now)?;
        let settled = turn.settle(&document, &settlement.field, settlement.value)?;
        let resource_version = Some(settled.metadata.resource_version);
        let line = who.line("settle", &wish);
        audit::append(transaction, now, Told { allowed: true, because, resource_version, ..line })?;
        Ok(settled)
    });
    Ok(Json(settled.await?))
}
