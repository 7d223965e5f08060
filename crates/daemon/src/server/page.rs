//! The page: the API on the loopback interface too, for browsers and the app's window, and the page itself.
//!
//! The unix socket is closed to other users by the system; a port of this computer is open to every process and, by way
//! of a browser, to every web page. So here each call proves its session with a token, which no browser sends by itself;
//! a `Host` that is not this computer's own name is refused, or a web page could have its own name lead here (DNS
//! rebinding); and other pages' `Origin`s are refused. What is served without a session is the page's own files.

use std::future::IntoFuture;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{ErrorBody, PageAccess, PageAudience, PageRequest, PageToken, Problem, ProblemCode};
use axum::extract::{FromRequest, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION,
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN, REFERRER_POLICY,
    SEC_WEBSOCKET_PROTOCOL, USER_AGENT, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use jiff::Timestamp;
use tokio::net::TcpListener;

use super::answer::{Body, Refusal};
use super::{Api, router};
use crate::page::Sessions;
use crate::ports::patiently;

/// The page of the app's window.
const APP_ORIGIN: &str = "tauri://localhost";

/// Where the page may get what from. Styles may be inline because the terminal writes its own; no script may.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self'; connect-src 'self' ws://127.0.0.1:* ws://localhost:*; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The files of the page, by their names.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// The way in: who has a session, and where it is served.
#[derive(Clone)]
pub struct Door {
    sessions: Arc<Mutex<Sessions>>,
    /// Set once it is served; held while that begins, so that it begins once.
    serving: Arc<tokio::sync::Mutex<Option<u16>>>,
}

impl Door {
    /// A door that nobody stands at yet.
    pub fn new(sessions: Sessions) -> Self {
        Self { sessions: Arc::new(Mutex::new(sessions)), serving: Arc::default() }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // Each change is whole before the lock is given back.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves again where pages of an earlier daemon may wait.
pub(super) async fn resume(api: &Api) {
    if api.door.sessions().is_awaited(Timestamp::now())
        && let Err(error) = serve(api, None).await
    {
        tracing::warn!(%error, "pages that are open cannot be served again");
    }
}

/// Serves the page on the loopback interface, unless it is already. Gives the port.
async fn serve(api: &Api, wanted: Option<u16>) -> std::io::Result<u16> {
    let mut serving = api.door.serving.lock().await;
    if let Some(port) = *serving {
        return Ok(port);
    }
    let known = api.door.sessions().port();
    let at = |port: u16| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let listener = match (wanted, known) {
        (Some(port), _) => at(port).await?,
        // Another program may have it by now; pages that know it are told by their browser.
        (None, Some(port)) => match patiently(|| at(port)).await {
            Ok(listener) => listener,
            Err(_) => at(0).await?,
        },
        (None, None) => at(0).await?,
    };
    let port = listener.local_addr()?.port();
    api.door.sessions().set_port(port)?;
    let shutdown = api.shutdown.clone();
    let server = axum::serve(listener, page_router(api.clone()))
        .with_graceful_shutdown(async move { shutdown.cancelled().await });
    tokio::spawn(server.into_future());
    tracing::info!(port, "the page is served");
    *serving = Some(port);
    Ok(port)
}

fn page_router(api: Api) -> Router {
    router(api.clone()).layer(axum::middleware::from_fn_with_state(api, gate))
}

/// Decides about each request before a route sees it.
async fn gate(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let origin = match checked_origin(request.headers()) {
        Ok(origin) => origin,
        Err(refusal) => return refusal.into_response(),
    };
    let path = request.uri().path();
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else if path == "/session" {
        swap(&api, request).await.into_response()
    } else if path.starts_with("/v1/") {
        // A person's own browser is that person, as a command of theirs is: it asks in nobody's name.
        request.headers_mut().remove(USER_AGENT);
        match token(request.headers()) {
            Some(token) if api.door.sessions().knows(token, Timestamp::now()) => next.run(request).await,
            _ => no_session().into_response(),
        }
    } else {
        file(request.uri())
    };
    if origin.is_some() {
        let headers = [
            (ACCESS_CONTROL_ALLOW_ORIGIN, APP_ORIGIN),
            (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
            (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE"),
            (VARY, "origin"),
        ];
        response.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    }
    response
}

/// The origin of the app's page, where the request came from that. Every other page than it and our own is refused, and so
/// is whoever calls this computer by another name.
fn checked_origin(headers: &HeaderMap) -> Result<Option<&'static str>, Refusal> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !matches!(name, "127.0.0.1" | "localhost") {
        return Err(foreign("the page is called `127.0.0.1` or `localhost`, and by no other name"));
    }
    match text(ORIGIN) {
        None => Ok(None),
        Some(APP_ORIGIN) => Ok(Some(APP_ORIGIN)),
        Some(origin) if origin.strip_prefix("http://") == Some(host) => Ok(None),
        Some(_) => Err(foreign("another page than Cove's asked for this")),
    }
}

/// The token of a request: in the header where there is one, else among the names of protocols, as a browser can say no
/// more of a WebSocket.
fn token(headers: &HeaderMap) -> Option<&str> {
    if let Some(header) = headers.get(AUTHORIZATION) {
        return header.to_str().ok()?.strip_prefix("Bearer ");
    }
    let protocols = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    protocols.split(',').find_map(|protocol| protocol.trim().strip_prefix("token."))
}

fn foreign(title: &str) -> Refusal {
    Refusal::with_status(StatusCode::FORBIDDEN, Problem::new(ProblemCode::InvalidRequest, title))
}

fn no_session() -> Refusal {
    let problem = Problem::new(ProblemCode::InvalidRequest, "this page has no session, or it is over")
        .with_command("open it anew", "cove ui");
    Refusal::with_status(StatusCode::UNAUTHORIZED, problem)
}

/// Swaps the token that a browser was opened with for a session's own.
async fn swap(api: &Api, request: Request) -> Result<Json<PageToken>, Refusal> {
    if request.method() != Method::POST {
        return Err(super::answer::no_method(request.method().clone(), request.uri().clone()).await);
    }
    let Body(given): Body<PageToken> = Body::from_request(request, &()).await?;
    let swapped = api.door.sessions().swap(&given.token, Timestamp::now());
    let swapped = swapped.map_err(|error| {
        Problem::new(ProblemCode::Internal, "the session could not be written down").caused_by(&error)
    })?;
    swapped.map(|token| Json(PageToken { token })).ok_or_else(no_session)
}

/// A file of the page. Names with a digest in them never change what they name.
fn file(uri: &Uri) -> Response {
    let name = match uri.path().trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let Some((_, content)) = FILES.iter().find(|(known, _)| *known == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let kept = if name.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = [
        (CONTENT_TYPE, kind_of(name)),
        (CACHE_CONTROL, kept),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, *content).into_response()
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// Serves the page and gives a way into it.
#[utoipa::path(post, path = "/v1/page", tag = "daemon", request_body = PageRequest,
    responses((status = 200, body = PageAccess), (status = "default", body = ErrorBody)))]
pub(super) async fn open(
    State(api): State<Api>,
    Body(request): Body<PageRequest>,
) -> Result<Json<PageAccess>, Refusal> {
    let port = serve(&api, request.port).await.map_err(|error| {
        let wanted = request.port.map(|port| format!(" on port {port}")).unwrap_or_default();
        Problem::new(ProblemCode::PortTaken, format!("the page cannot be served{wanted}")).caused_by(&error)
    })?;
    let mut sessions = api.door.sessions();
    let token = match request.audience {
        PageAudience::Browser => sessions.issue(Timestamp::now()),
        PageAudience::App => sessions.admit_app(Timestamp::now()),
    };
    Ok(Json(PageAccess { url: format!("http://127.0.0.1:{port}"), token }))
}

/// Ends the sessions of all pages that are open.
#[utoipa::path(delete, path = "/v1/page", tag = "daemon",
    responses((status = 204, description = "Pages that are open can do nothing any more"), (status = "default", body = ErrorBody)))]
pub(super) async fn close(State(api): State<Api>) -> Result<StatusCode, Refusal> {
    let ended = api.door.sessions().end_all();
    ended.map_err(|error| {
        Problem::new(ProblemCode::Internal, "the end of the sessions could not be written down")
            .caused_by(&error)
    })?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn only_pages_of_this_computer_and_its_own_names_come_in() {
        let ours = "127.0.0.1:4000";
        let table = [
            (ours, None, Some(None)),
            ("localhost:4000", Some("http://localhost:4000"), Some(None)),
            (ours, Some("http://127.0.0.1:4000"), Some(None)),
            (ours, Some("tauri://localhost"), Some(Some(APP_ORIGIN))),
            (ours, Some("http://127.0.0.1:5000"), None),
            (ours, Some("http://evil.example"), None),
            (ours, Some("null"), None),
            (ours, Some("https://127.0.0.1:4000"), None),
            ("evil.example:4000", None, None),
            ("127.0.0.1.evil.example:4000", None, None),
            ("", None, None),
        ];
        for (host, origin, wanted) in table {
            let mut given = headers(&[(HOST, host)]);
            if let Some(origin) = origin {
                given.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
            }
            assert_eq!(checked_origin(&given).ok(), wanted, "{host} {origin:?}");
        }
    }

    #[test]
    fn a_token_is_read_from_either_place() {
        assert_eq!(token(&headers(&[(AUTHORIZATION, "Bearer abc")])), Some("abc"));
        assert_eq!(token(&headers(&[(AUTHORIZATION, "Basic abc")])), None);
        assert_eq!(token(&headers(&[(SEC_WEBSOCKET_PROTOCOL, "cove, token.abc")])), Some("abc"));
        assert_eq!(token(&headers(&[(SEC_WEBSOCKET_PROTOCOL, "cove")])), None);
        assert_eq!(token(&HeaderMap::new()), None);
    }

    #[test]
    fn the_pages_files_may_load_nothing_from_elsewhere() {
        let index = file(&Uri::from_static("/"));
        assert_eq!(index.status(), StatusCode::OK);
        let policy = index.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert_eq!(file(&Uri::from_static("/../Cargo.toml")).status(), StatusCode::NOT_FOUND);
    }
}
