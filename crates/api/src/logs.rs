//! Lines of the two log streams, each one line of NDJSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::LogStream;

/// A line of `GET /v1/environments/{environment}/logs`, or of the log of a task or service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContainerLogLine {
    /// Where it was written.
    pub stream: LogStream,
    /// The line, without its end.
    pub line: String,
    /// Whether it is longer than was asked for: the rest of it is left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// A line of `GET /v1/machines/{machine}/logs`: what a part of the guest wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineLogLine {
    /// Who wrote it: `agent`, `kernel`, `containerd`, `dockerd`, `console`.
    pub source: String,
    /// How bad it is.
    pub level: LogLevel,
    /// Time since the guest's kernel started, in milliseconds.
    pub uptime_ms: u64,
    /// The line, without its end.
    pub message: String,
}

/// How bad a line of the machine's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// For those who look for a fault.
    Debug,
    /// The normal course.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}
