//! Routes that stream logs, one JSON object a line.

use api::{ContainerLogLine, ErrorBody, MachineLogLine};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::answer::{Parameters, Refusal};
use super::{Api, LogRange, environments, machine};

/// Media type of one JSON value a line.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// Which lines.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// Whether new lines follow as they are written.
    #[serde(default)]
    pub(super) follow: bool,
    /// At most so many of the last lines there are; all if absent.
    pub(super) tail: Option<u32>,
}

impl From<LogQuery> for LogRange {
    fn from(query: LogQuery) -> Self {
        Self { follow: query.follow, tail: query.tail }
    }
}

/// What the main container of an environment wrote.
#[utoipa::path(get, path = "/v1/environments/{environment}/logs", tag = "environments",
    params(("environment" = String, Path, description = "Name or id"), LogQuery),
    responses(
        (status = 200, body = ContainerLogLine, content_type = "application/x-ndjson"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn of_environment(
    State(api): State<Api>,
    Path(environment): Path<String>,
    Parameters(query): Parameters<LogQuery>,
) -> Result<Response, Refusal> {
    let found = environments::find(&api.store, &environment)?;
    let lines = api.environments.logs(&found, query.into()).await?;
    Ok(stream(lines, api.shutdown))
}

/// What the parts of the machine wrote.
#[utoipa::path(get, path = "/v1/machines/{machine}/logs", tag = "machines",
    params(("machine" = String, Path, description = "Its name: `default`"), LogQuery),
    responses(
        (status = 200, body = MachineLogLine, content_type = "application/x-ndjson"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn of_machine(
    State(api): State<Api>,
    Path(machine): Path<String>,
    Parameters(query): Parameters<LogQuery>,
) -> Result<Response, Refusal> {
    machine::exists(&machine)?;
    let lines = api.machine.logs(query.into()).await?;
    Ok(stream(lines, api.shutdown))
}

/// An answer that goes on for as long as there are values, and at most until the daemon ends. Values that come close
/// together travel together.
pub(super) fn stream<T: Serialize + Send + 'static>(
    values: impl Stream<Item = T> + Send + 'static,
    shutdown: CancellationToken,
) -> Response {
    let chunks = values.take_until(shutdown.cancelled_owned()).ready_chunks(64).map(|values| {
        let mut text = Vec::new();
        for value in values {
            serde_json::to_writer(&mut text, &value)?;
            text.push(b'\n');
        }
        Ok::<_, serde_json::Error>(text)
    });
    ([(CONTENT_TYPE, NDJSON)], Body::from_stream(chunks)).into_response()
}
