//! What can go wrong with the engine itself, whatever was asked of it.
//!
//! Operations have their own enums for what only they can meet, and carry an [`EngineError`] for the rest.

use bollard::errors::Error as ApiError;

use crate::connect::Endpoint;

/// The lower error, kept without showing which client library it came from.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The engine could not do what any operation needs of it.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nobody answers on the socket, or the connection broke in the middle: the engine is dead or going down.
    #[error("the container engine does not answer on `{endpoint}`")]
    Unreachable {
        /// What was tried.
        endpoint: Endpoint,
        /// What the connection said.
        #[source]
        source: Cause,
    },
    /// The engine took longer than any of its answers may take.
    #[error("the container engine on `{endpoint}` took too long to {operation}")]
    TooSlow {
        /// What was tried.
        endpoint: Endpoint,
        /// What it was asked to do.
        operation: String,
    },
    /// The disk of the engine is full.
    #[error("the engine's disk is full, it could not {operation}: {message}")]
    NoSpace {
        /// What it was asked to do.
        operation: String,
        /// The engine's own words.
        message: String,
    },
    /// The engine answered with an error.
    #[error("the engine could not {operation}: {message}")]
    Refused {
        /// What it was asked to do.
        operation: String,
        /// HTTP status; `None` when the refusal came in the middle of a stream or from a command.
        status: Option<u16>,
        /// The engine's own words.
        message: String,
    },
    /// The answer made no sense to us.
    #[error("could not understand the engine's answer when asked to {operation}")]
    Unintelligible {
        /// What it was asked to do.
        operation: String,
        /// What the reader of the answer said.
        #[source]
        source: Cause,
    },
    /// A command beside the engine (`docker`) could not be run.
    #[error("could not {operation}")]
    Tool {
        /// What was to be done.
        operation: String,
        /// Why the command did not run.
        #[source]
        source: crate::tools::ToolError,
    },
}

impl EngineError {
    /// Sorts an error of the API client.
    pub(crate) fn from_api(endpoint: &Endpoint, operation: &str, error: ApiError) -> Self {
        let endpoint = endpoint.clone();
        let operation = operation.to_owned();
        match error {
            ApiError::DockerResponseServerError { status_code, message } => {
                Self::from_message(&operation, Some(status_code), message)
            }
            ApiError::DockerStreamError { error } => Self::from_message(&operation, None, error),
            ApiError::RequestTimeoutError => Self::TooSlow { endpoint, operation },
            error @ (ApiError::SocketNotFoundError(_)
            | ApiError::HyperLegacyError { .. }
            | ApiError::HyperResponseError { .. }
            | ApiError::IOError { .. }) => Self::Unreachable { endpoint, source: Box::new(error) },
            error => Self::Unintelligible { operation, source: Box::new(error) },
        }
    }

    /// Sorts what the engine, or a command that speaks for it, said.
    pub(crate) fn from_message(operation: &str, status: Option<u16>, message: impl Into<String>) -> Self {
        let (operation, message) = (operation.to_owned(), message.into());
        if says_no_space(&message) {
            Self::NoSpace { operation, message }
        } else {
            Self::Refused { operation, status, message }
        }
    }

    /// Whether the engine said that the thing does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: Some(404), .. })
    }

    /// Whether the engine said that the thing is in that state already, or is being changed by another.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: Some(304 | 409), .. })
    }
}

/// Whether a message speaks of a full disk.
pub(crate) fn says_no_space(message: &str) -> bool {
    message.contains("no space left on device") || message.contains("disk quota exceeded")
}

/// Turns "there is no such thing" into `None`.
pub(crate) fn absent_is_none<T>(result: Result<T, EngineError>) -> Result<Option<T>, EngineError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
