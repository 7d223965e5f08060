//! The engine as a value: where its API is, and how its commands run.

mod dial;
mod foreign;

use std::fmt;
use std::sync::Arc;

use bollard::{ClientVersion, Docker};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::OnceCell;

pub(crate) use dial::Connection;
pub use foreign::{AccessError, DockerAccess};

use crate::compose::ComposeProgram;
use crate::error::EngineError;
use crate::tools::{ToolError, Tools};

/// The API we speak, that of Docker 25. Newer engines serve it too; for an older foreign one we speak its own.
pub(crate) const API_VERSION: ClientVersion = ClientVersion { major_version: 1, minor_version: 44 };

/// Seconds until the first byte of an answer. The socket may stand for a machine that has to boot first.
const ANSWER_SECONDS: u64 = 600;

/// Where an engine's API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Socket(Utf8PathBuf),
    /// A port without encryption, `host:port`.
    Tcp(String),
    /// Where only the `docker` command itself finds the way: over ssh, or with certificates. Each connection is
    /// one `docker system dial-stdio`.
    ThroughDocker {
        /// The address, for people.
        address: String,
    },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.fmt(out),
            Self::Tcp(address) => write!(out, "tcp://{address}"),
            Self::ThroughDocker { address } => address.fmt(out),
        }
    }
}

/// One Docker Engine: its API, and the `docker` command beside it.
///
/// Cheap to copy. Every call opens its own connection, so an engine that was restarted is found again by
/// the next call. Dropping a future or stream that one of the methods gave ends what it did.
#[derive(Clone)]
pub struct Engine {
    dialer: dial::Dialer,
    api_version: ClientVersion,
    pub(crate) tools: Arc<dyn Tools>,
    /// Found out when compose is first needed.
    pub(crate) compose: Arc<OnceCell<ComposeProgram>>,
    /// The program to try where `docker` has no plugin `compose`.
    pub(crate) compose_path: Option<String>,
    /// The builder that is in the engine: buildx calls it by the name of the docker context.
    pub(crate) builder: String,
}

/// The builder in an engine that no docker context names.
const DEFAULT_BUILDER: &str = "default";

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
        Self {
            dialer: dial::Dialer::plain(Endpoint::Socket(socket.to_owned())),
            api_version: API_VERSION,
            tools,
            compose: Arc::default(),
            compose_path: None,
            builder: DEFAULT_BUILDER.to_owned(),
        }
    }

    /// Where its API is.
    pub fn endpoint(&self) -> &Endpoint {
        self.dialer.endpoint()
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

    /// Whether the engine can give containers a graphics processor: it has NVIDIA's runtime.
    pub async fn has_gpu(&self) -> Result<bool, EngineError> {
        let operation = "tell its runtimes";
        let said = self.api(operation)?.info().await.map_err(|error| self.failed(operation, error))?;
        Ok(said.runtimes.is_some_and(|runtimes| runtimes.contains_key("nvidia")))
    }

    pub(crate) fn api(&self, operation: &str) -> Result<Docker, EngineError> {
        let api = match self.endpoint() {
            Endpoint::Socket(path) => {
                Docker::connect_with_unix(path.as_str(), ANSWER_SECONDS, &self.api_version)
            }
            Endpoint::Tcp(_) | Endpoint::ThroughDocker { .. } => {
                let dialer = self.dialer.clone();
                let transport = move |request| dialer.clone().request(request);
                let address = Some("http://docker");
                Docker::connect_with_custom_transport(transport, address, ANSWER_SECONDS, &self.api_version)
            }
        };
        api.map_err(|error| self.failed(operation, error))
    }

    /// Whether the engine belongs to somebody else: its processes need not be where our commands run.
    pub(crate) fn is_foreign(&self) -> bool {
        self.compose_path.is_some()
    }

    /// A connection of its own to the API.
    pub(crate) async fn dial(&self) -> std::io::Result<Connection> {
        self.dialer.dial().await
    }

    pub(crate) fn api_version(&self) -> ClientVersion {
        self.api_version
    }

    /// Sorts an error of the API client; `operation` completes "could not …".
    pub(crate) fn failed(&self, operation: &str, error: bollard::errors::Error) -> EngineError {
        EngineError::from_api(self.endpoint(), operation, error)
    }

    /// Sorts what a `docker` command said before it failed.
    pub(crate) fn tool_said(&self, operation: &str, message: impl Into<String>) -> EngineError {
        let message = message.into();
        if message.contains("Cannot connect to the Docker daemon") {
            return EngineError::Unreachable { endpoint: self.endpoint().clone(), source: message.into() };
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
        out.debug_struct("Engine").field("endpoint", self.endpoint()).finish_non_exhaustive()
    }
}
