//! A second process watches the shim and the program, because the kernel of macOS kills nobody at the death of a
//! parent. It ends with the program, and kills the program when the shim ends first.

use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};

use kqueue::{EventFilter, FilterFlag, Ident, Watcher};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// This program's file; after an upgrade the new one, which takes the same arguments.
pub(super) fn this_program() -> io::Result<OsString> {
    Ok(std::env::current_exe()?.into_os_string())
}

/// Starts the watching process. What this process becomes keeps its id.
pub(super) fn tie(parent: u32) -> io::Result<()> {
    let (parent, program) = (parent.to_string(), std::process::id().to_string());
    let mut watching = Command::new(this_program()?);
    watching.args(["watch", "--shim", &parent, "--program", &program]);
    watching.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    watching.spawn().map(drop)
}

/// Watches until the program has ended.
///
/// # Errors
/// When the program cannot be killed.
pub(crate) fn keep_watch(shim: u32, program: u32) -> io::Result<()> {
    let (shim, program) = (pid(shim)?, pid(program)?);
    if shim_ended_first(shim, program)? {
        match kill_process(program, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits for the first end of the two.
fn shim_ended_first(shim: Pid, program: Pid) -> io::Result<bool> {
    let mut watcher = Watcher::new()?;
    for pid in [shim, program] {
        watcher.add_pid(pid.as_raw_nonzero().get(), EventFilter::EVFILT_PROC, FilterFlag::NOTE_EXIT)?;
    }
    if watcher.watch().is_err() {
        // One of them has ended already.
        return Ok(test_kill_process(program).is_ok());
    }
    let program = Ident::Pid(program.as_raw_nonzero().get());
    Ok(watcher.iter().next().is_some_and(|event| event.ident != program))
}

fn pid(number: u32) -> io::Result<Pid> {
    i32::try_from(number)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{number} is no process id")))
}
