//! The audit log: one JSON value a line.

use api::Name;
use api::control::{AuditEntry, AuditVerdict, Kind, Verb};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Control;
use super::answer::{NDJSON, Parameters, Refusal};
use super::caller::{Caller, Rules, Wish};
use super::resources::name;
use crate::audit;

/// Lines in one answer.
const PAGE: u32 = 500;

/// Which lines.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Lines after this sequence.
    #[serde(default)]
    after: u64,
}

/// The audit log of an organization, as it was written.
#[utoipa::path(get, path = "/v1/organizations/{organization}/audit", tag = "audit",
    params(("organization" = Name, Path, description = "The organization"), AuditQuery),
    responses((status = 200, description = "At most 500 lines, the oldest first", body = AuditEntry, content_type = "application/x-ndjson")))]
pub(super) async fn audit(
    State(control): State<Control>,
    caller: Caller,
    Path(organization): Path<String>,
    Parameters(query): Parameters<AuditQuery>,
) -> Result<Response, Refusal> {
    let organization = name(&organization)?;
    let (who, rules) = (caller.clone(), Rules::for_read(&control));
    let read = caller.read(&control, move |transaction| {
        who.may(&rules, transaction, &reading(&organization))?;
        Ok(transaction.audit(Some(&organization), query.after, PAGE)?)
    });
    Ok(lines(read.await?))
}

/// The whole audit log, as it was written: also what belongs to no organization, such as sign-ins that were refused.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, description = "At most 500 lines, the oldest first", body = AuditEntry, content_type = "application/x-ndjson")))]
pub(super) async fn all(
    State(control): State<Control>,
    caller: Caller,
    Parameters(query): Parameters<AuditQuery>,
) -> Result<Response, Refusal> {
    let (who, rules) = (caller.clone(), Rules::for_read(&control));
    let read = caller.read(&control, move |transaction| {
        who.may(&rules, transaction, &WHOLE)?;
        Ok(transaction.audit(None, query.after, PAGE)?)
    });
    Ok(lines(read.await?))
}

fn lines(found: Vec<(u64, String)>) -> Response {
    let text: String = found.into_iter().map(|(_, line)| line + "\n").collect();
    ([(CONTENT_TYPE, NDJSON)], text).into_response()
}

/// Looks at the whole chain of the audit log.
#[utoipa::path(post, path = "/v1/audit/verify", tag = "audit", responses((status = 200, body = AuditVerdict)))]
pub(super) async fn verify(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<AuditVerdict>, Refusal> {
    let (who, rules) = (caller.clone(), Rules::for_read(&control));
    let verdict = caller.read(&control, move |transaction| {
        who.may(&rules, transaction, &WHOLE)?;
        Ok(audit::verify(transaction)?)
    });
    Ok(Json(verdict.await?))
}

/// The same for who may see the lines of an organization: the chain is one for all, and of the others only its length is told.
#[utoipa::path(post, path = "/v1/organizations/{organization}/audit/verify", tag = "audit",
    params(("organization" = Name, Path, description = "The organization")),
    responses((status = 200, body = AuditVerdict)))]
pub(super) async fn verify_for(
    State(control): State<Control>,
    caller: Caller,
    Path(organization): Path<String>,
) -> Result<Json<AuditVerdict>, Refusal> {
    let organization = name(&organization)?;
    let (who, rules) = (caller.clone(), Rules::for_read(&control));
    let verdict = caller.read(&control, move |transaction| {
        who.may(&rules, transaction, &reading(&organization))?;
        Ok(audit::verify(transaction)?)
    });
    Ok(Json(verdict.await?))
}

/// What is of all organizations and of none is its host's.
const WHOLE: Wish<'static> =
    Wish { verb: Verb::Get, kind: Kind::Organization, organization: None, name: None };

/// Who may change roles may see what they let happen.
fn reading(organization: &Name) -> Wish<'_> {
    Wish { verb: Verb::Update, kind: Kind::Role, organization: Some(organization), name: None }
}
