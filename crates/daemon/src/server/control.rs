//! Routes about the control plane that this computer belongs to, if it does.

use api::{ControlReport, ErrorBody, JoinRequest, Membership};
use axum::Json;
use axum::extract::State;
use jiff::Timestamp;

use super::Api;
use super::answer::{Body, Refusal};

/// The control plane that this computer belongs to.
#[utoipa::path(get, path = "/v1/control", tag = "control",
    responses((status = 200, body = ControlReport), (status = "default", body = ErrorBody)))]
pub(super) async fn show(State(api): State<Api>) -> Result<Json<ControlReport>, Refusal> {
    Ok(Json(ControlReport { membership: api.control.membership()? }))
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
    Ok(Json(ControlReport { membership: api.control.leave().await? }))
}
