//! What keeps environments and machines running by being used, and when they stop without that.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// When something stops by itself. Only time counts in which this computer is awake and the daemon looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct IdlePolicy {
    /// After so many seconds without any use; never if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<u64>,
}

impl IdlePolicy {
    /// It runs until somebody stops it.
    pub const NEVER: Self = Self { stop_after: None };

    /// What holds for a machine that was told nothing. It starts within seconds when something needs it.
    pub const MACHINE: Self = Self { stop_after: Some(600) };

    /// The time without any use after which it stops.
    pub fn limit(self) -> Option<Duration> {
        self.stop_after.map(Duration::from_secs)
    }

    pub(crate) fn of_machine() -> Self {
        Self::MACHINE
    }
}

/// Why a text is no [`IdlePolicy`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time: write 30m, 2h, 1h30m, 1d, or never")]
pub struct NotATime(String);

impl FromStr for IdlePolicy {
    type Err = NotATime;

    /// `never`, or numbers with units: `90s`, `30m`, `2h`, `1h30m`, `1d`.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        if text == "never" {
            return Ok(Self::NEVER);
        }
        let wrong = || NotATime(text.chars().take(40).collect());
        let (mut seconds, mut number) = (0_u64, String::new());
        for letter in text.chars() {
            let unit = match letter {
                '0'..='9' => {
                    number.push(letter);
                    continue;
                }
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86_400,
                _ => return Err(wrong()),
            };
            let count: u64 = std::mem::take(&mut number).parse().map_err(|_| wrong())?;
            let more = count.checked_mul(unit).and_then(|more| seconds.checked_add(more));
            seconds = more.ok_or_else(wrong)?;
        }
        // A century is no wish.
        if !number.is_empty() || seconds == 0 || seconds > 36_500 * 86_400 {
            return Err(wrong());
        }
        Ok(Self { stop_after: Some(seconds) })
    }
}

impl fmt::Display for IdlePolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(mut left) = self.stop_after else { return out.write_str("never") };
        for (unit, seconds) in [("d", 86_400), ("h", 3600), ("m", 60)] {
            if left >= seconds {
                write!(out, "{}{unit}", left / seconds)?;
                left %= seconds;
            }
        }
        if left > 0 { write!(out, "{left}s") } else { Ok(()) }
    }
}

/// Whether something is in use, as it was seen just now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Activity {
    /// What uses it, the oldest first.
    #[schema(required = true)]
    pub uses: Vec<InUse>,
    /// Since when nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub idle_since: Option<Timestamp>,
    /// When it stops if that stays so and this computer stays awake.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub stops_at: Option<Timestamp>,
}

/// One thing that keeps something running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InUse {
    /// Of which kind.
    pub kind: UseKind,
    /// How much or what, where there is something to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Since when, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
}

/// What counts as a use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UseKind {
    /// A shell or another program with a terminal.
    Shell,
    /// A command without one.
    Command,
    /// An ssh connection, which editors have too.
    Ssh,
    /// A connection through a forwarded or published port.
    Connection,
    /// A connection to the Docker socket.
    Docker,
    /// A task that runs or waits for its turn.
    Task,
    /// `cove keep-alive`.
    KeepAlive,
    /// Steps that are taken for it: an image is built, a hook runs.
    Work,
    /// Its processes compute.
    Processor,
    /// Its processes read or write disks.
    Disk,
    /// Containers run in it.
    Containers,
}

impl UseKind {
    /// The words people see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shell => "a shell",
            Self::Command => "a command",
            Self::Ssh => "an ssh connection",
            Self::Connection => "a connection to a port",
            Self::Docker => "the Docker socket",
            Self::Task => "a task",
            Self::KeepAlive => "cove keep-alive",
            Self::Work => "work under way",
            Self::Processor => "its programs compute",
            Self::Disk => "its programs use the disk",
            Self::Containers => "containers run",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_alike() {
        for (text, seconds) in
            [("30s", 30), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1d2h3m4s", 93_784), ("1d", 86_400)]
        {
            let policy: IdlePolicy = text.parse().unwrap();
            assert_eq!((policy.stop_after, policy.to_string().as_str()), (Some(seconds), text));
        }
        assert_eq!("90m".parse::<IdlePolicy>().unwrap().to_string(), "1h30m");
        assert_eq!("never".parse(), Ok(IdlePolicy::NEVER));
        for text in ["", "2", "h", "2x", "0s", "-1h", "2h5", "99999999999999999999h", "40000d", "Never"] {
            assert!(text.parse::<IdlePolicy>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_machine_of_an_earlier_version_has_the_usual_policy() {
        let spec = serde_json::json!({
            "keep_running": false, "cpus": 2, "memory_mib": 2048, "disk_gib": 64, "shares": [],
            "trust_host_network": true
        });
        let spec: crate::MachineSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(spec.idle, IdlePolicy::MACHINE);
    }
}
