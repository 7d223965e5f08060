//! Routes about the daemon itself.

use api::{Diagnosis, Version};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{Api, openapi};

/// Who answers.
#[utoipa::path(get, path = "/v1/version", tag = "daemon", responses((status = 200, body = Version)))]
pub(super) async fn version() -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: api::API_VERSION.to_owned(),
        pid: std::process::id(),
    })
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "daemon", responses((status = 200, description = "OpenAPI 3.1")))]
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(openapi::document())
}

/// Looks at everything Cove needs on this computer.
#[utoipa::path(get, path = "/v1/doctor", tag = "daemon", responses((status = 200, body = Diagnosis)))]
pub(super) async fn doctor(State(api): State<Api>) -> Json<Diagnosis> {
    Json((api.diagnose)().await)
}

/// Ends the daemon. Machines and environments run on.
#[utoipa::path(post, path = "/v1/shutdown", tag = "daemon",
    responses((status = 202, description = "It ends once the requests under way are answered")))]
pub(super) async fn shut_down(State(api): State<Api>) -> StatusCode {
    tracing::info!("asked to end");
    api.shutdown.cancel();
    StatusCode::ACCEPTED
}
