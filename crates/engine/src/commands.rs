//! Lifecycle commands in a container, in all their forms.

use std::collections::BTreeMap;

use devcontainer::Command;
use futures::StreamExt;
use futures::future::join_all;

use crate::connect::Engine;
use crate::exec::{ExecControl, ExecError, ExecSpec};
use crate::progress::{Lines, Progress, ProgressExt, Tail};
use crate::tools::Channel;

/// Where and as whom a lifecycle command runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandContext {
    /// The container, by name or id.
    pub container: String,
    /// The user; the container's own when `None`.
    pub user: Option<String>,
    /// The working folder; the container's own when `None`.
    pub cwd: Option<String>,
    /// Variables on top of the container's.
    pub env: BTreeMap<String, String>,
}

/// A lifecycle command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It ran and failed.
    #[error("{item} failed with exit status {exit_code}: {command}")]
    Failed {
        /// The command's name, for one of several at the same time with its own name in brackets.
        item: String,
        /// The command as written.
        command: String,
        /// Its exit status; 128 + n when signal n killed it.
        exit_code: i32,
        /// The last lines that it said.
        log_tail: Vec<String>,
    },
    /// It could not be run.
    #[error("could not run {item}")]
    Exec {
        /// The command's name.
        item: String,
        /// Why not.
        #[source]
        source: ExecError,
    },
}

impl Engine {
    /// Runs a lifecycle command to its end; `item` is the name under which its lines are reported. Commands
    /// in parallel are all run to their ends, then the first that failed is the error. Dropping the future
    /// kills what runs.
    pub async fn run_command(
        &self,
        command: &Command,
        context: &CommandContext,
        item: &str,
        progress: &dyn Progress,
    ) -> Result<(), CommandError> {
        match command {
            Command::Shell(line) => {
                let argv = ["/bin/sh", "-c", line].map(str::to_owned).to_vec();
                self.run_single(argv, line, context, item, progress).await
            }
            Command::Exec(argv) => {
                self.run_single(argv.clone(), &argv.join(" "), context, item, progress).await
            }
            Command::Parallel(commands) => {
                let all = commands.iter().map(async |(name, command)| {
                    Box::pin(self.run_command(command, context, &format!("{item} ({name})"), progress)).await
                });
                join_all(all).await.into_iter().collect()
            }
        }
    }

    async fn run_single(
        &self,
        argv: Vec<String>,
        written: &str,
        context: &CommandContext,
        item: &str,
        progress: &dyn Progress,
    ) -> Result<(), CommandError> {
        let spec = ExecSpec {
            argv,
            env: context.env.clone(),
            user: context.user.clone(),
            cwd: context.cwd.clone(),
            terminal: None,
            input: false,
        };
        let started = tokio::time::Instant::now();
        progress.started(item);
        let mut tail = Tail::default();
        let ended = self.follow(&context.container, &spec, |line| {
            progress.line(item, line);
            tail.push(line);
        });
        match ended.await {
            Ok(0) => {
                progress.finished(item, Some(started.elapsed()), false);
                Ok(())
            }
            Ok(exit_code) => {
                progress.broke(item);
                let (item, command) = (item.to_owned(), written.to_owned());
                Err(CommandError::Failed { item, command, exit_code, log_tail: tail.into_lines() })
            }
            Err(source) => {
                progress.broke(item);
                Err(CommandError::Exec { item: item.to_owned(), source })
            }
        }
    }

    /// Runs a program to its end and gives every line that it says. Dropping the future kills it.
    async fn follow(
        &self,
        container: &str,
        spec: &ExecSpec,
        mut line: impl FnMut(&str),
    ) -> Result<i32, ExecError> {
        let session = self.exec(container, spec).await?;
        let mut output = session.output;
        let mut guard = KillOnDrop(Some(session.control));
        let (mut out, mut err) = (Lines::default(), Lines::default());
        while let Some(piece) = output.next().await {
            let (channel, bytes) = piece?;
            let lines = if channel == Channel::Out { &mut out } else { &mut err };
            lines.push(&bytes).iter().for_each(|said| line(said));
        }
        out.finish().iter().chain(&err.finish()).for_each(|said| line(said));
        let control = guard.0.take().expect("nothing has taken it before");
        Ok(control.exit_code().await?)
    }

    /// Runs a program to its end and gives its exit status and standard output. Dropping the future kills it.
    pub(crate) async fn capture(
        &self,
        container: &str,
        spec: &ExecSpec,
    ) -> Result<(i32, Vec<u8>), ExecError> {
        let session = self.exec(container, spec).await?;
        let mut output = session.output;
        let mut guard = KillOnDrop(Some(session.control));
        let mut said = Vec::new();
        while let Some(piece) = output.next().await {
            let (channel, bytes) = piece?;
            if channel == Channel::Out {
                said.extend_from_slice(&bytes);
            }
        }
        let control = guard.0.take().expect("nothing has taken it before");
        let code = control.exit_code().await?;
        Ok((code, said))
    }
}

/// Kills a program when the one who waits for it goes away.
struct KillOnDrop(Option<ExecControl>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(control) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                if let Err(error) = control.kill().await {
                    tracing::warn!(%error, "could not kill a command that nobody waits for");
                }
            });
        }
    }
}
