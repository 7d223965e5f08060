//! Routes about the control plane that this computer belongs to, if it does.

use api::control::Settlement;
use api::{ControlReport, ErrorBody, JoinRequest, Membership};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;

use super::Api;
use super::answer::{Body, Refusal};
use super::environments::find;

/// The control plane that this computer belongs to.
#[utoipa::path(get, path = "/v1/control", tag = "control",
    responses((status = 200, body = ControlReport), (status = "default", body = ErrorBody)))]
pub(super) async fn show(State(api): State<Api>) -> Result<Json<ControlReport>, Refusal> {
    Ok(Json(ControlReport { membership: api.control.membership()?, sync: api.sync.report() }))
}

/// Makes this computer a runner of a control plane.
#[utoipa::path(post, path = "/v1/control", tag = "control", request_body = JoinRequest,
    responses(
        (status = 200, body = Membership),
        (status = 409, description = "It belongs to one already", body = ErrorBody),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn join(
    State(api): State<Api>,
    Body(asked): Body<JoinRequest>,
) -> Result<Json<Membership>, Refusal> {
    Ok(Json(api.control.join(&asked, Timestamp::now()).await?))
}

/// Ends that. The server hears nothing of it, and what runs here runs on.
#[utoipa::path(delete, path = "/v1/control", tag = "control",
    responses((status = 200, body = ControlReport, description = "What it was"), (status = "default", body = ErrorBody)))]
pub(super) async fn leave(State(api): State<Api>) -> Result<Json<ControlReport>, Refusal> {
    Ok(Json(ControlReport { membership: api.control.leave().await?, sync: api.sync.report() }))
}

/// This computer is the runner, where another with a copy of its disk has taken its place: that one falls silent.
#[utoipa::path(post, path = "/v1/control/insist", tag = "control",
    responses((status = 204), (status = "default", body = ErrorBody)))]
pub(super) async fn insist(State(api): State<Api>) -> Result<StatusCode, Refusal> {
    api.sync.insist().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Settles a field of an environment that this computer and the control plane changed without knowing of each other.
#[utoipa::path(put, path = "/v1/control/environments/{environment}/fields", tag = "control",
    params(("environment" = String, Path, description = "Name or id")),
    request_body = Settlement,
    responses((status = 204), (status = "default", body = ErrorBody)))]
pub(super) async fn settle(
    State(api): State<Api>,
    Path(environment): Path<String>,
    Body(asked): Body<Settlement>,
) -> Result<StatusCode, Refusal> {
    let found = find(&api.store, &environment)?;
    api.sync.settle(found.id, asked.field, asked.value).await?;
    Ok(StatusCode::NO_CONTENT)
}
