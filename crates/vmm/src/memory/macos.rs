//! From `libproc` and `sysctl`.

use libproc::pid_rusage::{RUsageInfoV4, pidrusage};
use sysctl::{Ctl, Sysctl as _};

/// The footprint: what Activity Monitor shows as a process's memory. Files that are mapped do not count.
pub(super) fn of_process(pid: u32) -> Option<u64> {
    pidrusage::<RUsageInfoV4>(pid.try_into().ok()?).ok().map(|usage| usage.ri_phys_footprint)
}

pub(super) fn of_host() -> Option<u64> {
    Ctl::new("hw.memsize").ok()?.value_string().ok()?.parse().ok()
}
