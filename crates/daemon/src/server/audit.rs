//! Routes about the audit log. There is none to change it.

use api::{AuditCheck, AuditRecord, ErrorBody};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use futures::StreamExt;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;

use super::answer::{Parameters, Refusal};
use super::{Api, environments, logs};

/// Which lines.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Of this environment, by name or id; of everything if absent.
    environment: Option<String>,
    /// Whether new lines follow as they are written.
    #[serde(default)]
    follow: bool,
    /// At most so many of the last lines there are; all if absent.
    tail: Option<u32>,
}

/// Who was let do what, one line each.
#[utoipa::path(get, path = "/v1/audit", tag = "audit",
    params(AuditQuery),
    responses(
        (status = 200, body = AuditRecord, content_type = "application/x-ndjson"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn read(
    State(api): State<Api>,
    Parameters(query): Parameters<AuditQuery>,
) -> Result<Response, Refusal> {
    let named = query.environment.as_deref().map(|name| environments::find(&api.store, name));
    let of = named.transpose()?.map(|environment| environment.id);
    // Listened to first, so that no line is between the two.
    let news = query.follow.then(|| api.audit.follow());
    let before = api.audit.read(of.clone(), query.tail).await?;
    let mut last = before.last().map_or(0, |record| record.sequence);
    let after = futures::stream::unfold(news, |news| async move {
        let mut news = news?;
        loop {
            match news.recv().await {
                Ok(record) => return Some((record, Some(news))),
                // A client that is that slow sees a gap in the sequence.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let after = after.filter(move |record: &AuditRecord| {
        let is_of = of.is_none() || record.environment.as_ref().map(|it| &it.id) == of.as_ref();
        let is_new = record.sequence > last;
        last = last.max(record.sequence);
        std::future::ready(is_of && is_new)
    });
    Ok(logs::stream(futures::stream::iter(before).chain(after), api.shutdown))
}

/// Whether every line is bound to the one before.
#[utoipa::path(get, path = "/v1/audit/check", tag = "audit",
    responses((status = 200, body = AuditCheck), (status = "default", body = ErrorBody)))]
pub(super) async fn check(State(api): State<Api>) -> Result<Json<AuditCheck>, Refusal> {
    Ok(Json(api.audit.verify().await?))
}
