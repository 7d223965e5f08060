//! Running commands where the engine lives: in the guest for our own machine, here for a foreign engine.

mod streamed;

use std::collections::BTreeMap;
use std::process::Stdio;

use bytes::{Bytes, BytesMut};
use camino::{Utf8Path, Utf8PathBuf};
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

pub use streamed::{StreamPiece, StreamedTool};

/// A command to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolCommand {
    /// Program and arguments; the program is looked up in `PATH`. Everybody may read these: no secrets here.
    pub argv: Vec<String>,
    /// Variables on top of those that are there.
    pub env: BTreeMap<String, String>,
    /// Working folder.
    pub cwd: Option<Utf8PathBuf>,
    /// Bytes for its standard input; `None` for an empty one.
    pub stdin: Option<Vec<u8>>,
}

/// Which of a program's outputs a piece came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The place where the engine's commands run and its generated files lie.
pub trait Tools: Send + Sync {
    /// Starts a command.
    fn run(&self, command: ToolCommand) -> BoxFuture<'_, Result<Box<dyn RunningTool>, ToolError>>;

    /// Writes a file whole, making missing folders; `mode` is its permission bits from the first byte on.
    fn put_file<'a>(
        &'a self,
        path: &'a Utf8Path,
        mode: u32,
        content: &'a [u8],
    ) -> BoxFuture<'a, Result<(), ToolError>>;
}

/// A command under way. Dropping it kills the command.
pub trait RunningTool: Send {
    /// The next piece of output; `None` once both outputs are closed. Safe to cancel.
    fn next_output(&mut self) -> BoxFuture<'_, Result<Option<(Channel, Bytes)>, ToolError>>;

    /// Waits for its end. The exit status, or 128 + n for one that signal n killed. Call it after
    /// `next_output` has given `None`: a full pipe would keep the command from ending.
    fn wait(&mut self) -> BoxFuture<'_, Result<i32, ToolError>>;

    /// Kills it at once.
    fn kill(&mut self) -> BoxFuture<'_, Result<(), ToolError>>;
}

/// A command could not be run or followed to its end.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It did not start.
    #[error("could not start `{program}`")]
    Start {
        /// The program.
        program: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The connection to it broke: whether it ended, nobody knows.
    #[error("lost the running `{program}`")]
    Lost {
        /// The program.
        program: String,
        /// What broke.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("could not write `{path}`")]
    PutFile {
        /// The file.
        path: Utf8PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// A command that has ended, and all it said. For short outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    /// Exit status.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl ToolCommand {
    /// A command without variables or input.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    fn program(&self) -> String {
        self.argv.first().cloned().unwrap_or_default()
    }
}

/// Runs a command to its end and collects what it says.
pub(crate) async fn run_to_end(tools: &dyn Tools, command: ToolCommand) -> Result<ToolOutput, ToolError> {
    let mut running = tools.run(command).await?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some((channel, piece)) = running.next_output().await? {
        match channel {
            Channel::Out => stdout.extend_from_slice(&piece),
            Channel::Err => stderr.extend_from_slice(&piece),
        }
    }
    Ok(ToolOutput { code: running.wait().await?, stdout, stderr })
}

/// Runs commands as processes of this host.
#[derive(Debug, Clone, Default)]
pub struct HostTools {
    env: BTreeMap<String, String>,
    programs: BTreeMap<String, String>,
}

impl HostTools {
    /// `env` is given to every command, for instance `DOCKER_HOST`; a command's own variables win.
    pub fn new(env: BTreeMap<String, String>) -> Self {
        Self { env, programs: BTreeMap::new() }
    }

    /// Runs the program at `path` wherever a command says `name`.
    pub fn with_program(mut self, name: &str, path: &str) -> Self {
        self.programs.insert(name.to_owned(), path.to_owned());
        self
    }
}

impl Tools for HostTools {
    fn run(&self, command: ToolCommand) -> BoxFuture<'_, Result<Box<dyn RunningTool>, ToolError>> {
        Box::pin(async move {
            let program = command.program();
            let program = self.programs.get(&program).cloned().unwrap_or(program);
            let mut process = Command::new(&program);
            process.args(command.argv.iter().skip(1)).envs(&self.env).envs(&command.env);
            if let Some(cwd) = &command.cwd {
                process.current_dir(cwd);
            }
            let input = if command.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
            process.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
            let mut child =
                process.spawn().map_err(|source| ToolError::Start { program: program.clone(), source })?;
            if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), command.stdin) {
                // On its own, since a command may talk before it has read everything. One that ends without
                // reading breaks the pipe; its exit status tells what there is to tell.
                tokio::spawn(async move { pipe.write_all(&bytes).await });
            }
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            Ok(Box::new(HostProcess { program, child, stdout, stderr }) as Box<dyn RunningTool>)
        })
    }

    fn put_file<'a>(
        &'a self,
        path: &'a Utf8Path,
        mode: u32,
        content: &'a [u8],
    ) -> BoxFuture<'a, Result<(), ToolError>> {
        let failed = move |source| ToolError::PutFile { path: path.to_owned(), source };
        Box::pin(async move {
            if let Some(folder) = path.parent() {
                tokio::fs::create_dir_all(folder).await.map_err(failed)?;
            }
            // Written beside and renamed, so that nobody reads half of it.
            let beside = Utf8PathBuf::from(format!("{path}.new"));
            let mut options = tokio::fs::OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .open(&beside)
                .await
                .map_err(failed)?;
            file.write_all(content).await.map_err(failed)?;
            file.sync_all().await.map_err(failed)?;
            tokio::fs::rename(&beside, path).await.map_err(failed)
        })
    }
}

struct HostProcess {
    program: String,
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl HostProcess {
    fn lost(&self, source: std::io::Error) -> ToolError {
        ToolError::Lost { program: self.program.clone(), source }
    }
}

/// Reads a piece; `None` at the end, after which the pipe is forgotten.
async fn read_piece(pipe: &mut Option<impl AsyncRead + Unpin>) -> std::io::Result<Option<Bytes>> {
    let Some(reader) = pipe else { return Ok(None) };
    let mut piece = BytesMut::with_capacity(16 * 1024);
    if reader.read_buf(&mut piece).await? == 0 {
        *pipe = None;
        return Ok(None);
    }
    Ok(Some(piece.freeze()))
}

impl RunningTool for HostProcess {
    fn next_output(&mut self) -> BoxFuture<'_, Result<Option<(Channel, Bytes)>, ToolError>> {
        Box::pin(async move {
            while self.stdout.is_some() || self.stderr.is_some() {
                let (channel, read) = tokio::select! {
                    read = read_piece(&mut self.stdout), if self.stdout.is_some() => (Channel::Out, read),
                    read = read_piece(&mut self.stderr), if self.stderr.is_some() => (Channel::Err, read),
                };
                if let Some(piece) = read.map_err(|source| self.lost(source))? {
                    return Ok(Some((channel, piece)));
                }
            }
            Ok(None)
        })
    }

    fn wait(&mut self) -> BoxFuture<'_, Result<i32, ToolError>> {
        Box::pin(async move {
            use std::os::unix::process::ExitStatusExt;
            let status = self.child.wait().await.map_err(|source| self.lost(source))?;
            Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
        })
    }

    fn kill(&mut self) -> BoxFuture<'_, Result<(), ToolError>> {
        Box::pin(async move { self.child.start_kill().map_err(|source| self.lost(source)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn input_output_and_status_pass_whole() {
        let tools = HostTools::new(BTreeMap::from([("A".into(), "from the host".into())]));
        let mut command = ToolCommand::new(["sh", "-c", "wc -c; echo \"$A, $B\" >&2; exit 7"]);
        command.env.insert("B".into(), "two\nlines".into());
        command.stdin = Some(vec![b'x'; 1_000_000]);
        let output = run_to_end(&tools, command).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "1000000");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "from the host, two\nlines\n");
        assert_eq!(output.code, 7);
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let error =
            run_to_end(&HostTools::default(), ToolCommand::new(["no-such-program"])).await.unwrap_err();
        assert_eq!(error.to_string(), "could not start `no-such-program`");
    }

    #[tokio::test]
    async fn files_are_private_from_the_start() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().join("a/b/env")).unwrap();
        HostTools::default().put_file(&path, 0o600, b"K=V").await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"K=V");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
