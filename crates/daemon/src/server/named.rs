//! What is asked in somebody's name leaves a line in the daemon's log.
//!
//! A person's own commands give no name. Who acts for a person does, as the header `User-Agent`: the server of the Model
//! Context Protocol says which program called which of its tools.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::middleware::Next;
use axum::response::Response;

/// Longest name that is written, in characters.
const MOST: usize = 200;

/// In whose name a client asks, as it says itself.
pub(super) fn name(headers: &HeaderMap) -> Option<String> {
    let name = headers.get(USER_AGENT)?.to_str().ok()?;
    Some(name.chars().take(MOST).collect())
}

/// Answers, and writes who asked for what and how that went.
pub(super) async fn log(request: Request, next: Next) -> Response {
    let Some(name) = name(request.headers()) else {
        return next.run(request).await;
    };
    let call = format!("{} {}", request.method(), request.uri().path());
    let response = next.run(request).await;
    tracing::info!(client = name, call, status = response.status().as_u16(), "asked in somebody's name");
    response
}
