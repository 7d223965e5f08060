//! What everybody may know.

use std::sync::LazyLock;

use api::control::ServerInfo;
use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

use super::{Control, openapi};

/// The server's version. Needs nobody to be signed in: programs look here whether they fit.
#[utoipa::path(get, path = "/v1/info", tag = "server", security(()), responses((status = 200, body = ServerInfo)))]
pub(super) async fn info(State(control): State<Control>) -> Json<ServerInfo> {
    let issuer = control.provider.as_ref().map(|provider| provider.issuer().to_owned());
    Json(ServerInfo { version: env!("CARGO_PKG_VERSION").to_owned(), issuer, problem: None })
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "server", security(()),
    responses((status = 200, body = serde_json::Value)))]
pub(super) async fn document() -> impl IntoResponse {
    static DOCUMENT: LazyLock<String> = LazyLock::new(openapi::json);
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}
