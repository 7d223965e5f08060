//! The last steps of a process before it becomes a program of the person's choosing.
//!
//! It leads a session of its own, has its terminal, and is hung up when the program that started it dies, however that
//! dies. Code between `fork` and `exec` would be unsafe; a short life as this program is not. It is started as
//! `cove-inside session KIND NAME PROGRAM ARGUMENT…`, where NAME is what the program finds as its own.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::process::{Signal, getppid, ioctl_tiocsctty, set_parent_process_death_signal, setsid};

use crate::chain;

/// What the process has as standard input and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A terminal, which becomes its controlling one.
    Terminal,
    /// Pipes.
    Pipes,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Pipes => "pipes",
        }
    }
}

/// A command that leads to a program by way of [`main`].
pub(crate) fn command(kind: Kind, name: &str, program: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["session", kind.word(), &std::process::id().to_string(), name, program]);
    command
}

/// Becomes the program; returns only if that fails.
pub(crate) fn main(words: Vec<OsString>) -> Result<(), String> {
    let [kind, parent, name, program, rest @ ..] = words.as_slice() else {
        return Err("`session` is started by the program itself".to_owned());
    };
    setsid().map_err(|error| format!("cannot begin a session: {error}"))?;
    if kind == Kind::Terminal.word() {
        ioctl_tiocsctty(rustix::stdio::stdin())
            .map_err(|error| format!("cannot take the terminal: {error}"))?;
    }
    let _ = set_parent_process_death_signal(Some(Signal::HUP));
    // It may have died before the kernel was told to watch it.
    let watched = getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if watched.is_none_or(|pid| *parent != *pid) {
        return Ok(());
    }
    let error = Command::new(program)
        .arg0(name)
        .args(rest)
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .exec();
    Err(format!("cannot start {}: {}", program.to_string_lossy(), chain(&error)))
}
