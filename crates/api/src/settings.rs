//! What `config.toml` says, key by key, and changes of it.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::Problem;

/// The settings of this computer: what the person's file says, and what holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SettingsReport {
    /// The file. It need not be there.
    #[schema(value_type = String)]
    pub file: Utf8PathBuf,
    /// Digest of what is in it now. A change that names it is refused once the file has become another.
    pub digest: String,
    /// What is wrong with the file. What it said when it was last read holds until it is mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Whether something that is said waits for the next start of the daemon.
    pub daemon_restart_needed: bool,
    /// Every key there is.
    pub settings: Vec<Setting>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// Its name, with its table in front: `machine.cpus`.
    pub key: String,
    /// What can be said.
    #[serde(flatten)]
    pub kind: SettingKind,
    /// What the file says; absent if it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// What holds when nobody says anything; null where that is nothing.
    pub default: Value,
    /// What holds now. For the machine that is what is wanted of it, by whatever way it was said last.
    pub in_force: Value,
    /// When a change holds.
    pub takes_effect: TakesEffect,
    /// Whether the file says something that the daemon has not taken up.
    pub pending: bool,
}

/// What can be said of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SettingKind {
    /// Yes or no.
    Toggle,
    /// A whole number.
    Number {
        /// The least.
        minimum: u64,
        /// The most. For sizes of the machine, what this computer has.
        maximum: u64,
    },
    /// One of these words.
    Choice {
        /// The words.
        options: Vec<String>,
    },
    /// A time, or never: `30m`, `2h`, `never`.
    Time,
    /// A line of text.
    Text,
    /// A list of words.
    Words,
    /// A list of folders of this computer, absolute or with `~/` in front.
    Folders {
        /// The most there can be.
        most: u64,
    },
}

/// When a change of a setting holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TakesEffect {
    /// From now on.
    AtOnce,
    /// From the machine's next start.
    MachineStart,
    /// From the daemon's next start.
    DaemonStart,
}

/// A change of single keys. All of them are changed, or none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsPatch {
    /// The digest of the file that the change was made for; absent: whatever it says now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Values by key; null takes the key out of the file, so that the default holds.
    pub set: BTreeMap<String, Value>,
}
