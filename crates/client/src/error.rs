//! What can go wrong between a client and the daemon, and what a person is told about it.

use std::io;

use api::{Problem, ProblemCode};
use camino::Utf8PathBuf;

/// Why no connection to the daemon came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens on the socket.
    #[error("the daemon is not running: nothing answers on `{socket}`")]
    NotRunning {
        /// The socket.
        socket: Utf8PathBuf,
        /// The system's word on it.
        #[source]
        source: io::Error,
    },
    /// The socket belongs to somebody else.
    #[error("`{socket}` belongs to another user")]
    Permission {
        /// The socket.
        socket: Utf8PathBuf,
        /// The system's word on it.
        #[source]
        source: io::Error,
    },
    /// The daemon is of another version than this client.
    #[error("the daemon (pid {pid}) is version {daemon}, this program is version {ours}")]
    VersionSkew {
        /// The daemon's product version.
        daemon: String,
        /// The version of this client.
        ours: String,
        /// The daemon's process.
        pid: u32,
    },
    /// Anything else.
    #[error("could not connect to `{socket}`")]
    Failed {
        /// The socket.
        socket: Utf8PathBuf,
        /// The system's word on it.
        #[source]
        source: io::Error,
    },
}

/// Why a call did not give what it should.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The daemon was not reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The daemon refused, and said why.
    #[error("{problem}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The daemon's reason.
        problem: Box<Problem>,
    },
    /// The connection broke while the call went on.
    #[error("the connection to the daemon broke during `{call}`")]
    Broken {
        /// Method and path.
        call: String,
        /// Where it broke.
        #[source]
        source: hyper::Error,
    },
    /// The daemon answered with something else than agreed.
    #[error("the daemon's answer to `{call}` (status {status}) cannot be read")]
    Unreadable {
        /// Method and path.
        call: String,
        /// The HTTP status.
        status: u16,
        /// What was expected.
        #[source]
        source: serde_json::Error,
    },
    /// The daemon did not agree to an upgraded stream.
    #[error("the daemon answered `{call}` with status {status} instead of opening a stream")]
    NotUpgraded {
        /// Method and path.
        call: String,
        /// The HTTP status.
        status: u16,
    },
}

/// Why a running process was lost.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The stream broke.
    #[error("the connection to the process broke")]
    Broken(#[source] io::Error),
    /// The stream ended before the process did.
    #[error("the connection ended before the process did")]
    Cut,
    /// The stream holds something that is no frame.
    #[error("the daemon sent a malformed frame")]
    Malformed(#[from] protocol::FrameTooLong),
    /// A message is not one of those agreed on.
    #[error("the daemon sent an unknown message")]
    UnknownMessage(#[source] serde_json::Error),
}

impl ConnectError {
    /// The error as every client shows it.
    pub fn problem(&self) -> Problem {
        let problem = |code| with_causes(Problem::new(code, self.to_string()), self);
        match self {
            Self::NotRunning { .. } => problem(ProblemCode::DaemonUnreachable)
                .with_command("start it in the foreground to see what it says", "cove daemon"),
            Self::Permission { .. } => problem(ProblemCode::DaemonUnreachable)
                .with_hint("each user has a daemon of their own: set `COVE_HOME` to a folder that is yours"),
            Self::VersionSkew { .. } => problem(ProblemCode::VersionSkew).with_command(
                "stop the other daemon; the next command starts the one of this version, and machines run on",
                "cove daemon stop",
            ),
            Self::Failed { .. } => problem(ProblemCode::DaemonUnreachable),
        }
    }
}

impl CallError {
    /// The error as every client shows it: the daemon's own problem where it gave one.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Connect(error) => error.problem(),
            Self::Refused { problem, .. } => (**problem).clone(),
            Self::Broken { .. } => {
                with_causes(Problem::new(ProblemCode::DaemonUnreachable, self.to_string()), self)
                    .with_hint("run the command again: the daemon is started when it is needed")
            }
            Self::Unreadable { .. } | Self::NotUpgraded { .. } => {
                with_causes(Problem::new(ProblemCode::VersionSkew, self.to_string()), self)
                    .with_command("stop the daemon and try again", "cove daemon stop")
            }
        }
    }

    /// Whether the daemon said that the thing asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

impl ExecError {
    /// The error as every client shows it.
    pub fn problem(&self) -> Problem {
        with_causes(Problem::new(ProblemCode::DaemonUnreachable, self.to_string()), self)
            .with_hint("the process may still run: look with `ps` in a new shell")
    }
}

/// Adds the sources of an error whose own text is the title already.
pub(crate) fn with_causes(problem: Problem, error: &dyn std::error::Error) -> Problem {
    match error.source() {
        Some(source) => problem.caused_by(source),
        None => problem,
    }
}
