//! Runs the engine's commands in the guest, where `docker buildx` and `docker compose` live.

use std::io;

use camino::Utf8Path;
use engine::{Channel, RunningTool, StreamPiece, StreamedTool, ToolCommand, ToolError, Tools};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use protocol::agent::{Exec, FailureKind};

use crate::agent_client::{AgentClient, AgentError, ExecPiece, ExecSession};

/// Commands in one machine. Each call reaches the machine that runs at that moment.
#[derive(Debug, Clone)]
pub struct GuestTools {
    agent: AgentClient,
}

impl GuestTools {
    /// Commands behind an agent. It need not answer yet.
    pub fn new(agent: AgentClient) -> Self {
        Self { agent }
    }
}

impl Tools for GuestTools {
    fn run(&self, command: ToolCommand) -> BoxFuture<'_, Result<Box<dyn RunningTool>, ToolError>> {
        async move {
            let program = command.argv.first().cloned().unwrap_or_default();
            let exec = Exec {
                argv: command.argv,
                env: command.env,
                cwd: command.cwd.map(Into::into),
                terminal: None,
                input: command.stdin.is_some(),
            };
            let session = self
                .agent
                .exec(exec)
                .await
                .map_err(|error| ToolError::Start { program: program.clone(), source: to_io(error) })?;
            let ExecSession { mut input, output, .. } = session;
            let feed = async move {
                if let Some(bytes) = command.stdin {
                    let fed = async {
                        input.write(&bytes).await?;
                        input.end().await
                    };
                    // One that ends without reading everything is not at fault: its status tells what there is to tell.
                    if let Err(error) = fed.await {
                        tracing::debug!(%error, "a command in the machine did not take all of its input");
                    }
                }
                input
            };
            let pieces = stream::unfold(output, |mut output| async {
                let piece = match output.next().await {
                    Ok(ExecPiece::Output(bytes)) => Ok(StreamPiece::Output(Channel::Out, bytes.into())),
                    Ok(ExecPiece::ErrorOutput(bytes)) => Ok(StreamPiece::Output(Channel::Err, bytes.into())),
                    Ok(ExecPiece::Ended(end)) => Ok(StreamPiece::Ended(end.status())),
                    Err(error) => Err(to_io(error)),
                };
                Some((piece, output))
            });
            Ok(Box::new(StreamedTool::new(program, feed, pieces.boxed())) as Box<dyn RunningTool>)
        }
        .boxed()
    }

    fn put_file<'a>(
        &'a self,
        path: &'a Utf8Path,
        mode: u32,
        content: &'a [u8],
    ) -> BoxFuture<'a, Result<(), ToolError>> {
        async move {
            self.agent
                .put_file(path, mode, content)
                .await
                .map_err(|error| ToolError::PutFile { path: path.to_owned(), source: to_io(error) })
        }
        .boxed()
    }
}

/// The engine knows only errors of the operating system; the kinds it asks for are kept.
fn to_io(error: AgentError) -> io::Error {
    let kind = match error.refusal() {
        Some(FailureKind::NotFound) => io::ErrorKind::NotFound,
        Some(FailureKind::NoSpace) => io::ErrorKind::StorageFull,
        Some(FailureKind::Invalid) => io::ErrorKind::InvalidInput,
        Some(FailureKind::ConnectionRefused) => io::ErrorKind::ConnectionRefused,
        Some(FailureKind::TooMany | FailureKind::Other) | None => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
