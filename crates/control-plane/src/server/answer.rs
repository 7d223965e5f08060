//! Requests in, answers out: JSON bodies, queries, and errors that all have one form.

use api::{ErrorBody, Problem, ProblemCode};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::RETRY_AFTER;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Json, body};
use http_body_util::LengthLimitError;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

/// Longest body, in bytes: some ten resources of the largest size.
const MAX_BODY: usize = 10 << 20;

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Refusal {
    problem: Box<Problem>,
    /// When it may be asked again, in seconds.
    retry_after: Option<u64>,
}

impl<T: Into<Problem>> From<T> for Refusal {
    fn from(problem: T) -> Self {
        Self { problem: Box::new(problem.into()), retry_after: None }
    }
}

impl Refusal {
    /// One that is none after so many seconds.
    pub(super) fn later(problem: Problem, seconds: u64) -> Self {
        Self { problem: Box::new(problem), retry_after: Some(seconds) }
    }

    /// What kept it from being done.
    pub(super) fn problem(&self) -> &Problem {
        &self.problem
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { problem, retry_after } = self;
        let status = status_of(problem.code);
        if status.is_server_error() {
            tracing::warn!(%problem, causes = ?problem.causes, "a request failed");
        }
        let mut answer = (status, Json(ErrorBody { problem: *problem })).into_response();
        if let Some(seconds) = retry_after {
            answer.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        answer
    }
}

/// The status that goes with a code: whose fault it is.
fn status_of(code: ProblemCode) -> StatusCode {
    match code {
        ProblemCode::InvalidRequest => StatusCode::BAD_REQUEST,
        ProblemCode::NotSignedIn | ProblemCode::CertificateRefused | ProblemCode::EnrolmentRefused => {
            StatusCode::UNAUTHORIZED
        }
        ProblemCode::NotAllowed | ProblemCode::PolicyForbids | ProblemCode::SignInRefused => {
            StatusCode::FORBIDDEN
        }
        ProblemCode::ResourceNotFound => StatusCode::NOT_FOUND,
        ProblemCode::Conflict | ProblemCode::ResourceInUse | ProblemCode::LastAdministrator => {
            StatusCode::CONFLICT
        }
        ProblemCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ProblemCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        ProblemCode::ResourceInvalid => StatusCode::UNPROCESSABLE_ENTITY,
        ProblemCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// Media type of one JSON value a line.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// Longest body of whoever proved nothing yet, in bytes.
pub(super) const SMALL: usize = 64 << 10;

/// A body of JSON, at most so long.
pub(super) struct Body<T, const MOST: usize = MAX_BODY>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned, const MOST: usize> FromRequest<S> for Body<T, MOST> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refusal> {
        let bytes = body::to_bytes(request.into_body(), MOST).await.map_err(|error| {
            let is_longer = std::error::Error::source(&error)
                .is_some_and(<dyn std::error::Error>::is::<LengthLimitError>);
            if is_longer {
                let title = format!("the request's body is longer than {MOST} bytes");
                return Problem::new(ProblemCode::TooLarge, title).with_hint("send less at a time");
            }
            Problem::new(ProblemCode::InvalidRequest, "the request's body broke off").caused_by(&error)
        })?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        serde_path_to_error::deserialize(&mut json).map(Self).map_err(|error| {
            let title = format!("the request's body is not what this route takes, at `{}`", error.path());
            Problem::new(ProblemCode::InvalidRequest, title).caused_by(error.inner()).into()
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
            let title = "the query of the request cannot be read";
            Problem::new(ProblemCode::InvalidRequest, title).caused_by(&error).into()
        })
    }
}

/// Refuses a path that is no text, before a route takes it apart.
pub(super) async fn readable(request: Request, next: Next) -> Response {
    match percent_decode_str(request.uri().path()).decode_utf8() {
        Ok(_) => next.run(request).await,
        Err(error) => {
            let title = "the path of the request is not UTF-8";
            Refusal::from(Problem::new(ProblemCode::InvalidRequest, title).caused_by(&error)).into_response()
        }
    }
}

/// A route, a kind or a thing that is not there is not there for a program that knows the routes.
pub(super) fn no_route(method: &Method, uri: &Uri) -> Response {
    let title = format!("there is no route {method} {}", uri.path());
    let problem = Problem::new(ProblemCode::InvalidRequest, title);
    (StatusCode::NOT_FOUND, Json(ErrorBody { problem })).into_response()
}

pub(super) async fn no_method(method: Method, uri: Uri) -> Response {
    let title = format!("{} does not take {method}", uri.path());
    let problem = Problem::new(ProblemCode::InvalidRequest, title);
    (StatusCode::METHOD_NOT_ALLOWED, Json(ErrorBody { problem })).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::Bytes;
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use serde_json::Value;

    use super::super::tests::served;
    use super::super::{openapi, routes};
    use super::*;

    /// What a client sends at a time, in bytes.
    const PIECE: usize = 4 << 10;

    #[tokio::test]
    async fn of_those_who_proved_nothing_little_is_read() {
        let (_folder, control) = served().await;
        let routes = TowerToHyperService::new(routes(control));
        let document: Value = serde_json::from_str(&openapi::json()).unwrap();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let concrete = path.split('/').map(|part| if part.starts_with('{') { "none" } else { part });
                let read = Arc::new(AtomicUsize::new(0));
                let sent = futures::stream::repeat_with({
                    let read = Arc::clone(&read);
                    move || {
                        read.fetch_add(PIECE, Ordering::Relaxed);
                        Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b' '; PIECE]))
                    }
                });
                let request = Request::builder()
                    .method(method.to_uppercase().as_str())
                    .uri(concrete.collect::<Vec<_>>().join("/"))
                    .header("sec-fetch-site", "same-origin")
                    .body(body::Body::from_stream(sent))
                    .unwrap();
                let answer = routes.call(request).await.unwrap();
                let read = read.load(Ordering::Relaxed);
                assert!(read <= SMALL + PIECE, "{method} {path} reads {read} bytes");
                let is_open = operation["security"] == serde_json::json!([{}]);
                if is_open && operation["requestBody"].is_object() {
                    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE, "{method} {path}");
                    let body = body::to_bytes(answer.into_body(), SMALL).await.unwrap();
                    let body: ErrorBody = serde_json::from_slice(&body).unwrap();
                    assert_eq!(body.problem.code, ProblemCode::TooLarge, "{method} {path}");
                    assert!(!body.problem.hints.is_empty(), "{method} {path}");
                } else {
                    assert_eq!(read, 0, "{method} {path} reads what nobody is known to send");
                }
            }
        }
    }
}
