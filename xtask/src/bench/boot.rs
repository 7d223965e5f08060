//! What one boot measures.

use std::time::Duration;

use serde::Serialize;

use crate::output::{megabytes, say};

/// Which system was booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum System {
    /// Cove's guest image.
    Cove,
    /// A Debian system put together as its cloud image is.
    Debian,
}

/// What the disk has seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Start {
    /// Nothing: the system sets itself up.
    First,
    /// One boot and an orderly end.
    Later,
}

/// One measured boot.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Boot {
    /// The system.
    pub(crate) system: System,
    /// What its disk had seen.
    pub(crate) start: Start,
    /// The round, from 1.
    pub(crate) round: u32,
    /// From the start of QEMU's process to the answer of the Docker API, in milliseconds.
    pub(crate) answered_ms: u64,
    /// Processor time that QEMU used until then, in milliseconds.
    pub(crate) cpu_ms: u64,
    /// The host's load average over a minute, before the boot.
    pub(crate) load: f64,
    /// Stages in the order of the boot, for as much as the system tells.
    pub(crate) stages: Vec<Stage>,
    /// The machine half a minute later, where it was waited for.
    pub(crate) idle: Option<Idle>,
}

/// A point on the way.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Stage {
    /// What was reached.
    pub(crate) name: String,
    /// When, since the start of QEMU's process, in milliseconds.
    pub(crate) at_ms: u64,
}

/// Memory of a machine without work, in bytes.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Idle {
    /// What the guest manages.
    pub(crate) total: u64,
    /// Of it, not available to new programs.
    pub(crate) used: u64,
    /// What the host gives to QEMU's process.
    pub(crate) qemu: u64,
}

impl System {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cove => "Cove",
            Self::Debian => "Debian",
        }
    }
}

impl Start {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::First => "first boot",
            Self::Later => "later boot",
        }
    }
}

impl Boot {
    /// Prints it in one line.
    pub(crate) fn tell(&self) {
        let idle = self.idle.map_or(String::new(), |idle| {
            format!(", idle: {} in the guest, {} of QEMU", megabytes(idle.used), megabytes(idle.qemu))
        });
        say(format!(
            "round {}, {}, {}: {:.1} s, {:.1} s of processor time, load {:.1}{idle}",
            self.round,
            self.system.name(),
            self.start.name(),
            self.answered_ms as f64 / 1000.0,
            self.cpu_ms as f64 / 1000.0,
            self.load,
        ));
    }
}

/// Milliseconds of a duration.
pub(crate) fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

/// The smallest, the middle and the largest of some numbers; `None` of none. The middle of an even count is the
/// lower of the two.
pub(crate) fn spread(mut numbers: Vec<u64>) -> Option<(u64, u64, u64)> {
    numbers.sort_unstable();
    let middle = *numbers.get(numbers.len().checked_sub(1)? / 2)?;
    Some((*numbers.first()?, middle, *numbers.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_does_not_follow_one_slow_boot() {
        assert_eq!(spread(vec![11, 90, 10, 12, 13]), Some((10, 12, 90)));
        assert_eq!(spread(vec![2, 1]), Some((1, 1, 2)));
        assert_eq!(spread(Vec::new()), None);
    }
}
