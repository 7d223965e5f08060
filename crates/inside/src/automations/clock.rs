//! Time that goes forward only, also while the machine sleeps, and that outlives a process.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use automations::Millis;
use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the machine started.
pub(super) fn now() -> Millis {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or_default() * 1000 + nanos.unwrap_or_default() / 1_000_000
}

/// When [`now`]'s clock began, in milliseconds since 1970. Taken once, so that a moment always reads the same.
static BEGAN: LazyLock<u64> = LazyLock::new(|| {
    let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(today.as_millis()).unwrap_or_default().saturating_sub(now())
});

/// Seconds since 1970 at a moment of [`now`]'s clock.
pub(super) fn wall(at: Millis) -> u64 {
    (*BEGAN + at) / 1000
}
