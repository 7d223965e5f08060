//! What everybody may know.

use api::control::ServerInfo;
use axum::Json;

/// The server's version. Needs nobody to be signed in: programs look here whether they fit.
pub(super) async fn info() -> Json<ServerInfo> {
    Json(ServerInfo { version: env!("CARGO_PKG_VERSION").to_owned(), issuer: None, problem: None })
}
