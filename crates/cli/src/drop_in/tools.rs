//! Runs the engine's commands in Cove's machine, for a computer without `docker`.

use std::io;

use bytes::Bytes;
use camino::Utf8Path;
use client::{Client, ExecEvent, ExecInput, ExecOutput};
use engine::{Channel, RunningTool, ToolCommand, ToolError, Tools};
use futures::future::BoxFuture;
use tokio::task::JoinHandle;

/// Writes standard input into a file, whole or not at all: `$1` is the file, `$2` its permissions.
const PUT_FILE: &str = "mkdir -p \"${1%/*}\" && umask 077 && cat > \"$1.new\" && chmod \"$2\" \"$1.new\" \
     && mv \"$1.new\" \"$1\"";

/// Commands in the machine.
#[derive(Debug, Clone)]
pub(super) struct MachineTools {
    client: Client,
}

impl MachineTools {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    async fn start(&self, command: ToolCommand) -> Result<MachineProcess, ToolError> {
        let program = command.argv.first().cloned().unwrap_or_default();
        let request = api::ExecRequest {
            argv: command.argv,
            env: command.env,
            cwd: command.cwd.map(Into::into),
            user: None,
            terminal: None,
            input: command.stdin.is_some(),
        };
        let session = self.client.exec_in_machine(api::DEFAULT_MACHINE, &request).await;
        let session = session.map_err(|error| ToolError::Start {
            program: program.clone(),
            source: io::Error::other(error.to_string()),
        })?;
        // On its own, since a command may write much before it has read all.
        let input = tokio::spawn(feed(session.input, command.stdin));
        Ok(MachineProcess { program, input, output: Some(session.output), code: None })
    }
}

impl Tools for MachineTools {
    fn run(&self, command: ToolCommand) -> BoxFuture<'_, Result<Box<dyn RunningTool>, ToolError>> {
        Box::pin(async move { Ok(Box::new(self.start(command).await?) as Box<dyn RunningTool>) })
    }

    fn put_file<'a>(
        &'a self,
        path: &'a Utf8Path,
        mode: u32,
        content: &'a [u8],
    ) -> BoxFuture<'a, Result<(), ToolError>> {
        let failed = |source| ToolError::PutFile { path: path.to_owned(), source };
        Box::pin(async move {
            let mode = format!("{mode:o}");
            let mut command = ToolCommand::new(["/bin/sh", "-c", PUT_FILE, "-", path.as_str(), &mode]);
            command.stdin = Some(content.to_vec());
            let mut running = self.start(command).await?;
            let mut said = Vec::new();
            while let Some((channel, piece)) = running.next_output().await? {
                if channel == Channel::Err {
                    said.extend_from_slice(&piece);
                }
            }
            match running.wait().await? {
                0 => Ok(()),
                _ => Err(failed(io::Error::other(String::from_utf8_lossy(&said).trim().to_owned()))),
            }
        })
    }
}

/// Gives a command its input, and then holds the way to it open: closing it would end the command.
async fn feed(mut input: ExecInput, bytes: Option<Vec<u8>>) {
    // One that ends without reading everything is not at fault: its status tells what there is to tell.
    if let Some(bytes) = bytes
        && input.send(&bytes).await.is_ok()
    {
        let _ = input.close().await;
    }
    std::future::pending::<()>().await;
}

/// A command under way. It ends when its stream is cut, so dropping this is enough.
struct MachineProcess {
    program: String,
    input: JoinHandle<()>,
    output: Option<ExecOutput>,
    code: Option<i32>,
}

impl MachineProcess {
    fn cut(&mut self) {
        self.input.abort();
        self.output = None;
    }
}

impl Drop for MachineProcess {
    fn drop(&mut self) {
        self.cut();
    }
}

impl RunningTool for MachineProcess {
    fn next_output(&mut self) -> BoxFuture<'_, Result<Option<(Channel, Bytes)>, ToolError>> {
        Box::pin(async move {
            let Some(output) = &mut self.output else { return Ok(None) };
            match output.next().await {
                Ok(ExecEvent::Output(bytes)) => Ok(Some((Channel::Out, bytes))),
                Ok(ExecEvent::ErrorOutput(bytes)) => Ok(Some((Channel::Err, bytes))),
                Ok(ExecEvent::Ended(end)) => {
                    self.code = Some(end.status());
                    self.cut();
                    Ok(None)
                }
                Err(error) => {
                    self.cut();
                    let source = io::Error::other(error.to_string());
                    Err(ToolError::Lost { program: self.program.clone(), source })
                }
            }
        })
    }

    fn wait(&mut self) -> BoxFuture<'_, Result<i32, ToolError>> {
        Box::pin(async move {
            // The status comes behind the output on the same stream.
            while self.next_output().await?.is_some() {}
            let lost = || ToolError::Lost {
                program: self.program.clone(),
                source: io::ErrorKind::ConnectionAborted.into(),
            };
            self.code.ok_or_else(lost)
        })
    }

    fn kill(&mut self) -> BoxFuture<'_, Result<(), ToolError>> {
        self.code.get_or_insert(128 + 9);
        self.cut();
        Box::pin(std::future::ready(Ok(())))
    }
}
