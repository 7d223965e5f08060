//! Brings the daemon up when nothing answers.
//!
//! The daemon is looked for beside the running program, then in `PATH`. It gets a process group of its own, no
//! standard input, and its output appended to `coved.log`, so that neither a closed terminal nor ctrl-c ends it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use api::{HomeLayout, Problem, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::time::Instant;

use crate::error::with_causes;
use crate::{CallError, Client, ConnectError};

/// File name of the daemon.
const PROGRAM: &str = "coved";
/// How long a started daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait for another daemon once the started one gave way to it.
const PATIENCE_AFTER_END: Duration = Duration::from_secs(3);
/// Pause between two looks at the socket.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// Lines of the log that an error shows.
const TAIL_LINES: usize = 12;
/// Most bytes of the log that are read for them.
const TAIL_BYTES: u64 = 16 * 1024;

/// Why the daemon could not be brought up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It answers, but not as it should.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Its program is nowhere.
    #[error("the program `{name}` is neither beside `{beside}` nor in PATH")]
    ProgramMissing {
        /// The program.
        name: &'static str,
        /// The running program, beside which it was looked for.
        beside: Utf8PathBuf,
    },
    /// The folder or the log cannot be written.
    #[error("could not write `{path}`")]
    StateFolder {
        /// The folder or file.
        path: Utf8PathBuf,
        /// The system's word on it.
        #[source]
        source: io::Error,
    },
    /// Its program cannot be run.
    #[error("could not run `{program}`")]
    NotRunnable {
        /// The program.
        program: Utf8PathBuf,
        /// The system's word on it.
        #[source]
        source: io::Error,
    },
    /// It ended at once.
    #[error("the daemon `{program}` ended at its start ({status})")]
    Ended {
        /// The program.
        program: Utf8PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote last.
        log_tail: Vec<String>,
    },
    /// It runs and does not answer.
    #[error("the daemon `{program}` was started and does not answer after {} s", PATIENCE.as_secs())]
    Silent {
        /// The program.
        program: Utf8PathBuf,
        /// What it wrote last.
        log_tail: Vec<String>,
    },
}

impl StartError {
    /// The error as every client shows it.
    pub fn problem(&self) -> Problem {
        if let Self::Call(error) = self {
            return error.problem();
        }
        let problem = with_causes(Problem::new(ProblemCode::DaemonUnreachable, self.to_string()), self);
        match self {
            Self::Ended { log_tail, .. } | Self::Silent { log_tail, .. } => problem
                .with_log(log_tail.clone())
                .with_command("start it in the foreground to see what it says", "cove daemon"),
            Self::ProgramMissing { name, .. } => {
                problem.with_hint(format!("install `{name}` beside `cove`: both come from one build"))
            }
            Self::StateFolder { .. } => {
                problem.with_hint("the state folder is `~/.cove` unless `COVE_HOME` names another")
            }
            Self::Call(_) | Self::NotRunnable { .. } => problem,
        }
    }
}

impl Client {
    /// A client whose daemon answers and is of this version; starts the daemon when nothing answers.
    ///
    /// # Errors
    /// [`StartError`]; a daemon that was started and does not answer is left alone.
    pub async fn connect_or_start(home: &HomeLayout) -> Result<Self, StartError> {
        let client = Self::new(home);
        match client.check_version().await {
            Ok(_) => Ok(client),
            // One that was just killed may still take a connection, and drops it unanswered. Where one lives all the
            // same, a second gives way to it.
            Err(CallError::Connect(ConnectError::NotRunning { .. }) | CallError::Broken { .. }) => {
                start(&client, home).await?;
                Ok(client)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Path of the daemon's program: beside the running program, else in `PATH`.
    ///
    /// # Errors
    /// [`StartError::ProgramMissing`].
    pub fn daemon_program() -> Result<Utf8PathBuf, StartError> {
        Self::program(PROGRAM)
    }

    /// Path of a program of Cove's: beside the running program, else in `PATH`.
    ///
    /// # Errors
    /// [`StartError::ProgramMissing`].
    pub fn program(name: &'static str) -> Result<Utf8PathBuf, StartError> {
        // Where the program is, not where a link to it is: macOS tells the latter.
        let ours = std::env::current_exe().and_then(std::fs::canonicalize).unwrap_or_default();
        let beside = ours.parent().map(|folder| folder.join(name));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let in_path = std::env::split_paths(&path).map(|folder| folder.join(name));
        beside
            .into_iter()
            .chain(in_path)
            .filter_map(|candidate| Utf8PathBuf::from_path_buf(candidate).ok())
            .find(|candidate| candidate.is_file())
            .ok_or_else(|| StartError::ProgramMissing {
                name,
                beside: Utf8PathBuf::from(ours.to_string_lossy().into_owned()),
            })
    }
}

async fn start(client: &Client, home: &HomeLayout) -> Result<(), StartError> {
    let program = Client::daemon_program()?;
    let (log, log_start) = open_log(home)?;
    let child = spawn(&program, home, log)?;
    wait_for_answer(client, program, child, || tail(&home.daemon_log(), log_start)).await
}

/// Makes the state folder and opens the log for appending; also tells where the new part begins.
fn open_log(home: &HomeLayout) -> Result<(File, u64), StartError> {
    let failed = |path: &Utf8Path| {
        let path = path.to_owned();
        move |source| StartError::StateFolder { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(home.root()).map_err(failed(home.root()))?;
    let path = home.daemon_log();
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(failed(&path))?;
    let length = log.metadata().map_err(failed(&path))?.len();
    Ok((log, length))
}

fn spawn(program: &Utf8Path, home: &HomeLayout, log: File) -> Result<Child, StartError> {
    let failed = |source| StartError::NotRunnable { program: program.to_owned(), source };
    let errors = log.try_clone().map_err(failed)?;
    Command::new(program)
        .arg("serve")
        .env("COVE_HOME", home.root())
        // Not the caller's: the daemon would keep that folder busy for as long as it lives.
        .current_dir(home.root())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(failed)
}

async fn wait_for_answer(
    client: &Client,
    program: Utf8PathBuf,
    mut child: Child,
    log_tail: impl Fn() -> Vec<String>,
) -> Result<(), StartError> {
    let mut deadline = Instant::now() + PATIENCE;
    let mut ended = None;
    loop {
        match client.check_version().await {
            Ok(_) => {
                // A client that lives longer than the daemon collects it.
                std::thread::spawn(move || child.wait());
                return Ok(());
            }
            // A daemon that just bound its socket may drop a connection made before it serves.
            Err(CallError::Connect(ConnectError::NotRunning { .. }) | CallError::Broken { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // Two commands may start a daemon at the same time: the second gives way, and the first one answers.
        if ended.is_none()
            && let Ok(Some(status)) = child.try_wait()
        {
            ended = Some(status);
            deadline = Instant::now() + PATIENCE_AFTER_END;
        }
        if Instant::now() >= deadline {
            let log_tail = log_tail();
            return Err(match ended {
                Some(status) => StartError::Ended { program, status, log_tail },
                None => StartError::Silent { program, log_tail },
            });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The last lines of a log after a position. What cannot be read is left out: it goes with a better error.
fn tail(path: &Utf8Path, start: u64) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut log = File::open(path)?;
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(start.max(length.saturating_sub(TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        log.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
}
