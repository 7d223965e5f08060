//! The kernel kills this process at the death of its parent. The request survives the change into another program.

use std::ffi::OsString;
use std::io;

use rustix::process::{Signal, set_parent_process_death_signal};

/// This very program, also when its file was replaced by an upgrade meanwhile.
#[expect(clippy::unnecessary_wraps, reason = "another system may not tell")]
pub(super) fn this_program() -> io::Result<OsString> {
    Ok("/proc/self/exe".into())
}

pub(super) fn tie(_parent: u32) -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}
