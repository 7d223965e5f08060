//! Routes to the bundle that a person can send to somebody who helps.

use api::{DiagnosticsPreview, ErrorBody};
use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Api;
use super::answer::{Parameters, Refusal};

/// Which bundle.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BundleQuery {
    /// The one that was shown under this id, byte for byte; a new one if absent.
    shown: Option<String>,
}

/// Everything that a bundle would have, to be read before it is sent. Secrets, tokens, addresses and names of the person
/// are taken out.
#[utoipa::path(get, path = "/v1/diagnostics/preview", tag = "daemon",
    responses((status = 200, body = DiagnosticsPreview), (status = "default", body = ErrorBody)))]
pub(super) async fn preview(State(api): State<Api>) -> Result<Json<DiagnosticsPreview>, Refusal> {
    Ok(Json(api.diagnostics.preview().await?.as_ref().clone()))
}

/// The same as a gzipped tar. Nothing is sent anywhere else.
#[utoipa::path(get, path = "/v1/diagnostics/bundle", tag = "daemon", params(BundleQuery),
    responses(
        (status = 200, description = "The archive", content_type = "application/gzip"),
        (status = 409, description = "What was shown is not kept any more", body = ErrorBody),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn bundle(
    State(api): State<Api>,
    Parameters(query): Parameters<BundleQuery>,
) -> Result<Response, Refusal> {
    let archive = api.diagnostics.bundle(query.shown.as_deref()).await?;
    let headers = [
        (CONTENT_TYPE, "application/gzip"),
        (CONTENT_DISPOSITION, "attachment; filename=\"cove-diagnostics.tar.gz\""),
    ];
    Ok((headers, archive).into_response())
}
