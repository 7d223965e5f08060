//! How busy a machine is, sample by sample, and what it can give back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{MachinePhase, Problem};

/// A line of `GET /v1/machines/{machine}/metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MetricsMessage {
    /// The machine runs, and this is how.
    Sample(MetricsSample),
    /// The machine does not run. Samples go on once it does; until then this is repeated now and then.
    Off {
        /// When that was seen.
        #[schema(value_type = String, format = DateTime)]
        time: Timestamp,
        /// Where it is instead.
        phase: MachinePhase,
    },
    /// The machine runs, and did not tell. It is asked again.
    Silent {
        /// When that was seen.
        #[schema(value_type = String, format = DateTime)]
        time: Timestamp,
        /// Why not.
        problem: Problem,
    },
}

impl MetricsMessage {
    /// When what it tells was seen.
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Sample(sample) => sample.time,
            Self::Off { time, .. } | Self::Silent { time, .. } => *time,
        }
    }
}

/// What a running machine used at one time. What is absent is not known: a rate needs two looks, and an older guest
/// does not count everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetricsSample {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// How much of all its processors was busy since the last sample, in percent: 100 is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<f64>,
    /// How many processors it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processors: Option<u32>,
    /// Memory the guest manages, in bytes.
    pub memory_total: u64,
    /// Memory its programs hold, in bytes.
    pub memory_used: u64,
    /// Page cache, which it gives up when needed, in bytes.
    pub memory_cached: u64,
    /// Memory this computer gives for it, in bytes: the honest figure.
    pub host_memory: u64,
    /// Size of the data disk's file system, in bytes.
    pub disk_total: u64,
    /// Of it, used, in bytes.
    pub disk_used: u64,
    /// What the disk's file takes on this computer, in bytes.
    pub host_disk: u64,
    /// Bytes a second that came to it over its network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_in: Option<u64>,
    /// Bytes a second that it sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_out: Option<u64>,
    /// Bytes a second that it read from its disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_read: Option<u64>,
    /// Bytes a second that it wrote to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_written: Option<u64>,
}

/// Answer of `POST /v1/machines/{machine}/reclaim`: what came back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reclaimed {
    /// Page cache the guest let go of, in bytes: its programs can have that memory at once.
    pub guest_memory: u64,
    /// Memory this computer got back.
    pub host_memory: ReclaimedPart,
    /// Space this computer's disk got back.
    pub host_disk: ReclaimedPart,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// How much of one thing came back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReclaimedPart {
    /// Bytes, measured before and after.
    pub bytes: u64,
    /// Why it cannot be more, where something could not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
