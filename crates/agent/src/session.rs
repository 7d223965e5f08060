//! The last steps of a process before it becomes a program of the host's choosing.
//!
//! A terminal must be taken by the new process itself, after it has left the agent's session, and memory score
//! and cgroup must be right before the program can fork. Code between `fork` and `exec` would be unsafe; a short
//! life as this program is not. It is started as `cove-session [--terminal] FOLDER PROGRAM ARGUMENT…`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use crate::{console, mounts};

/// Where programs are looked for in the guest.
pub(crate) const PATH: &str = "/opt/cove/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";

/// The word before the folder that asks for a controlling terminal.
pub(crate) const TERMINAL: &str = "--terminal";

/// Status for a program that cannot be started, as shells have it.
const CANNOT_START: u8 = 126;

/// Becomes the program; returns only if that fails.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let (wants_terminal, words) = match arguments.split_first() {
        Some((first, rest)) if first == TERMINAL => (true, rest),
        _ => (false, arguments),
    };
    let [folder, program, rest @ ..] = words else {
        console::say("cove-session is started by the agent, not by hand");
        return ExitCode::from(2);
    };
    // Best effort: without them the program runs in the agent's group, or with the agent's score.
    let _ = mounts::join_cgroup("exec", rustix::process::getpid().as_raw_nonzero().get());
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    if let Err(error) = rustix::process::setsid() {
        console::say(&format!("cannot begin a session: {error}"));
        return ExitCode::from(CANNOT_START);
    }
    if wants_terminal && let Err(error) = rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()) {
        console::say(&format!("cannot take the terminal: {error}"));
        return ExitCode::from(CANNOT_START);
    }
    if let Err(error) = std::env::set_current_dir(folder) {
        console::say(&format!("cannot enter {}: {error}", folder.to_string_lossy()));
        return ExitCode::from(CANNOT_START);
    }
    let error = Command::new(program).args(rest).exec();
    console::say(&format!("cannot start {}: {error}", program.to_string_lossy()));
    ExitCode::from(CANNOT_START)
}
