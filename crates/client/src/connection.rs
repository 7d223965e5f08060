//! One HTTP/1.1 connection over the unix socket, for one call.

use std::io;

use bytes::Bytes;
use camino::Utf8Path;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, UPGRADE, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::{CallError, ConnectError};

/// A call before it is sent.
pub(crate) struct Call {
    method: Method,
    path: String,
    body: Bytes,
    upgrade: Option<&'static str>,
    asker: Option<HeaderValue>,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: Bytes::new(), upgrade: None, asker: None }
    }

    /// Sends this as JSON.
    pub(crate) fn body<T: Serialize>(mut self, body: &T) -> Self {
        let json = serde_json::to_vec(body)
            .expect("request types are plain data without map keys other than strings");
        self.body = json.into();
        self
    }

    /// Asks for the connection itself, under this protocol's name.
    pub(crate) fn upgrade(mut self, protocol: &'static str) -> Self {
        self.upgrade = Some(protocol);
        self
    }

    /// Says who asks.
    pub(crate) fn by(mut self, asker: Option<&HeaderValue>) -> Self {
        self.asker = asker.cloned();
        self
    }

    /// Method and path, for errors.
    pub(crate) fn describe(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut builder = Request::builder()
            .method(self.method.clone())
            .uri(&self.path)
            .header(HOST, "coved")
            .header(CONTENT_TYPE, "application/json");
        if let Some(protocol) = self.upgrade {
            builder = builder.header(CONNECTION, "upgrade").header(UPGRADE, protocol);
        }
        if let Some(asker) = &self.asker {
            builder = builder.header(USER_AGENT, asker);
        }
        builder
            .body(Full::new(self.body.clone()))
            .expect("paths are made of fixed parts and percent-encoded segments")
    }
}

/// Sends a call and gives the answer's head, whatever its status.
pub(crate) async fn send(socket: &Utf8Path, call: &Call) -> Result<Response<Incoming>, CallError> {
    let stream = UnixStream::connect(socket).await.map_err(|source| connect_error(socket, source))?;
    let broken = |source| CallError::Broken { call: call.describe(), source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends by itself with the answer's body, or hands the stream over when it was upgraded.
    tokio::spawn(connection.with_upgrades());
    sender.send_request(call.request()).await.map_err(broken)
}

/// Sends a call and reads its answer.
pub(crate) async fn call<T: DeserializeOwned>(socket: &Utf8Path, call: &Call) -> Result<T, CallError> {
    let response = accepted(call, send(socket, call).await?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await;
    let body = body.map_err(|source| CallError::Broken { call: call.describe(), source })?.to_bytes();
    // Some calls have nothing to say; `()` reads as null.
    let text: &[u8] = if body.is_empty() { b"null" } else { &body };
    serde_json::from_slice(text).map_err(|source| CallError::Unreadable {
        call: call.describe(),
        status,
        source,
    })
}

/// Sends a call and reads its answer as it is.
pub(crate) async fn bytes(socket: &Utf8Path, call: &Call) -> Result<Bytes, CallError> {
    let response = accepted(call, send(socket, call).await?).await?;
    let body = response.into_body().collect().await;
    Ok(body.map_err(|source| CallError::Broken { call: call.describe(), source })?.to_bytes())
}

/// Turns an answer that is no success into the daemon's problem.
pub(crate) async fn accepted(
    call: &Call,
    response: Response<Incoming>,
) -> Result<Response<Incoming>, CallError> {
    let status = response.status();
    if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    let body = response.into_body().collect().await;
    let body = body.map_err(|source| CallError::Broken { call: call.describe(), source })?.to_bytes();
    match serde_json::from_slice::<api::ErrorBody>(&body) {
        Ok(error) => Err(CallError::Refused { status: status.as_u16(), problem: Box::new(error.problem) }),
        Err(source) => Err(CallError::Unreadable { call: call.describe(), status: status.as_u16(), source }),
    }
}

fn connect_error(socket: &Utf8Path, source: io::Error) -> CallError {
    let socket = socket.to_owned();
    CallError::Connect(match source.kind() {
        // The last is said to those who waited to be taken by a daemon that was killed at that moment.
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
            ConnectError::NotRunning { socket, source }
        }
        io::ErrorKind::PermissionDenied => ConnectError::Permission { socket, source },
        _ => ConnectError::Failed { socket, source },
    })
}

/// One part of a path, with everything but letters, digits and `-._~` escaped.
pub(crate) fn segment(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, PLAIN)
}

/// What stays as it is in a segment, beside letters and digits.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn names_cannot_leave_their_segment() {
        assert_eq!(segment("flask-postgres").to_string(), "flask-postgres");
        assert_eq!(segment("../a?b c").to_string(), "..%2Fa%3Fb%20c");
        assert_eq!(segment("ü").to_string(), "%C3%BC");
    }
}
