//! How a machine stands, as a driver tells it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Error;

/// State of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VmState {
    /// Powered on; nobody has answered yet.
    Starting,
    /// The agent can be reached.
    Running,
    /// Going down on request.
    Stopping,
    /// The guest switched itself off, or was ended on request.
    Stopped,
    /// Ended, or never came up, without being asked.
    Failed(Failure),
}

impl VmState {
    /// Whether nothing will follow.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Stopped | Self::Failed(_))
    }
}

impl fmt::Display for VmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("starting"),
            Self::Running => f.write_str("running"),
            Self::Stopping => f.write_str("stopping"),
            Self::Stopped => f.write_str("stopped"),
            Self::Failed(failure) => write!(f, "failed ({})", failure.kind),
        }
    }
}

/// Why a machine ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub kind: FailureKind,
    /// For people: the cause, and the last lines that tell about it.
    pub message: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let mut message = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            message.push_str(": ");
            message.push_str(&inner.to_string());
            cause = inner.source();
        }
        Self { kind: error.kind(), message }
    }
}

/// What a failure means for whoever must react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The description of the machine makes no sense.
    InvalidConfig,
    /// The program that runs machines is not installed.
    HypervisorMissing,
    /// The program that shares folders is not installed.
    VirtiofsdMissing,
    /// A file of the guest image is absent or not the one that was built.
    ImageDamaged,
    /// The host's disk is full.
    NoSpace,
    /// The guest never answered.
    BootTimeout,
    /// The guest's kernel or agent gave up.
    GuestCrashed,
    /// A program that carries the machine ended or could not be used.
    HypervisorDied,
    /// The host's hypervisor is there and will not run a machine: it is not allowed to, or not able.
    HypervisorRefused,
}

impl FailureKind {
    /// The stable word that travels in `protocol::shim::State::Failed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidConfig => "invalid_config",
            Self::HypervisorMissing => "hypervisor_missing",
            Self::VirtiofsdMissing => "virtiofsd_missing",
            Self::ImageDamaged => "image_damaged",
            Self::NoSpace => "no_space",
            Self::BootTimeout => "boot_timeout",
            Self::GuestCrashed => "guest_crashed",
            Self::HypervisorDied => "hypervisor_died",
            Self::HypervisorRefused => "hypervisor_refused",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What executes guest instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    /// The processor, through Linux's KVM.
    Kvm,
    /// QEMU's translator: any guest on any host, about ten times slower.
    Tcg,
    /// The processor, through macOS's Hypervisor.framework.
    Hvf,
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
            Self::Hvf => "hvf",
        })
    }
}

/// What is measured about a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VmFacts {
    /// What executes guest instructions.
    pub accelerator: Accelerator,
    /// Time from power-on to the agent's first word; `None` before it.
    pub agent_after: Option<Duration>,
    /// Memory the host gives to the processes that carry the machine, in bytes; shared pages count once.
    pub host_memory: u64,
}
