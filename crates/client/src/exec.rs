//! A process behind an upgraded connection: frames both ways, the last of them its end.

use bytes::Bytes;
use camino::Utf8Path;
use hyper::StatusCode;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use protocol::agent::{ExecControl, ExecEnd};
use protocol::{Frame, FrameDecoder, FrameKind, encode_json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::connection::{self, Call};
use crate::{CallError, ExecError};

/// Name of the protocol in the `Upgrade` header.
pub const EXEC_PROTOCOL: &str = "cove-exec";

/// Longest piece of input in one frame, well below what the protocol allows so that control messages get through.
const INPUT_PIECE_BYTES: usize = 64 * 1024;

/// Bytes asked of the connection at once.
const READ_BYTES: usize = 64 * 1024;

/// A running process: its two directions, to be used side by side.
pub struct ExecSession {
    /// To the process.
    pub input: ExecInput,
    /// From the process.
    pub output: ExecOutput,
}

/// What goes to a process.
pub struct ExecInput {
    stream: WriteHalf<TokioIo<Upgraded>>,
}

/// What comes from a process.
pub struct ExecOutput {
    stream: ReadHalf<TokioIo<Upgraded>>,
    decoder: FrameDecoder,
    buffer: Vec<u8>,
}

/// One thing that comes from a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecEvent {
    /// Standard output, or the terminal's.
    Output(Bytes),
    /// Standard error.
    ErrorOutput(Bytes),
    /// Its end: nothing follows.
    Ended(ExecEnd),
}

impl ExecSession {
    pub(crate) async fn open(socket: &Utf8Path, call: Call) -> Result<Self, CallError> {
        let call = call.upgrade(EXEC_PROTOCOL);
        let response = connection::accepted(&call, connection::send(socket, &call).await?).await?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(CallError::NotUpgraded { call: call.describe(), status: status.as_u16() });
        }
        let upgraded = hyper::upgrade::on(response).await;
        let upgraded = upgraded.map_err(|source| CallError::Broken { call: call.describe(), source })?;
        let (read, write) = tokio::io::split(TokioIo::new(upgraded));
        Ok(Self {
            input: ExecInput { stream: write },
            output: ExecOutput { stream: read, decoder: FrameDecoder::new(), buffer: vec![0; READ_BYTES] },
        })
    }
}

impl ExecInput {
    /// Sends input. Waits while the process does not read; a caller who also wants output must not wait for
    /// this alone. Not cancel-safe: a dropped call may have sent a part.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), ExecError> {
        for piece in bytes.chunks(INPUT_PIECE_BYTES) {
            self.write(&Frame::new(FrameKind::Input, piece).encode()).await?;
        }
        Ok(())
    }

    /// Ends the input: the process reads the end of its standard input.
    pub async fn close(&mut self) -> Result<(), ExecError> {
        self.write(&Frame::new(FrameKind::Input, Vec::new()).encode()).await
    }

    /// Tells the process a new terminal size, or sends it a signal.
    pub async fn control(&mut self, control: &ExecControl) -> Result<(), ExecError> {
        self.write(&encode_json(control)).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ExecError> {
        self.stream.write_all(bytes).await.map_err(ExecError::Broken)?;
        self.stream.flush().await.map_err(ExecError::Broken)
    }
}

impl ExecOutput {
    /// Waits for what comes next. Cancel-safe.
    pub async fn next(&mut self) -> Result<ExecEvent, ExecError> {
        loop {
            while let Some(frame) = self.decoder.next()? {
                match frame.kind {
                    FrameKind::Output => return Ok(ExecEvent::Output(frame.payload.into())),
                    FrameKind::ErrorOutput => return Ok(ExecEvent::ErrorOutput(frame.payload.into())),
                    FrameKind::Message => {
                        let end = frame.message().map_err(ExecError::UnknownMessage)?;
                        return Ok(ExecEvent::Ended(end));
                    }
                    FrameKind::Input | FrameKind::Unknown(_) => {}
                }
            }
            match self.stream.read(&mut self.buffer).await.map_err(ExecError::Broken)? {
                0 => return Err(ExecError::Cut),
                count => self.decoder.push(&self.buffer[..count]),
            }
        }
    }
}
