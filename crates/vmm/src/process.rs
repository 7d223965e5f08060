//! Programs that carry a machine: finding them and starting them.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::Error;

/// Lines of a program's log that are kept for the report of its end.
const TAIL_LINES: usize = 20;

/// How long a program's log is read after its end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Longest line that is kept of a program's log, in bytes.
const TAIL_LINE_BYTES: usize = 400;

/// Looks a program up in `PATH`.
pub(crate) fn find_on_path(program: &str) -> Option<Utf8PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .filter_map(|folder| Utf8PathBuf::from_path_buf(folder).ok())
        .map(|folder| folder.join(program))
        .find(|file| is_executable(file))
}

/// Whether a file is there and may be run.
pub(crate) fn is_executable(file: &Utf8Path) -> bool {
    file.is_file() && rustix::fs::access(file.as_std_path(), rustix::fs::Access::EXEC_OK).is_ok()
}

/// A program to start.
pub(crate) struct Launch<'a> {
    /// Words in front of the program, which run it and see to it that it dies with this process.
    pub launcher: &'a [OsString],
    /// The program.
    pub program: &'a Utf8Path,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its working folder.
    pub folder: &'a Utf8Path,
    /// Its standard input; empty without.
    pub input: Option<OwnedFd>,
    /// Its standard output; nowhere without.
    pub output: Option<OwnedFd>,
}

/// A started program. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    /// The name for messages.
    pub name: String,
    /// Its process.
    pub child: Child,
    tail: Arc<Mutex<Vec<String>>>,
    log: Option<JoinHandle<()>>,
}

impl Launch<'_> {
    /// Starts it. What it writes to standard error goes to the log, and its end is kept.
    pub(crate) fn start(self) -> Result<Running, Error> {
        let mut words = self.launcher.iter().cloned();
        let mut command = match words.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(self.program);
                command
            }
            None => Command::new(self.program),
        };
        command
            .args(self.arguments)
            .current_dir(self.folder)
            .stdin(self.input.map_or_else(Stdio::null, Stdio::from))
            .stdout(self.output.map_or_else(Stdio::null, Stdio::from))
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child =
            command.spawn().map_err(|source| Error::Spawn { program: self.program.to_owned(), source })?;
        let name = self.program.file_name().unwrap_or(self.program.as_str()).to_owned();
        let tail = Arc::new(Mutex::new(Vec::new()));
        let stderr = child.stderr.take().map(BufReader::new);
        let log = stderr.map(|stderr| tokio::spawn(follow(name.clone(), stderr, Arc::clone(&tail))));
        Ok(Running { name, child, tail, log })
    }
}

impl Running {
    /// Waits for its end and for its last words. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        if let Some(log) = &mut self.log {
            // Its end of the pipe is closed by now, unless it left a child behind.
            let _ = tokio::time::timeout(LAST_WORDS, log).await;
            self.log = None;
        }
        Ok(status)
    }

    /// The error for its unexpected end.
    pub(crate) fn died(&self, status: ExitStatus) -> Error {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        Error::Died { program: self.name.clone(), status: status.to_string(), log_tail: tail.join("\n") }
    }
}

async fn follow<R>(name: String, mut stderr: R, tail: Arc<Mutex<Vec<String>>>)
where
    R: tokio::io::AsyncBufRead + Unpin,
{
    let mut line = Vec::new();
    while matches!(stderr.read_until(b'\n', &mut line).await, Ok(read) if read > 0) {
        line.truncate(TAIL_LINE_BYTES);
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        tracing::info!(program = %name, "{text}");
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL_LINES {
            tail.remove(0);
        }
        tail.push(text);
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_a_program_is_told_with_its_last_words() {
        let launch = Launch {
            launcher: &["env".into()],
            program: Utf8Path::new("/bin/sh"),
            arguments: vec!["-c".into(), "echo first >&2; echo no such disk >&2; exit 3".into()],
            folder: Utf8Path::new("/"),
            input: None,
            output: None,
        };
        let mut running = launch.start().unwrap();
        let status = running.ended().await.unwrap();
        let message = running.died(status).to_string();
        assert!(message.starts_with("`sh` ended unexpectedly (exit status: 3)"), "{message}");
        assert!(message.ends_with("first\nno such disk"), "{message}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_named() {
        let launch = Launch {
            launcher: &[],
            program: Utf8Path::new("/nonexistent/qemu"),
            arguments: Vec::new(),
            folder: Utf8Path::new("/"),
            input: None,
            output: None,
        };
        assert!(
            matches!(launch.start(), Err(Error::Spawn { program, .. }) if program == "/nonexistent/qemu")
        );
    }
}
