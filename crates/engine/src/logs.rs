//! What a container has said, and goes on saying.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use bytes::Bytes;
use futures::StreamExt;
use futures::future;

use crate::connect::Engine;
use crate::error::EngineError;
use crate::exec::OutputStream;
use crate::tools::Channel;

/// Which part of a container's log is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogRange {
    /// Only so many lines from the end; all of them when `None`.
    pub tail: Option<u32>,
    /// Only what was said after this moment, in seconds since the Unix epoch.
    pub since: Option<i32>,
    /// Whether to wait for more, until the container stops.
    pub follow: bool,
}

impl Engine {
    /// Streams what a container writes to its outputs, in pieces as they come.
    pub fn logs(&self, container: &str, range: LogRange) -> Result<OutputStream, EngineError> {
        let operation = format!("read the log of `{container}`");
        let tail = range.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .follow(range.follow)
            .since(range.since.unwrap_or(0))
            .tail(&tail)
            .build();
        let pieces = self.api(&operation)?.logs(container, Some(options));
        let engine = self.clone();
        let pieces = pieces.map(move |piece| piece.map_err(|error| engine.failed(&operation, error)));
        Ok(pieces.filter_map(|piece| future::ready(piece.map(with_channel).transpose())).boxed())
    }
}

/// Sorts a piece; a terminal's output is all one.
fn with_channel(piece: LogOutput) -> Option<(Channel, Bytes)> {
    match piece {
        LogOutput::StdOut { message } | LogOutput::Console { message } => Some((Channel::Out, message)),
        LogOutput::StdErr { message } => Some((Channel::Err, message)),
        LogOutput::StdIn { .. } => None,
    }
}
