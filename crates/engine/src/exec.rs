//! Running programs in a container.

mod hijack;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use bollard::models::ExecConfig;
use bollard::query_parameters::ResizeExecOptionsBuilder;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::Serialize;
use tokio::io::AsyncWrite;

use crate::connect::Engine;
use crate::error::EngineError;
use crate::tools::{Channel, ToolCommand, run_to_end};

/// How long the engine may take to learn a program's exit status after the program's output has ended.
const STATUS_DEADLINE: Duration = Duration::from_secs(10);

/// Kills the process of the number `$0` and all of its group, which a program that the engine starts leads. Debian's
/// shell takes a group after `-s KILL --` only, not after `-KILL --`.
const KILL: &str = "kill -s KILL -- -\"$0\" || kill -s KILL \"$0\"";

/// Ends unless the process sees the same files as the container's first one, `$1`, and others than we do.
const OF_THE_CONTAINER: &str = "files() { readlink \"/proc/$1/ns/mnt\"; }; theirs=$(files \"$0\") || exit 0; \
    [ \"$theirs\" = \"$(files \"$1\")\" ] && [ \"$theirs\" != \"$(files self)\" ] || exit 0";

/// A program to run in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// Program and arguments; the program is looked up in the container's `PATH`.
    pub argv: Vec<String>,
    /// Variables on top of the container's.
    pub env: BTreeMap<String, String>,
    /// The user, as `name`, `uid`, `name:group` or `uid:gid`; the container's own when `None`.
    pub user: Option<String>,
    /// The working folder; the container's own when `None`.
    pub cwd: Option<String>,
    /// A terminal of this size instead of pipes.
    pub terminal: Option<TerminalSize>,
    /// Whether input will come; without it standard input is empty.
    pub input: bool,
}

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// Pieces of what a program writes.
pub type OutputStream = BoxStream<'static, Result<(Channel, Bytes), EngineError>>;

/// A program that runs in a container. Dropping the parts does not end it: see [`ExecControl::kill`].
pub struct ExecSession {
    /// Its standard input. Shutting it down is the end of input for a program without a terminal.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// What it writes, in pieces as they come; on a terminal all of it is [`Channel::Out`]. Ends with the
    /// program, or within seconds after it when something it started still holds its outputs.
    pub output: OutputStream,
    /// The rest of what one can do with it.
    pub control: ExecControl,
}

/// A handle on a program that runs in a container. A copy is as good as the original.
#[derive(Debug, Clone)]
pub struct ExecControl {
    engine: Engine,
    id: String,
}

/// A program could not be run in a container.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The container does not exist.
    #[error("there is no container `{container}`")]
    NoContainer {
        /// The container as it was named.
        container: String,
    },
    /// The container exists but does not run.
    #[error("the container `{container}` is not running")]
    NotRunning {
        /// The container as it was named.
        container: String,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Starts a program in a running container. A program or user that does not exist shows as exit status
    /// 126 or 127 with the runtime's words as output, as in a shell.
    pub async fn exec(&self, container: &str, spec: &ExecSpec) -> Result<ExecSession, ExecError> {
        let operation = format!("run `{}` in `{container}`", spec.argv.first().map_or("", String::as_str));
        let size = spec.terminal.map(|size| [size.rows, size.columns]);
        let config = ExecConfig {
            attach_stdin: Some(spec.input),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(size.is_some()),
            console_size: size.map(|size| size.map(usize::from).to_vec()),
            env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            cmd: Some(spec.argv.clone()),
            user: spec.user.clone(),
            working_dir: spec.cwd.clone(),
            ..ExecConfig::default()
        };
        let created = self.api(&operation)?.create_exec(container, config).await;
        let id = match created.map_err(|error| self.failed(&operation, error)) {
            Ok(created) => created.id,
            Err(error) if error.is_not_found() => {
                return Err(ExecError::NoContainer { container: container.to_owned() });
            }
            Err(error) if error.is_conflict() => {
                return Err(ExecError::NotRunning { container: container.to_owned() });
            }
            Err(error) => return Err(error.into()),
        };
        let start = StartExec { detach: false, tty: size.is_some(), console_size: size };
        let (input, output) = hijack::start(self, &id, &operation, &start).await?;
        Ok(ExecSession { input, output, control: ExecControl { engine: self.clone(), id } })
    }
}

/// The body of the request that starts a program.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StartExec {
    detach: bool,
    tty: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    console_size: Option<[u16; 2]>,
}

impl ExecControl {
    /// Tells the program that its terminal has a new size.
    pub async fn resize(&self, size: TerminalSize) -> Result<(), EngineError> {
        let operation = "resize a terminal";
        let options = ResizeExecOptionsBuilder::new().h(size.rows.into()).w(size.columns.into()).build();
        let done = self.engine.api(operation)?.resize_exec(&self.id, options).await;
        done.map_err(|error| self.engine.failed(operation, error))
    }

    /// The program's exit status; to be asked once its output has ended. 128 + n when signal n killed it.
    pub async fn exit_code(&self) -> Result<i32, EngineError> {
        let operation = "tell how a program ended";
        let deadline = tokio::time::Instant::now() + STATUS_DEADLINE;
        loop {
            if let Some(code) = self.inspect(operation).await?.exit_code {
                return Ok(i32::try_from(code).unwrap_or(i32::MAX));
            }
            if tokio::time::Instant::now() > deadline {
                let message = "its output has ended but it still runs";
                return Err(EngineError::from_message(operation, None, message));
            }
            // The output ends a moment before the engine has noted the status; there is no call that waits.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills the program and what it started, but for what has a group of processes of its own. Fine when it has ended.
    ///
    /// The engine has no call for it. The signal goes to the process from outside the container, where the
    /// engine runs. Where that is another computer or another user's business, the program runs on: the process
    /// is looked at first, and a stranger of the same number is left alone.
    pub async fn kill(&self) -> Result<(), EngineError> {
        let operation = "kill a program";
        let said = self.inspect(operation).await?;
        let Some(pid) = said.pid.filter(|pid| *pid > 1 && said.running == Some(true)) else { return Ok(()) };
        let mut argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), KILL.to_owned(), pid.to_string()];
        if self.engine.is_foreign() {
            let container = self.engine.container(&said.container_id.unwrap_or_default()).await?;
            let Some(first) = container.and_then(|container| container.pid) else { return Ok(()) };
            argv[2] = format!("{OF_THE_CONTAINER}; {KILL}");
            argv.push(first.to_string());
        }
        let command = ToolCommand::new(argv);
        run_to_end(&*self.engine.tools, command)
            .await
            .map_err(|source| Engine::tool_failed(operation, source))?;
        Ok(())
    }

    async fn inspect(&self, operation: &str) -> Result<bollard::models::ExecInspectResponse, EngineError> {
        let said = self.engine.api(operation)?.inspect_exec(&self.id).await;
        said.map_err(|error| self.engine.failed(operation, error))
    }
}
