//! Values as every client writes them for people.

use crate::{Environment, EnvironmentStatus};

impl Environment {
    /// The state in a few words: the phase, the step under way, or the code of what is wrong.
    pub fn state_in_words(&self) -> String {
        let EnvironmentStatus { phase, problem, step, .. } = &self.status;
        match (problem, step) {
            (Some(problem), None) => format!("{}, {}", phase.as_str(), problem.code),
            (_, Some(step)) => format!("{}: {}", phase.as_str(), step.title()),
            (None, None) => phase.as_str().to_owned(),
        }
    }
}

/// A size in bytes: `512 B`, `1.5 KiB`, `93.2 MiB`, `4.0 GiB`.
pub fn bytes_in_words(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would print as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_never_show_a_thousand_and_twenty_four() {
        for (size, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (93 * 1024 * 1024, "93.0 MiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(bytes_in_words(size), text);
        }
    }
}
