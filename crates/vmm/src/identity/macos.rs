//! From `libproc` and `sysctl`.

use std::io;

use libproc::bsd_info::BSDInfo;
use libproc::proc_pid::pidinfo;
use sysctl::{Ctl, Sysctl as _};

/// New at each boot. The time of the boot would not do: it moves when the clock is set.
const BOOT_SESSION: &str = "kern.bootsessionuuid";

/// `SZOMB` of `sys/proc.h`.
const ZOMBIE: u32 = 5;

pub(super) fn host_boot() -> io::Result<String> {
    let ctl = Ctl::new(BOOT_SESSION).map_err(io::Error::other)?;
    ctl.value_string().map_err(io::Error::other)
}

/// Start time in microseconds since 1970; `None` for a process that is gone, dead, or another user's: ours is none
/// of these.
pub(super) fn started(pid: u32) -> io::Result<Option<u64>> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let Ok(info) = pidinfo::<BSDInfo>(pid, 0) else { return Ok(None) };
    let started = info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec;
    Ok((info.pbi_status != ZOMBIE).then_some(started))
}
