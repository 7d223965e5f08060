//! Requests in, answers out: JSON bodies, queries, and errors that all have one form.

use api::{ErrorBody, Problem, ProblemCode};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, body};
use serde::de::DeserializeOwned;

use super::MAX_BODY;
use crate::store::StoreError;

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    problem: Box<Problem>,
}

impl Refusal {
    pub(super) fn with_status(status: StatusCode, problem: Problem) -> Self {
        Self { status, problem: Box::new(problem) }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::with_status(status_of(problem.code), problem)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Problem::from(error).into()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::warn!(problem = %self.problem, causes = ?self.problem.causes, "a request failed");
        }
        (self.status, Json(ErrorBody { problem: *self.problem })).into_response()
    }
}

/// The status that goes with a code: whose fault it is.
fn status_of(code: ProblemCode) -> StatusCode {
    match code {
        ProblemCode::InvalidRequest => StatusCode::BAD_REQUEST,
        ProblemCode::EnvironmentNotFound | ProblemCode::DockerNotFound => StatusCode::NOT_FOUND,
        ProblemCode::Conflict
        | ProblemCode::NameTaken
        | ProblemCode::NotRunning
        | ProblemCode::OwnedByEnvironment
        | ProblemCode::DockerInUse => StatusCode::CONFLICT,
        ProblemCode::VolumeElsewhere => StatusCode::UNPROCESSABLE_ENTITY,
        ProblemCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        // Codes are grouped: E01xx is what a person wrote, later ones the world.
        code if code.as_str().starts_with("E01") => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A body of JSON.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        let bytes = body::to_bytes(request.into_body(), MAX_BODY).await.map_err(|error| {
            let problem = Problem::new(
                ProblemCode::InvalidRequest,
                format!("the request's body broke off or is longer than {MAX_BODY} bytes"),
            );
            Refusal::with_status(StatusCode::PAYLOAD_TOO_LARGE, problem.caused_by(&error))
        })?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            // The error says the line and column, and what was expected there.
            Problem::new(ProblemCode::InvalidRequest, "the request's body is not what this route takes")
                .caused_by(&error)
                .into()
        })
    }
}

/// The query behind the path.
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|error| {
            Problem::new(ProblemCode::InvalidRequest, "the query of the request cannot be read")
                .caused_by(&error)
                .into()
        })
    }
}

pub(super) async fn no_route(method: Method, uri: Uri) -> Refusal {
    let problem =
        Problem::new(ProblemCode::InvalidRequest, format!("there is no route {method} {}", uri.path()))
            .with_hint("`GET /v1/openapi.json` lists the routes");
    Refusal::with_status(StatusCode::NOT_FOUND, problem)
}

pub(super) async fn no_method(method: Method, uri: Uri) -> Refusal {
    let title = format!("{} does not take {method}", uri.path());
    Refusal::with_status(StatusCode::METHOD_NOT_ALLOWED, Problem::new(ProblemCode::InvalidRequest, title))
}
