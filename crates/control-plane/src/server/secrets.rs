//! Whom a secret is to be sealed to.

use api::Name;
use api::control::{Draft, DraftMetadata, Kind, Recipient, SecretSpec};
use axum::Json;
use axum::extract::{Path, State};

use super::Control;
use super::answer::{Body, Refusal};
use super::caller::{Caller, Rules};
use super::resources::name;
use crate::resources;
use crate::store::{StoreError, Transaction};

/// The runners that a secret is to be sealed to, and their keys. Who may make it, or change it to this, may know them; what is
/// sealed already is passed over.
#[utoipa::path(post, path = "/v1/organizations/{organization}/secrets/{name}/recipients", tag = "resources",
    params(("organization" = Name, Path, description = "The organization"), ("name" = Name, Path, description = "The secret")), request_body = SecretSpec,
    responses((status = 200, body = [Recipient])))]
pub(super) async fn recipients(
    State(control): State<Control>,
    caller: Caller,
    Path((organization, secret)): Path<(String, String)>,
    Body(wanted): Body<SecretSpec>,
) -> Result<Json<Vec<Recipient>>, Refusal> {
    let (organization, secret) = (name(&organization)?, name(&secret)?);
    let (who, rules) = (caller.clone(), Rules::for_read(&control));
    let found = caller.read(&control, move |transaction: &mut dyn Transaction| {
        let scope = wanted.scope.clone();
        let draft = draft(secret, wanted)?;
        let proposal = resources::propose(transaction, &organization, draft)?;
        who.may_carry_out(&rules, transaction, &proposal)?;
        resources::find(transaction, Kind::Organization, &organization, &organization)?;
        Ok(resources::recipients(transaction, &organization, &scope)?)
    });
    Ok(Json(found.await?))
}

fn draft(name: Name, spec: SecretSpec) -> Result<Draft, StoreError> {
    let spec = serde_json::to_value(SecretSpec { sealed: Vec::new(), ..spec })?;
    Ok(Draft { kind: Kind::Secret, metadata: DraftMetadata::named(name), spec })
}
