//! Who asks.

use std::collections::BTreeMap;

use api::control::{Kind, Me, Verb};
use axum::Json;
use axum::extract::State;

use super::Control;
use super::answer::Refusal;
use super::caller::{Caller, Failed, Rules};

/// Who asks, and what they may.
#[utoipa::path(get, path = "/v1/me", tag = "people", responses((status = 200, body = Me)))]
pub(super) async fn me(State(control): State<Control>, caller: Caller) -> Result<Json<Me>, Refusal> {
    let (who, rules) = (caller.clone(), Rules::for_read(&control));
    let permits = caller.read(&control, move |transaction| -> Result<_, Failed> {
        let Some(organization) = who.organization() else {
            return Ok(Kind::ALL.map(|kind| (kind, Verb::ALL.to_vec())).into());
        };
        Ok(rules.of(transaction, organization)?.permits(&who.asker()))
    });
    let permits: BTreeMap<Kind, Vec<Verb>> = permits.await?;
    let (scope, expires_at) = match &caller {
        Caller::Person(person) => (person.scope.clone(), Some(person.expires_at)),
        Caller::Host | Caller::Runner(_) => (None, None),
    };
    let organization = caller.organization().cloned();
    Ok(Json(Me { principal: caller.principal(), organization, scope, expires_at, permits }))
}
