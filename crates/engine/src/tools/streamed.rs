//! Commands on a stream that ends them when it is cut: those that run in the machine.

use std::io;

use bytes::Bytes;
use futures::future::{self, BoxFuture};
use futures::stream::{BoxStream, StreamExt};
use tokio::task::JoinHandle;

use super::{Channel, RunningTool, ToolError};

/// Status of a process that was killed, as a shell reports it.
const KILLED: i32 = 128 + 9;

/// What comes on the stream of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamPiece {
    /// A piece of its output.
    Output(Channel, Bytes),
    /// Its end, behind all output: the exit status.
    Ended(i32),
}

/// A command under way. It ends when its stream is cut, so dropping this is enough.
pub struct StreamedTool {
    program: String,
    feeding: JoinHandle<()>,
    pieces: Option<BoxStream<'static, io::Result<StreamPiece>>>,
    code: Option<i32>,
}

impl StreamedTool {
    /// A command that was started. `feed` gives it its input and then the way to it, which is held open: closing that
    /// would end the command. To be called in a runtime.
    pub fn new<I: Send + 'static>(
        program: String,
        feed: impl Future<Output = I> + Send + 'static,
        pieces: BoxStream<'static, io::Result<StreamPiece>>,
    ) -> Self {
        // On its own, since a command may write much before it has read all.
        let feeding = tokio::spawn(async move {
            let _held = feed.await;
            future::pending::<()>().await;
        });
        Self { program, feeding, pieces: Some(pieces), code: None }
    }

    fn cut(&mut self) {
        self.feeding.abort();
        self.pieces = None;
    }

    fn lost(&self, source: io::Error) -> ToolError {
        ToolError::Lost { program: self.program.clone(), source }
    }
}

impl Drop for StreamedTool {
    fn drop(&mut self) {
        self.cut();
    }
}

impl RunningTool for StreamedTool {
    fn next_output(&mut self) -> BoxFuture<'_, Result<Option<(Channel, Bytes)>, ToolError>> {
        Box::pin(async move {
            let Some(pieces) = &mut self.pieces else { return Ok(None) };
            match pieces.next().await {
                Some(Ok(StreamPiece::Output(channel, bytes))) => return Ok(Some((channel, bytes))),
                Some(Ok(StreamPiece::Ended(code))) => self.code = Some(code),
                Some(Err(error)) => {
                    self.cut();
                    return Err(self.lost(error));
                }
                None => {}
            }
            self.cut();
            Ok(None)
        })
    }

    fn wait(&mut self) -> BoxFuture<'_, Result<i32, ToolError>> {
        Box::pin(async move {
            // The status comes behind the output on the same stream.
            while self.next_output().await?.is_some() {}
            self.code.ok_or_else(|| self.lost(io::ErrorKind::ConnectionAborted.into()))
        })
    }

    fn kill(&mut self) -> BoxFuture<'_, Result<(), ToolError>> {
        // A signal would queue behind input that the command does not read; a cut stream does not.
        self.code.get_or_insert(KILLED);
        self.cut();
        Box::pin(future::ready(Ok(())))
    }
}
