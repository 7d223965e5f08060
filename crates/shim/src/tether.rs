//! Ties a program's life to this process's, also for the day when this process is killed without a warning.
//!
//! The machine's programs are started through `cove-shim tether`, which asks the kernel for a `SIGKILL` at the
//! death of its parent and then becomes the program. The request survives the change, and the kernel keeps it
//! whatever happens to us.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// This very program, also when its file was replaced by an upgrade meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The kernel refused.
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
pub(crate) fn launcher() -> Vec<OsString> {
    let parent = std::process::id().to_string();
    [THIS_PROGRAM, "tether", "--parent", &parent, "--"].into_iter().map(OsString::from).collect()
}

/// Becomes the program; returns only when that fails.
pub(crate) fn become_program(parent: u32, command: &[OsString]) -> Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return Error::Refused(error.into());
    }
    let present = getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
    if present != Some(parent) {
        return Error::Orphaned;
    }
    let (program, arguments) = command.split_first().expect("clap requires at least one word");
    let source = Command::new(program).args(arguments).exec();
    Error::Program { program: program.to_string_lossy().into_owned(), source }
}
