//! How far the guest's clock is from the host's.
//!
//! A batch carries the host's time of sending. What the guest's clock shows on arrival is later by their distance and by
//! the time on the way; the smallest of a few such differences is nearly the distance alone. Old ones do not count:
//! clocks drift, and the host sets this one.

use std::collections::VecDeque;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// How long a difference counts.
const AGE: Duration = Duration::from_secs(15);

/// What is left of the way in the smallest difference, and what clocks of file systems are late by, at most: the
/// kernel stamps files with the time of its last tick.
const ALLOWANCE_NANOS: i64 = 20_000_000;

/// Differences of late, each with the time since boot at which it was taken.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    differences: VecDeque<(Duration, i64)>,
}

impl Clocks {
    /// Notes what the clocks show, on the arrival of something that was sent at that time of the host.
    pub(super) fn note(&mut self, sent_unix_nanos: i64) {
        let since_boot = now(ClockId::Boottime);
        let time = i64::try_from(now(ClockId::Realtime).as_nanos()).unwrap_or(i64::MAX);
        self.add(since_boot, time.saturating_sub(sent_unix_nanos));
    }

    fn add(&mut self, since_boot: Duration, difference: i64) {
        self.differences.push_back((since_boot, difference));
        while self.differences.front().is_some_and(|(then, _)| since_boot.saturating_sub(*then) > AGE) {
            self.differences.pop_front();
        }
    }

    /// What to add to a time of the host to have it by the guest's clock, in nanoseconds.
    pub(super) fn offset(&self) -> i64 {
        self.differences.iter().map(|(_, difference)| *difference).min().unwrap_or(0)
    }
}

/// From when on, by the guest's clock, something that the guest did itself was the change that the host saw then.
/// A time of 0 is none: whatever the guest did was the change.
pub(super) fn own_after(changed_unix_nanos: i64, offset: i64) -> u64 {
    if changed_unix_nanos == 0 {
        return 0;
    }
    let after = changed_unix_nanos.saturating_add(offset).saturating_sub(ALLOWANCE_NANOS);
    u64::try_from(after).unwrap_or(0)
}

fn now(clock: ClockId) -> Duration {
    clock_gettime(clock).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_difference_of_late_counts() {
        let mut clocks = Clocks::default();
        let second = Duration::from_secs;
        assert_eq!(clocks.offset(), 0);
        for (at, difference, offset) in
            [(1, 900, 900), (2, 300, 300), (3, 800, 300), (17, 700, 300), (18, 750, 700)]
        {
            clocks.add(second(at), difference);
            assert_eq!(clocks.offset(), offset, "after {at} s");
        }
    }

    #[test]
    fn times_of_the_host_are_read_by_the_clock_of_the_guest() {
        assert_eq!(own_after(1_000_000_000, 500_000_000), 1_480_000_000);
        assert_eq!(own_after(1_000_000_000, -990_000_000), 0);
        assert_eq!(own_after(0, 500_000_000), 0);
    }
}
