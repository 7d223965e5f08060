//! Routes that stream logs, one JSON object a line.

use api::{ContainerLogLine, ErrorBody, MachineLogLine};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures::{FutureExt, Stream, StreamExt};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::answer::{Parameters, Refusal};
use super::{Api, LogRange, environments, machine};

/// Media type of one JSON value a line.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// Bytes after which values that come close together travel without waiting for more of them.
const MOST_TOGETHER: usize = 64 * 1024;

/// Which lines of the machine.
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
        Self { follow: query.follow, tail: query.tail, longest: None }
    }
}

/// Which lines of programs.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LineQuery {
    /// Whether new lines follow as they are written.
    #[serde(default)]
    follow: bool,
    /// At most so many of the last lines there are; all if absent.
    tail: Option<u32>,
    /// Bytes after which a line is cut, and the rest of it left out. Absent: one of more than 64 KiB comes in pieces.
    longest: Option<u32>,
}

impl From<LineQuery> for LogRange {
    fn from(query: LineQuery) -> Self {
        Self { follow: query.follow, tail: query.tail, longest: query.longest }
    }
}

/// What the main container of an environment wrote.
#[utoipa::path(get, path = "/v1/environments/{environment}/logs", tag = "environments",
    params(("environment" = String, Path, description = "Name or id"), LineQuery),
    responses(
        (status = 200, body = ContainerLogLine, content_type = "application/x-ndjson"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn of_environment(
    State(api): State<Api>,
    Path(environment): Path<String>,
    Parameters(query): Parameters<LineQuery>,
) -> Result<Response, Refusal> {
    let found = environments::find(&api.store, &environment)?;
    let lines = api.environments.logs(&found, query.into()).await?;
    Ok(stream(lines, api.shutdown))
}

/// What a task or service of an environment wrote, as far as its log is kept. Only while its container runs.
#[utoipa::path(get, path = "/v1/environments/{environment}/automations/{kind}/{name}/logs", tag = "environments",
    params(
        ("environment" = String, Path, description = "Name or id"),
        ("kind" = String, Path, description = "`services` or `tasks`"),
        ("name" = String, Path, description = "Its name in its file"),
        LineQuery,
    ),
    responses(
        (status = 200, body = ContainerLogLine, content_type = "application/x-ndjson"),
        (status = 409, description = "The environment does not run", body = ErrorBody),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn of_automation(
    State(api): State<Api>,
    Path((environment, kind, name)): Path<(String, String, String)>,
    Parameters(query): Parameters<LineQuery>,
) -> Result<Response, Refusal> {
    let found = environments::find(&api.store, &environment)?;
    let item = format!("{kind}/{name}");
    environments::has_automation(&found, &item)?;
    let lines = api.environments.automation_logs(&found, &item, query.into()).await?;
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
    let values = values.take_until(shutdown.cancelled_owned()).fuse();
    let chunks = futures::stream::unfold(Box::pin(values), |mut values| async move {
        let mut next = Some(values.next().await?);
        let (mut text, mut written) = (Vec::new(), Ok(()));
        while let Some(value) = next.take() {
            written = serde_json::to_writer(&mut text, &value);
            text.push(b'\n');
            if written.is_ok() && text.len() < MOST_TOGETHER {
                next = values.next().now_or_never().flatten();
            }
        }
        Some((written.map(|()| text), values))
    });
    ([(CONTENT_TYPE, NDJSON)], Body::from_stream(chunks)).into_response()
}
