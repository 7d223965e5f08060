//! What works inside of a container: one static program that every container of a machine has at
//! `/dev/cove/bin/cove-inside`, mounted there by the agent.
//!
//! The daemon runs it by the engine's exec, as the user and with the variables it is to work for. It needs nothing of
//! the image: neither a shell, nor a C library, nor a folder that can be written. What it must keep to itself comes on
//! standard input, since every process of the container can read its arguments.
//!
//! Its first argument says what it does; each is a module. By some names it is the program of that name: `gh`, docker's
//! credential helper, what git signs with.
//!
//! | argument | what it is |
//! |---|---|
//! | `automations` | [`automations`]: tasks and services of the environment |
//! | `keep-alive` | [`keep_alive`]: the environment is in use while a command runs |
//! | `kept-alive` | whether that is so |
//! | `secrets` | [`secrets`]: files of secrets |
//! | `grants` | [`grants`]: carries requests for credentials that a person granted |
//! | `grants-files` | what git and others have to know of that, as root |
//! | `git-credential` | a credential helper of git's |
//! | `ssh` | [`ssh`]: an ssh server for the one connection on its standard input and output |
//! | `wait` | [`wait`]: the first process of a container that is there for others |
//! | `session` | [`session`]: the last steps of a process before it becomes somebody else's program |

mod automations;
mod grants;
mod keep_alive;
mod resolve;
mod secrets;
mod session;
mod ssh;
mod wait;

use std::process::ExitCode;

use protocol::inside::{KEEP_ALIVE, KEPT_ALIVE, WAIT};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if let Some(done) = grants::by_name() {
        return done;
    }
    let first = arguments.next().map(|word| word.to_string_lossy().into_owned());
    let done = match first.as_deref() {
        Some("grants") => grants::main(arguments.collect()).map(|()| ExitCode::SUCCESS),
        Some("grants-files") => grants::files().map(|()| ExitCode::SUCCESS),
        Some("git-credential") => grants::git_credential(arguments.collect()).map(|()| ExitCode::SUCCESS),
        Some("automations") => automations::main(arguments.collect()).map(|()| ExitCode::SUCCESS),
        Some(KEEP_ALIVE) => keep_alive::main(arguments.collect()),
        Some(KEPT_ALIVE) => keep_alive::is_held(),
        Some("ssh") => ssh::main().map(|()| ExitCode::SUCCESS),
        Some("session") => session::main(arguments.collect()).map(|()| ExitCode::SUCCESS),
        Some(WAIT) => wait::main().map(|()| ExitCode::SUCCESS),
        Some("secrets") => secrets::main().map(|()| ExitCode::SUCCESS),
        Some("--version") => {
            say(std::io::stdout(), concat!("cove-inside ", env!("CARGO_PKG_VERSION")));
            Ok(ExitCode::SUCCESS)
        }
        Some(unknown) => Err(format!("there is no `{unknown}` here")),
        None => Err("started by Cove; not meant to be typed".to_owned()),
    };
    match done {
        Ok(code) => code,
        Err(message) => {
            say(std::io::stderr(), &format!("cove-inside: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to somebody who may be gone.
fn say(mut to: impl std::io::Write, line: &str) {
    let _ = writeln!(to, "{line}");
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
