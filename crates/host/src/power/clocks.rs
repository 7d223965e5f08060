//! Tells from two clocks that a computer slept.

use std::time::Duration;

/// A difference below this is no sleep: the two clocks are not read in the same instant.
const TOLERANCE: Duration = Duration::from_millis(500);

/// Two clocks of which one goes on while the computer sleeps and the other stands still.
#[derive(Debug, Clone, Copy)]
pub struct SleepClock {
    ahead: Duration,
}

impl SleepClock {
    /// Starts with a reading of the clock that goes on and of the one that stands still.
    pub fn start(going: Duration, standing: Duration) -> Self {
        Self { ahead: going.saturating_sub(standing) }
    }

    /// Takes another reading; how long the computer slept since the last one, if it did.
    pub fn slept(&mut self, going: Duration, standing: Duration) -> Option<Duration> {
        let ahead = going.saturating_sub(standing);
        let slept = ahead.checked_sub(self.ahead).filter(|slept| *slept >= TOLERANCE)?;
        self.ahead = ahead;
        Some(slept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn only_sleep_parts_the_clocks_and_each_is_told_once() {
        // Slept before this process began: nothing to tell.
        let mut clock = SleepClock::start(millis(900_000), millis(300_000));
        assert_eq!(clock.slept(millis(901_000), millis(301_000)), None, "time passed");
        assert_eq!(
            clock.slept(millis(901_700), millis(301_300)),
            None,
            "a busy computer between two readings"
        );
        assert_eq!(clock.slept(millis(4_501_000), millis(301_000)), Some(millis(3_600_000)));
        assert_eq!(clock.slept(millis(4_501_500), millis(301_500)), None);
        assert_eq!(clock.slept(millis(4_503_500), millis(302_500)), Some(millis(1_000)), "a short nap");
    }

    #[test]
    fn naps_below_the_tolerance_add_up() {
        let mut clock = SleepClock::start(millis(0), millis(0));
        assert_eq!(clock.slept(millis(1_400), millis(1_000)), None);
        assert_eq!(clock.slept(millis(2_800), millis(2_000)), Some(millis(800)));
    }

    #[test]
    fn clocks_that_run_backwards_are_no_sleep() {
        let mut clock = SleepClock::start(millis(5_000), millis(1_000));
        assert_eq!(clock.slept(millis(500), millis(1_000)), None);
        assert_eq!(clock.slept(millis(5_600), millis(1_000)), Some(millis(600)));
    }
}
