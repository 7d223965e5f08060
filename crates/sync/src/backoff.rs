//! Pauses between attempts.

/// First pause, in milliseconds.
const FIRST: u64 = 1_000;

/// Longest pause, in milliseconds.
const LONGEST: u64 = 300_000;

/// The pause before the next attempt, in milliseconds, after so many that failed: doubling, and half of it random, so that
/// the runners of a server that came back do not all come at once.
pub fn backoff(failures: u32, random: u64) -> u64 {
    let whole = FIRST.checked_shl(failures.min(20)).unwrap_or(LONGEST).min(LONGEST);
    let half = whole / 2;
    half + random % (half + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_never_none() {
        for failures in 0..100 {
            for random in [0, 1, u64::MAX / 3, u64::MAX] {
                let pause = backoff(failures, random);
                let whole = (FIRST << failures.min(20)).min(LONGEST);
                assert!((whole / 2..=whole).contains(&pause), "{failures} {random} {pause}");
            }
        }
    }
}
