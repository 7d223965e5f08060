//! Runs the engine's commands in the guest, where `docker buildx` and `docker compose` live.

use std::io;

use bytes::Bytes;
use camino::Utf8Path;
use engine::{Channel, RunningTool, ToolCommand, ToolError, Tools};
use futures::FutureExt;
use futures::future::{self, BoxFuture};
use protocol::agent::{Exec, FailureKind};
use tokio::task::JoinHandle;

use crate::agent_client::{AgentClient, AgentError, ExecInput, ExecOutput, ExecPiece, ExecSession};

/// Status of a process that was killed, as a shell reports it.
const KILLED: i32 = 128 + 9;

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
            let ExecSession { input, output, .. } = session;
            // On its own, since a command may write much before it has read all.
            let input = tokio::spawn(feed(input, command.stdin));
            Ok(Box::new(GuestProcess { program, input, output: Some(output), code: None })
                as Box<dyn RunningTool>)
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

/// Gives a command its input, and then holds the way to it open: closing it would end the command.
async fn feed(mut input: ExecInput, bytes: Option<Vec<u8>>) {
    if let Some(bytes) = bytes {
        let fed = async {
            input.write(&bytes).await?;
            input.end().await
        };
        // One that ends without reading everything is not at fault: its status tells what there is to tell.
        if let Err(error) = fed.await {
            tracing::debug!(%error, "a command in the machine did not take all of its input");
        }
    }
    future::pending::<()>().await;
}

/// A command under way in the guest. The agent ends it when its stream is cut, so dropping this is enough.
struct GuestProcess {
    program: String,
    input: JoinHandle<()>,
    output: Option<ExecOutput>,
    code: Option<i32>,
}

impl GuestProcess {
    fn cut(&mut self) {
        self.input.abort();
        self.output = None;
    }
}

impl Drop for GuestProcess {
    fn drop(&mut self) {
        self.cut();
    }
}

impl RunningTool for GuestProcess {
    fn next_output(&mut self) -> BoxFuture<'_, Result<Option<(Channel, Bytes)>, ToolError>> {
        async move {
            let Some(output) = &mut self.output else { return Ok(None) };
            match output.next().await {
                Ok(ExecPiece::Output(bytes)) => Ok(Some((Channel::Out, bytes.into()))),
                Ok(ExecPiece::ErrorOutput(bytes)) => Ok(Some((Channel::Err, bytes.into()))),
                Ok(ExecPiece::Ended(end)) => {
                    self.code = Some(end.status());
                    self.cut();
                    Ok(None)
                }
                Err(error) => {
                    self.cut();
                    Err(ToolError::Lost { program: self.program.clone(), source: to_io(error) })
                }
            }
        }
        .boxed()
    }

    fn wait(&mut self) -> BoxFuture<'_, Result<i32, ToolError>> {
        async move {
            // The status comes behind the output on the same stream.
            while self.next_output().await?.is_some() {}
            self.code.ok_or_else(|| ToolError::Lost {
                program: self.program.clone(),
                source: io::ErrorKind::ConnectionAborted.into(),
            })
        }
        .boxed()
    }

    fn kill(&mut self) -> BoxFuture<'_, Result<(), ToolError>> {
        if self.code.is_none() {
            // A signal would queue behind input that the command does not read; a cut stream does not.
            self.code = Some(KILLED);
            self.cut();
        }
        future::ready(Ok(())).boxed()
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
