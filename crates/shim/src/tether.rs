//! Ties a program's life to this process's, also for the day when this process is killed without a warning.
//!
//! The machine's programs are started through `cove-shim tether`, which sees to it that the program dies with its
//! starter, whatever happens to us, and then becomes the program.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::getppid;

#[cfg(target_os = "linux")]
use linux::{this_program, tie};
#[cfg(target_os = "macos")]
pub(crate) use macos::keep_watch;
#[cfg(target_os = "macos")]
use macos::{this_program, tie};

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system refused.
    #[error("cannot tie the program's life to the shim's")]
    Refused(#[source] io::Error),
    /// The starter died before its death could be watched for.
    #[error("the shim has ended already")]
    Orphaned,
    /// The program cannot be run.
    #[error("cannot run `{program}`")]
    Program {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The words to put in front of a program.
///
/// # Errors
/// When the system does not tell where this program is.
pub(crate) fn launcher() -> io::Result<Vec<OsString>> {
    let parent = std::process::id().to_string();
    let words = [this_program()?, "tether".into(), "--parent".into(), parent.into(), "--".into()];
    Ok(words.to_vec())
}

/// Becomes the program; returns only when that fails.
pub(crate) fn become_program(parent: u32, command: &[OsString]) -> Error {
    if let Err(error) = tie(parent) {
        return Error::Refused(error);
    }
    let present = getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
    if present != Some(parent) {
        return Error::Orphaned;
    }
    let (program, arguments) = command.split_first().expect("clap requires at least one word");
    let source = Command::new(program).args(arguments).exec();
    Error::Program { program: program.to_string_lossy().into_owned(), source }
}
