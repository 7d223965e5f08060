//! One request with an answer in JSON, without models between.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::connect::Engine;
use crate::error::{Cause, EngineError};

/// The largest answer that is read. A list of ten thousand objects is well below.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;

/// How long an answer may take. The socket may stand for a machine that has to boot first.
const DEADLINE: Duration = Duration::from_mins(10);

/// What a request carries.
pub(crate) enum Body<'a> {
    None,
    Json(&'a Value),
    Archive(&'static [u8]),
}

impl Engine {
    /// Makes a request below the API's version and reads the answer; `Null` for one without content.
    pub(crate) async fn raw(
        &self,
        operation: &str,
        method: Method,
        path: &str,
        body: Body<'_>,
    ) -> Result<Value, EngineError> {
        let asked = tokio::time::timeout(DEADLINE, self.exchange(method, path, body)).await;
        let (status, answer) = match asked {
            Ok(Ok(answer)) => answer,
            Ok(Err(source)) if source.is::<LengthLimitError>() => {
                return Err(EngineError::Unintelligible { operation: operation.to_owned(), source });
            }
            Ok(Err(source)) => {
                return Err(EngineError::Unreachable { endpoint: self.endpoint().clone(), source });
            }
            Err(_) => {
                let (endpoint, operation) = (self.endpoint().clone(), operation.to_owned());
                return Err(EngineError::TooSlow { endpoint, operation });
            }
        };
        let said = if answer.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&answer) };
        if status.is_success() {
            let unintelligible = |source: serde_json::Error| EngineError::Unintelligible {
                operation: operation.to_owned(),
                source: source.into(),
            };
            return said.map_err(unintelligible);
        }
        let message = said.ok().and_then(|said| said["message"].as_str().map(str::to_owned));
        let message = message.unwrap_or_else(|| String::from_utf8_lossy(&answer).into_owned());
        Err(EngineError::from_message(operation, Some(status.as_u16()), message))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Body<'_>,
    ) -> Result<(StatusCode, Bytes), Cause> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/v{}{path}", self.api_version()))
            .header(HOST, "docker");
        let (kind, content) = match body {
            Body::None => (None, Bytes::new()),
            Body::Json(value) => (Some("application/json"), serde_json::to_vec(value)?.into()),
            Body::Archive(bytes) => (Some("application/x-tar"), Bytes::from_static(bytes)),
        };
        let request = match kind {
            Some(kind) => request.header(CONTENT_TYPE, kind),
            None => request,
        };
        let request = request.body(Full::new(content))?;
        let stream = self.dial().await?.whole();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let bytes = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await?.to_bytes();
        connection.abort();
        Ok((status, bytes))
    }
}
