//! Conflicts between what people said here and on a runner.

use api::Name;
use api::control::{Document, DraftMetadata, EnvironmentSpec, Kind, Metadata, Settlement, Verb};
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize as _;

use super::Control;
use super::answer::{Body, Refusal};
use super::caller::{Caller, Rules, Wish};
use super::resources::name;
use crate::audit::{self, Told};
use crate::resources::{self, Proposal};
use crate::store::StoreError;

/// Says what counts of a field that two sides changed without knowing of each other.
#[utoipa::path(put, path = "/v1/organizations/{organization}/environments/{name}/settle", tag = "resources",
    params(("organization" = Name, Path, description = "The organization"), ("name" = Name, Path, description = "The environment")), request_body = Settlement,
    responses((status = 200, body = Document)))]
pub(super) async fn settle(
    State(control): State<Control>,
    caller: Caller,
    Path((organization, wanted)): Path<(String, String)>,
    Body(mut settlement): Body<Settlement>,
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
        let mut because = who.may(&rules, transaction, &wish)?;
        let document = resources::find(transaction, Kind::Environment, &organization, &wanted)?;
        // It is a change like any other. What would be no environment is told by the turn.
        if let Some(mut proposal) = proposal(&document, &settlement)? {
            because = who.may_carry_out(&rules, transaction, &proposal)?;
            resources::hold(transaction, &mut proposal).map_err(|error| who.refused(error, &wish))?;
            // With what policies fill in.
            let held = EnvironmentSpec::deserialize(&proposal.spec).map_err(StoreError::from)?;
            if let Some(value) = held.fields(&wanted).remove(&settlement.field) {
                settlement.value = value;
            }
        }
        let turn = fleet.turn(transaction, &organization, now)?;
        let settled = turn.settle(&document, &settlement.field, settlement.value)?;
        let resource_version = Some(settled.metadata.resource_version);
        let line = who.line("settle", &wish);
        audit::append(transaction, now, Told { allowed: true, because, resource_version, ..line })?;
        Ok(settled)
    });
    Ok(Json(settled.await?))
}

/// The environment as it is after that.
fn proposal(document: &Document, settlement: &Settlement) -> Result<Option<Proposal>, StoreError> {
    let Metadata { name, organization, labels, .. } = &document.metadata;
    let mut fields = EnvironmentSpec::deserialize(&document.spec)?.fields(name);
    if settlement.value.is_null() {
        fields.remove(&settlement.field);
    } else {
        fields.insert(settlement.field.clone(), settlement.value.clone());
    }
    let Ok((_, spec)) = EnvironmentSpec::of_fields(&fields) else { return Ok(None) };
    Ok(Some(Proposal {
        organization: organization.clone(),
        kind: document.kind,
        metadata: DraftMetadata {
            name: name.clone(),
            organization: None,
            labels: labels.clone(),
            resource_version: None,
        },
        spec: serde_json::to_value(spec)?,
        present: Some(document.clone()),
    }))
}
