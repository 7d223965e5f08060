//! The engine as a value: where its API is, and how its commands run.

use std::fmt;
use std::sync::Arc;

use bollard::{ClientVersion, Docker};
use camino::{Utf8Path, Utf8PathBuf};

use crate::error::EngineError;
use crate::tools::{ToolError, Tools};

/// The API we speak, that of Docker 25. Newer engines serve it too; an older one says so itself.
pub(crate) const API_VERSION: ClientVersion = ClientVersion { major_version: 1, minor_version: 44 };

/// Seconds until the first byte of an answer. The socket may stand for a machine that has to boot first.
const ANSWER_SECONDS: u64 = 600;

/// One Docker Engine: its API on a unix socket, and the `docker` command beside it.
///
/// Cheap to copy. Every call opens its own connection, so an engine that was restarted is found again by
/// the next call. Dropping a future or stream that one of the methods gave ends what it did.
#[derive(Clone)]
pub struct Engine {
    socket: Utf8PathBuf,
    pub(crate) tools: Arc<dyn Tools>,
}

/// What the engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The engine's version, `26.1.5`.
    pub version: String,
    /// The newest API it serves, `1.45`.
    pub api: String,
    /// The processor in Go's words: `amd64`, `arm64`.
    pub architecture: String,
}

impl Engine {
    /// Names the engine behind `socket`; `tools` runs `docker` where the engine lives. Connects to nothing.
    pub fn new(socket: &Utf8Path, tools: Arc<dyn Tools>) -> Self {
        Self { socket: socket.to_owned(), tools }
    }

    /// The socket of its API.
    pub fn socket(&self) -> &Utf8Path {
        &self.socket
    }

    /// Succeeds when the engine answers.
    pub async fn ping(&self) -> Result<(), EngineError> {
        let answer = self.api("answer a ping")?.ping().await;
        answer.map(drop).map_err(|error| self.failed("answer a ping", error))
    }

    /// What the engine says of itself.
    pub async fn version(&self) -> Result<Version, EngineError> {
        let operation = "tell its version";
        let said = self.api(operation)?.version().await.map_err(|error| self.failed(operation, error))?;
        Ok(Version {
            version: said.version.unwrap_or_default(),
            api: said.api_version.unwrap_or_default(),
            architecture: said.arch.unwrap_or_default(),
        })
    }

    pub(crate) fn api(&self, operation: &str) -> Result<Docker, EngineError> {
        Docker::connect_with_unix(self.socket.as_str(), ANSWER_SECONDS, &API_VERSION)
            .map_err(|error| self.failed(operation, error))
    }

    /// Sorts an error of the API client; `operation` completes "could not …".
    pub(crate) fn failed(&self, operation: &str, error: bollard::errors::Error) -> EngineError {
        EngineError::from_api(&self.socket, operation, error)
    }

    /// Sorts what a `docker` command said before it failed.
    pub(crate) fn tool_said(&self, operation: &str, message: impl Into<String>) -> EngineError {
        let message = message.into();
        if message.contains("Cannot connect to the Docker daemon") {
            return EngineError::Unreachable { socket: self.socket.clone(), source: message.into() };
        }
        EngineError::from_message(operation, None, message)
    }

    /// A `docker` command could not be run.
    pub(crate) fn tool_failed(operation: &str, source: ToolError) -> EngineError {
        EngineError::Tool { operation: operation.to_owned(), source }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Engine").field("socket", &self.socket).finish_non_exhaustive()
    }
}
