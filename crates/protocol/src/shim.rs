//! What the daemon asks of a machine's shim, over the unix socket `shim.sock` in the machine's folder.
//!
//! | request | reply | afterwards |
//! |---|---|---|
//! | `status` | `status` | nothing |
//! | `dial` | `done` | raw bytes to that port of the guest, half-close kept |
//! | `watch` | `done` | a [`Status`] message whenever it changed, first the present one |
//! | `stop` | `done`, when the machine has ended | the shim ends |
//! | `kill` | `done`, when the machine has ended | the shim ends |
//! | `pause`, `resume` | `done`, or `failed` where the driver cannot | nothing |
//! | `change_shares` | `done`, once `machine.json` says so too, or `failed` where the driver cannot | nothing |
//! | `squeeze` | `done`, or `failed` where the driver cannot | nothing |
//! | `save` | `done`, when the machine has ended, or `failed` and it runs on | the shim ends |

use serde::{Deserialize, Serialize};

use crate::Version;

/// First frame on every connection to the shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// How the machine stands.
    Status,
    /// Opens a stream to a port of the guest.
    Dial {
        /// The port; [`crate::AGENT_PORT`] is the agent.
        port: u32,
    },
    /// Follows the machine's state.
    Watch,
    /// Asks the guest to switch itself off, and kills it after the grace.
    Stop {
        /// How long the guest may take, in milliseconds.
        grace_ms: u64,
    },
    /// Ends the machine at once, as a power cut would.
    Kill,
    /// Halts the guest, before the host sleeps.
    Pause,
    /// Lets a halted guest go on. Its clock has to be set before anything is served.
    Resume,
    /// Shares these folders with the running machine, and no others. Where the machine has
    /// [`Ability::ChangeShares`]; the guest is told of their places by the agent.
    ChangeShares {
        /// All of them.
        shares: Vec<Share>,
    },
    /// Takes memory back from the guest that it has no use for, and lets it have that again when it needs it. Where the
    /// machine has [`Ability::Squeeze`].
    Squeeze {
        /// How much the guest keeps meanwhile, in MiB.
        keep_mib: u64,
    },
    /// Keeps the machine's state and ends it: the next boot of the same description goes on there.
    Save,
}

/// A folder of the host that a machine sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Its name for the guest.
    pub tag: String,
    /// The folder.
    pub host_path: String,
    /// Whether the guest cannot write to it.
    #[serde(default)]
    pub read_only: bool,
}

/// Something that not every driver can do with a running machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ability {
    /// [`Request::Pause`] and [`Request::Resume`].
    Pause,
    /// [`Request::Save`].
    Save,
    /// [`Request::ChangeShares`].
    ChangeShares,
    /// [`Request::Squeeze`].
    Squeeze,
    /// An ability of a newer shim.
    #[serde(other)]
    Unknown,
}

/// First frame from the shim on every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done; see the table above.
    Done,
    /// The state asked for.
    Status(Status),
    /// It could not be done.
    Failed {
        /// One sentence with the cause.
        message: String,
    },
}

/// How a machine stands, as its shim sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The shim's protocol version.
    pub protocol: Version,
    /// The shim's product version.
    pub version: String,
    /// The shim's process id.
    pub pid: u32,
    /// State of the virtual machine.
    pub state: State,
    /// Driver that runs it: `qemu`, `vz`.
    pub driver: String,
    /// What executes guest instructions: `kvm`, `tcg`, `hvf`.
    pub accelerator: String,
    /// Digest of the description the machine was started with: a different one means it must restart to change.
    pub config_digest: String,
    /// Time from the power-on to the agent's first word, in milliseconds; `None` before it.
    #[serde(default)]
    pub agent_after_ms: Option<u64>,
    /// Resident memory of the processes that carry the machine, in bytes.
    #[serde(default)]
    pub host_memory: u64,
    /// What can be done with the machine while it runs; nothing before it is powered on.
    #[serde(default)]
    pub abilities: Vec<Ability>,
}

/// State of a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Being put together, or booting.
    Starting,
    /// The agent can be reached.
    Running,
    /// Halted on request: its streams are open and silent.
    Paused,
    /// Going down on request.
    Stopping,
    /// Ended on request.
    Stopped,
    /// Ended, or never came up, without being asked.
    Failed {
        /// A stable word for programs: `hypervisor_missing`, `virtiofsd_missing`, `image_damaged`, `no_space`,
        /// `boot_timeout`, `guest_crashed`, `hypervisor_died`, `hypervisor_refused`.
        reason: String,
        /// What happened, for people.
        message: String,
    },
}

/// Who the shim is, written to `shim.json` in the machine's folder before the machine starts. A process id alone
/// does not tell: ids are used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// When that process started, in clock ticks since the host's boot (`/proc/PID/stat`, field 22); on macOS in
    /// microseconds since 1970.
    pub started: u64,
    /// The host's boot: `/proc/sys/kernel/random/boot_id`, or `kern.bootsessionuuid` on macOS.
    pub host_boot: String,
}
