//! The route to what happened before.

use api::{ErrorBody, EventPage};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::Api;
use super::answer::{Parameters, Refusal};
use crate::store::EventQuery;

/// Events of an answer when nobody says how many.
const USUAL: u32 = 100;

/// Most events of one answer.
const MOST: u32 = 500;

/// Which events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// Only those with a smaller sequence; the latest if absent.
    before: Option<u64>,
    /// At most so many: 100 if absent, never more than 500.
    limit: Option<u32>,
    /// Only events of the environment with this id, or of the machine with this name.
    object: Option<String>,
}

/// What happened, the newest first: steps with their ends, warnings, and resources that went. Lines of output, progress
/// and mere changes are not kept for this; `/v1/watch` tells them as they happen.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(HistoryQuery),
    responses((status = 200, body = EventPage), (status = "default", body = ErrorBody)))]
pub(super) async fn history(
    State(api): State<Api>,
    Parameters(query): Parameters<HistoryQuery>,
) -> Result<Json<EventPage>, Refusal> {
    let limit = query.limit.unwrap_or(USUAL).clamp(1, MOST);
    let asked = EventQuery { before: query.before, object: query.object.as_deref(), limit };
    Ok(Json(api.store.history(&asked)?))
}
