//! A process that runs in the guest: its input, its output and its end.

use std::io;

use protocol::agent::{ExecControl, ExecEnd, TerminalSize};
use protocol::{Frame, FrameKind, MAX_PAYLOAD_BYTES};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::AgentError;
use crate::machine::wire::{FrameReader, WireError};

/// A running process. Dropping both halves ends it: the agent hangs up on a process whose stream is cut.
#[derive(Debug)]
pub struct ExecSession {
    /// Its id in the guest.
    pub pid: i32,
    /// What goes to it.
    pub input: ExecInput,
    /// What comes from it.
    pub output: ExecOutput,
}

/// What comes from a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecPiece {
    /// Bytes of its standard output, or of its terminal.
    Output(Vec<u8>),
    /// Bytes of its standard error.
    ErrorOutput(Vec<u8>),
    /// It ended; nothing follows.
    Ended(ExecEnd),
}

impl ExecSession {
    pub(super) fn new(pid: i32, stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        Self {
            pid,
            input: ExecInput { stream: write },
            output: ExecOutput { frames: FrameReader::new(read) },
        }
    }
}

/// The way to a process.
#[derive(Debug)]
pub struct ExecInput {
    stream: OwnedWriteHalf,
}

impl ExecInput {
    /// Gives bytes to its standard input. Empty input is not sent: it would end the input.
    ///
    /// # Errors
    /// When the process or the machine is gone.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(MAX_PAYLOAD_BYTES) {
            self.stream.write_all(&Frame::new(FrameKind::Input, piece).encode()).await?;
        }
        Ok(())
    }

    /// Ends its standard input.
    ///
    /// # Errors
    /// When the process or the machine is gone.
    pub async fn end(&mut self) -> io::Result<()> {
        self.stream.write_all(&Frame::new(FrameKind::Input, Vec::new()).encode()).await
    }

    /// Tells it the new size of its terminal.
    ///
    /// # Errors
    /// When the process or the machine is gone.
    pub async fn resize(&mut self, size: TerminalSize) -> io::Result<()> {
        self.control(&ExecControl::Resize(size)).await
    }

    /// Sends a signal to its process group.
    ///
    /// # Errors
    /// When the process or the machine is gone.
    pub async fn signal(&mut self, number: i32) -> io::Result<()> {
        self.control(&ExecControl::Signal { number }).await
    }

    async fn control(&mut self, control: &ExecControl) -> io::Result<()> {
        self.stream.write_all(&protocol::encode_json(control)).await
    }
}

/// The way from a process.
#[derive(Debug)]
pub struct ExecOutput {
    frames: FrameReader<OwnedReadHalf>,
}

impl ExecOutput {
    /// The next piece of output, and at last the end. Cancel safe.
    ///
    /// # Errors
    /// When the stream was cut before the process told its end.
    pub async fn next(&mut self) -> Result<ExecPiece, AgentError> {
        let broken = |source| AgentError::Broken { request: "exec", source };
        loop {
            let frame = self.frames.next().await.map_err(broken)?.ok_or(broken(WireError::Closed))?;
            return Ok(match frame.kind {
                FrameKind::Output => ExecPiece::Output(frame.payload),
                FrameKind::ErrorOutput => ExecPiece::ErrorOutput(frame.payload),
                FrameKind::Message => {
                    ExecPiece::Ended(frame.message().map_err(|error| broken(error.into()))?)
                }
                FrameKind::Input | FrameKind::Unknown(_) => continue,
            });
        }
    }
}
