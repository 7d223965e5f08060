//! Notices that this computer slept or that its clock was set: the guest's clock must follow.

use std::time::{Duration, Instant, SystemTime};

/// How often is looked. Nothing wakes the processor more often while the machine idles.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Clocks that part by more than this have been set, or the computer slept.
const TOLERANCE: Duration = Duration::from_millis(500);

/// How far apart two of this computer's clocks were when last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClockWatch {
    begun: Instant,
    offset_ns: i128,
}

impl ClockWatch {
    /// Starts watching now.
    pub(super) fn start() -> Self {
        let begun = Instant::now();
        Self { begun, offset_ns: offset(begun) }
    }

    /// Whether the computer slept or its clock was set since the last call. `Instant` stands still while it sleeps,
    /// on Linux and on macOS, where the system's own monotonic clock does not; the wall clock goes on.
    pub(super) fn jumped(&mut self) -> bool {
        self.moved_to(offset(self.begun))
    }

    fn moved_to(&mut self, offset_ns: i128) -> bool {
        let moved = offset_ns.abs_diff(self.offset_ns) > TOLERANCE.as_nanos();
        if moved {
            self.offset_ns = offset_ns;
        }
        moved
    }
}

fn offset(begun: Instant) -> i128 {
    let monotonic = begun.elapsed().as_nanos().cast_signed();
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_nanos().cast_signed() - monotonic,
        Err(before) => -before.duration().as_nanos().cast_signed() - monotonic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_and_setting_the_clock_are_noticed_once_and_drift_adds_up() {
        let mut watch = ClockWatch { begun: Instant::now(), offset_ns: 0 };
        assert!(!watch.moved_to(400_000_000));
        assert!(watch.moved_to(600_000_000), "slow drift adds up until it matters");
        assert!(!watch.moved_to(600_000_000));
        assert!(watch.moved_to(-3_600_000_000_000));
    }
}
