//! Runs the engine's commands in Cove's machine, for a computer without `docker`.

use std::io;

use camino::Utf8Path;
use client::{Client, ExecEvent, ExecSession};
use engine::{Channel, RunningTool, StreamPiece, StreamedTool, ToolCommand, ToolError, Tools};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};

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

    async fn start(&self, command: ToolCommand) -> Result<StreamedTool, ToolError> {
        let program = command.argv.first().cloned().unwrap_or_default();
        let request = api::ExecRequest {
            argv: command.argv,
            env: command.env,
            cwd: command.cwd.map(Into::into),
            user: None,
            terminal: None,
            input: command.stdin.is_some(),
            masked: false,
            automation: None,
        };
        let session = self.client.exec_in_machine(api::DEFAULT_MACHINE, &request).await;
        let session = session.map_err(|error| ToolError::Start {
            program: program.clone(),
            source: io::Error::other(error.to_string()),
        })?;
        let ExecSession { mut input, output } = session;
        let feed = async move {
            // One that ends without reading everything is not at fault: its status tells what there is to tell.
            if let Some(bytes) = command.stdin
                && input.send(&bytes).await.is_ok()
            {
                let _ = input.close().await;
            }
            input
        };
        let pieces = stream::unfold(output, |mut output| async {
            let piece = match output.next().await {
                Ok(ExecEvent::Output(bytes)) => Ok(StreamPiece::Output(Channel::Out, bytes)),
                Ok(ExecEvent::ErrorOutput(bytes)) => Ok(StreamPiece::Output(Channel::Err, bytes)),
                Ok(ExecEvent::Ended(end)) => Ok(StreamPiece::Ended(end.status())),
                Err(error) => Err(io::Error::other(error.to_string())),
            };
            Some((piece, output))
        });
        Ok(StreamedTool::new(program, feed, pieces.boxed()))
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
