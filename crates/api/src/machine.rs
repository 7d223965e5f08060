//! A Linux virtual machine, in which environments and plain containers run.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Activity, IdlePolicy, Metadata, Problem, Session};

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Machine {
    /// Name and versions.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: MachineSpec,
    /// What was observed.
    pub status: MachineStatus,
}

/// What a person wants of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineSpec {
    /// Whether it is kept running. Stopped machines start when an environment or the Docker socket needs them.
    pub keep_running: bool,
    /// Whether it is halted while it is on, with all that runs in it. Whoever uses it takes that back: a connection
    /// to the Docker socket, an environment that is asked for, a process to run.
    #[serde(default)]
    #[schema(required = true)]
    pub paused: bool,
    /// Virtual processors.
    pub cpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Size of the data disk, in GiB. It is sparse and can only grow.
    pub disk_gib: u64,
    /// Folders of this computer that the machine sees, at the same path.
    #[schema(value_type = Vec<String>)]
    pub shares: Vec<Utf8PathBuf>,
    /// Whether certificates and proxies that this computer trusts reach the engine and all containers.
    pub trust_host_network: bool,
    /// When it stops by itself: no container runs in it then, and nobody uses its engine. One that is kept running does
    /// not.
    #[serde(default = "IdlePolicy::of_machine")]
    #[schema(required = true)]
    pub idle: IdlePolicy,
    /// A new one restarts the machine.
    #[serde(default)]
    #[schema(required = true)]
    pub restart: Session,
}

/// What the daemon saw last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct MachineStatus {
    /// Where it is on its way.
    #[schema(required = true)]
    pub phase: MachinePhase,
    /// The generation of the spec this status speaks of.
    #[schema(required = true)]
    pub observed_generation: u64,
    /// What keeps it from running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The `restart` session it acted on.
    #[schema(required = true)]
    pub restart: Session,
    /// Folders of this computer that the machine sees now; none while it is off.
    #[schema(value_type = Vec<String>)]
    #[schema(required = true)]
    pub shares: Vec<Utf8PathBuf>,
    /// Whether those change with the settings while it runs. Elsewhere they do at its next start.
    #[schema(required = true)]
    pub changes_shares: bool,
    /// Settings that take effect at the next start of the machine.
    #[schema(required = true)]
    pub restart_needed_for: Vec<String>,
    /// Driver: `qemu`, `vz`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// What runs the guest's instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<AcceleratorStatus>,
    /// What runs programs of another processor inside; absent where the guest told of nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emulation: Option<EmulationStatus>,
    /// Kernel release of the guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Process id of the shim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shim_pid: Option<u32>,
    /// How the Docker Engine stands.
    #[schema(required = true)]
    pub engine: EngineState,
    /// Supervised parts of the guest.
    #[schema(required = true)]
    pub components: Vec<ComponentStatus>,
    /// Stages of the last boot.
    #[schema(required = true)]
    pub boot: Vec<BootStage>,
    /// What it uses; absent when it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<MachineUse>,
    /// Resident memory of the daemon itself, in bytes.
    #[schema(required = true)]
    pub daemon_memory: u64,
    /// Host ports opened for published container ports: `host port` to `container name`.
    #[schema(required = true)]
    pub published_ports: BTreeMap<u16, String>,
    /// What a person should know though it works.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Problem>,
    /// When it was stopped because nobody used it; absent if it runs or was stopped for another reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub idle_stop: Option<Timestamp>,
    /// Whether it is in use; told to who asks for it, and only while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<Activity>,
    /// What this computer has, of which it can have a part; told to who asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostSize>,
}

/// What this computer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostSize {
    /// Processors.
    pub processors: u32,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Free bytes of the disk that the machine's disk is on.
    pub disk_free: u64,
}

/// Where a machine is on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MachinePhase {
    /// Off.
    #[default]
    Stopped,
    /// Booting.
    Starting,
    /// On; its agent answers.
    Running,
    /// On and halted, with all that runs in it: because a person wanted that, or while this computer sleeps. Nothing
    /// reaches it before its clock is right again.
    Paused,
    /// Going down.
    Stopping,
}

/// The accelerator in use, and why not a better one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AcceleratorStatus {
    /// `kvm`, `hvf`, `tcg`.
    pub name: String,
    /// Why a faster one is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What runs programs of another processor in the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EmulationStatus {
    /// That processor, in the words of OCI: `amd64`.
    pub architecture: String,
    /// `rosetta`, `qemu-user`; absent when nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why not by a faster one, or why not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How the Docker Engine stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EngineState {
    /// Not running.
    #[default]
    Down,
    /// Started, not answering yet.
    Starting,
    /// Answering.
    Ready,
    /// Ended by itself; started again after a pause.
    Failed,
}

/// A supervised part of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComponentStatus {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: EngineState,
    /// Times it was started again since boot.
    pub restarts: u32,
}

/// A stage of a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BootStage {
    /// Its name.
    pub name: String,
    /// When it was reached, in milliseconds after the guest's kernel started.
    pub uptime_ms: u64,
}

/// What a running machine uses, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineUse {
    /// Memory the guest manages.
    pub memory_total: u64,
    /// Memory its programs hold.
    pub memory_used: u64,
    /// Page cache, which it gives up when needed.
    pub memory_cached: u64,
    /// Memory this computer gives for it: the honest figure.
    pub host_memory: u64,
    /// Size of the data disk's file system.
    pub disk_total: u64,
    /// Of it, used.
    pub disk_used: u64,
    /// Bytes the disk's file takes on this computer.
    pub host_disk: u64,
    /// Milliseconds since its kernel started.
    pub uptime_ms: u64,
    /// How much of the time something in it waited; absent where its kernel does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
}

/// How much of the last minute at least one process of a machine had to wait, in percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Pressure {
    /// For a processor.
    #[schema(required = true)]
    pub cpu: u8,
    /// For a disk.
    #[schema(required = true)]
    pub io: u8,
    /// For memory.
    #[schema(required = true)]
    pub memory: u8,
}
