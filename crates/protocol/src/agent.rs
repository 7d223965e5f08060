//! What the host asks of the guest agent, and what it answers.
//!
//! Each stream carries one request. The reply is [`Reply::Failed`] or the one named beside the request; then:
//!
//! | request | reply | afterwards |
//! |---|---|---|
//! | `hello` | `hello` | nothing |
//! | `configure`, `set_clock`, `mount`, `unmount`, `sync` | `done` | nothing |
//! | `metrics` | `metrics` | nothing |
//! | `reclaim` | `reclaimed` | nothing |
//! | `listeners` | `listeners` | nothing |
//! | `follow_listeners` | `listeners` | another `listeners` after each change |
//! | `put_file` | `done`, after the content came as input frames and an empty one | nothing |
//! | `exec` | `started` | frames: input and [`ExecControl`] to the guest; output, then [`ExecEnd`] to the host |
//! | | | the process ends when the host ends the stream: the end of its input is an empty input frame |
//! | `connect` to a stream | `done` | raw bytes both ways; half-close is kept |
//! | `connect` to `udp` | `done` | datagrams: each an input frame to the guest, or an output frame to the host |
//! | `watch` | `done` | one [`Event`] message after another, first what is true now |
//! | `files` | `done` | [`FileBatch`](crate::files::FileBatch) to the guest, each answered by a receipt |
//! | `power_off` | `done` | the machine syncs, unmounts and ends |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Version;

/// First frame on every stream to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Introduces the host; asked first on a new machine and after a daemon restart.
    Hello {
        /// The host's protocol version.
        protocol: Version,
        /// The host's product version, for the log.
        version: String,
    },
    /// Tells what the guest cannot know. The engine starts after the first one; asking again updates what can
    /// change while it runs (certificates, proxy) and leaves the rest.
    Configure(Configuration),
    /// Sets the clock, in nanoseconds since the Unix epoch.
    SetClock {
        /// The host's time.
        unix_nanos: i64,
    },
    /// Mounts a virtiofs share at a path, which is made if absent. Mounted already with the same tag: done.
    Mount(Mount),
    /// Takes a share away again. Not mounted: done.
    Unmount {
        /// Where it is mounted.
        path: String,
    },
    /// Runs a process in the guest, outside of any container.
    Exec(Exec),
    /// Opens a byte stream to a socket inside.
    Connect(Target),
    /// Follows logs, components and boot stages.
    Watch,
    /// Tells file watchers what the host changes in shared folders. Refused by a guest that cannot.
    Files,
    /// Memory, disk and load now.
    Metrics,
    /// Gives up what is only kept in case it is wanted again: page cache, and blocks of the data disk that no file
    /// has. A guest that cannot refuses it.
    Reclaim,
    /// Sockets that wait for TCP connections, in every network namespace.
    Listeners,
    /// The same, told again after each change for as long as the stream is open: the guest looks only then.
    FollowListeners,
    /// Writes a file atomically; its content follows as input frames.
    PutFile {
        /// Absolute path in the guest; missing folders are made.
        path: String,
        /// Permission bits.
        mode: u32,
    },
    /// Writes all dirty data to the disks.
    Sync,
    /// Stops the engine and its containers, syncs, and switches the machine off.
    PowerOff,
}

/// What the host tells a guest at start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// Name the guest gives itself.
    pub hostname: String,
    /// PEM certificates that the host trusts beyond the public set; empty for none.
    pub extra_certificates: String,
    /// Proxy variables (`http_proxy`, `no_proxy`, …) as processes in the guest must see them.
    pub proxy: BTreeMap<String, String>,
    /// Shares to mount before the engine starts.
    pub shares: Vec<Mount>,
    /// Names the guest's resolver answers by itself, with the address; for instance `host.docker.internal`.
    pub names: BTreeMap<String, String>,
    /// Those of them that lead to the host. A guest that knows where the host is in its network answers that instead:
    /// only there is it known where addresses come by DHCP.
    pub host_names: Vec<String>,
}

/// A virtiofs share and its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Tag of the virtiofs device.
    pub tag: String,
    /// Absolute path in the guest.
    pub path: String,
    /// Whether writes are refused.
    #[serde(default)]
    pub read_only: bool,
}

/// A process to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Program and arguments; the program is looked up in `PATH`.
    pub argv: Vec<String>,
    /// Variables on top of the agent's small default set.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Working folder; `/` if absent.
    #[serde(default)]
    pub cwd: Option<String>,
    /// A terminal of this size instead of pipes.
    #[serde(default)]
    pub terminal: Option<TerminalSize>,
    /// Whether input will come; without it standard input is empty.
    #[serde(default)]
    pub input: bool,
}

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// What the host can tell a running process, besides its input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExecControl {
    /// The terminal has a new size.
    Resize(TerminalSize),
    /// Sends a signal to the process group.
    Signal {
        /// Signal number of Linux.
        number: i32,
    },
}

/// How a process ended. The last frame of an `exec` stream; a stream that ends without it was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ExecEnd {
    /// It returned.
    Exited {
        /// Its status.
        code: i32,
    },
    /// It was killed.
    Signaled {
        /// Signal number.
        number: i32,
    },
}

impl ExecEnd {
    /// The status as a shell reports it: the code, or 128 and the signal's number.
    pub fn status(self) -> i32 {
        match self {
            Self::Exited { code } => code,
            Self::Signaled { number } => 128 + number,
        }
    }
}

/// A socket inside the guest. Its tag differs from that of [`Request`], in which it lies without a level of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "socket", rename_all = "snake_case")]
pub enum Target {
    /// A unix socket.
    Unix {
        /// Its absolute path.
        path: String,
    },
    /// A TCP port.
    Tcp {
        /// Address or name, as seen from that network namespace.
        host: String,
        /// Port.
        port: u16,
        /// A process whose network namespace is entered first: how `127.0.0.1` of a container is reached.
        #[serde(default)]
        network_of: Option<i32>,
    },
    /// A UDP port: one socket of the guest for one stream, so that answers find their way.
    Udp {
        /// Address or name, as seen from that network namespace.
        host: String,
        /// Port.
        port: u16,
        /// As for TCP.
        #[serde(default)]
        network_of: Option<i32>,
    },
}

/// First frame from the agent on every stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Done; see the table above for what follows.
    Done,
    /// The agent introduces itself.
    Hello(AgentHello),
    /// The process runs.
    Started {
        /// Its id in the guest.
        pid: i32,
    },
    /// The numbers asked for.
    Metrics(Metrics),
    /// What was given up.
    Reclaimed(Reclaimed),
    /// The sockets asked for.
    Listeners {
        /// All of them, in no order.
        listeners: Vec<Listener>,
    },
    /// It could not be done; the machine goes on.
    Failed(Failure),
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentHello {
    /// The agent's protocol version.
    pub protocol: Version,
    /// The agent's product version.
    pub version: String,
    /// `uname -r` of the guest.
    pub kernel: String,
    /// `uname -m` of the guest.
    pub machine: String,
    /// Random, made at boot: tells a rebooted machine from the one before.
    pub boot_id: String,
    /// Whether it has been configured.
    pub configured: bool,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For programs.
    pub kind: FailureKind,
    /// For people: one sentence with the object and the cause.
    pub message: String,
}

/// Kinds of refusal that the host treats differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request makes no sense to this agent.
    Invalid,
    /// The file, program, share or socket is not there.
    NotFound,
    /// Nobody listens there.
    ConnectionRefused,
    /// No space is left on a disk of the guest.
    NoSpace,
    /// The agent's own limits (streams, processes) are reached.
    TooMany,
    /// Anything else.
    #[serde(other)]
    Other,
}

/// Something that happened in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A line of a log.
    Log(LogLine),
    /// A part of the guest changed its state. Sent for every part at the start of a watch.
    Component(Component),
    /// A stage of the boot was reached. Sent for every past stage at the start of a watch.
    Stage {
        /// Its name: `kernel`, `initramfs`, `root`, `data_disk`, `network`, `containerd`, `engine`.
        name: String,
        /// Time since the kernel started, in milliseconds.
        uptime_ms: u64,
    },
    /// What runs programs of another processor is settled. Sent at the start of a watch too; never by a machine that
    /// is of that processor itself.
    Emulation(Emulation),
    /// An event of a newer agent.
    #[serde(other)]
    Unknown,
}

/// What runs programs of another processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emulation {
    /// The processor, in the words of OCI: `amd64`.
    pub architecture: String,
    /// `rosetta`, `qemu-user`; `None` when nothing does.
    #[serde(default)]
    pub by: Option<String>,
    /// Why not by a faster one, or why not at all.
    #[serde(default)]
    pub note: Option<String>,
}

/// A line of a log in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Rises by one a line; a gap means that lines were dropped.
    pub sequence: u64,
    /// Time since the kernel started, in milliseconds.
    pub uptime_ms: u64,
    /// How bad it is.
    pub level: Level,
    /// Who wrote it: `agent`, `kernel`, `containerd`, `dockerd`.
    pub source: String,
    /// The line, without its end.
    pub message: String,
}

/// How bad a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// The normal course.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

/// A supervised part of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// `containerd`, `dockerd`.
    pub name: String,
    /// How it stands.
    pub state: ComponentState,
    /// How often it was started again since boot.
    pub restarts: u32,
    /// The last lines it wrote, when it failed.
    #[serde(default)]
    pub log_tail: Vec<String>,
}

/// State of a supervised part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentState {
    /// Started, not answering yet.
    Starting,
    /// Answering.
    Ready,
    /// Ended without being asked; it is started again after a pause.
    Failed,
    /// Ended on request.
    Stopped,
    /// A state of a newer agent.
    #[serde(other)]
    Unknown,
}

/// What the guest uses. Bytes, unless the name says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// Time since the kernel started, in milliseconds.
    pub uptime_ms: u64,
    /// Memory the kernel manages.
    pub memory_total: u64,
    /// Memory a new program could have without swapping.
    pub memory_available: u64,
    /// Of it, held as page cache.
    pub memory_cached: u64,
    /// Compressed swap in use.
    pub swap_used: u64,
    /// Size of the data disk's file system.
    pub disk_total: u64,
    /// Of it, used.
    pub disk_used: u64,
    /// Load of the last minute, in hundredths.
    pub load_centi: u64,
    /// Processor time spent not idle since boot, in milliseconds over all processors.
    pub busy_ms: u64,
    /// How much of the time something in the guest waited, where its kernel tells.
    pub pressure: Option<Pressure>,
    /// Processors that work; `None` from an agent that does not tell.
    pub processors: Option<u32>,
    /// What went over its network since boot; `None` from an agent that does not tell.
    pub network: Option<Traffic>,
    /// What went to and from its disks since boot; `None` from an agent that does not tell.
    pub disks: Option<Traffic>,
}

/// Bytes that went in two directions since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Received, or read.
    pub came: u64,
    /// Sent, or written.
    pub went: u64,
}

/// What a guest gave up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reclaimed {
    /// Page cache and what the kernel keeps beside it, in bytes.
    pub memory: u64,
    /// Bytes of the data disk that the guest says it has no use for; `None` if it could not say.
    pub disk: Option<u64>,
    /// Why not everything was done, for people.
    pub notes: Vec<String>,
}

/// How much of the time at least one process of the guest had to wait for what is scarce.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pressure {
    /// For a processor.
    pub cpu: Stall,
    /// For a disk.
    pub io: Stall,
    /// For memory.
    pub memory: Stall,
}

/// A share of time, in hundredths of a percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stall {
    /// Of the last minute.
    pub minute: u32,
    /// Of the last five minutes.
    pub five_minutes: u32,
}

/// A socket that waits for TCP connections.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    /// `tcp`.
    pub protocol: String,
    /// Its address, for instance `127.0.0.1` or `::`.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// A process in that network namespace; `None` for the guest's own.
    #[serde(default)]
    pub network_of: Option<i32>,
    /// Id of the container that listens, where known. Of those that share a network it is the one whose program holds
    /// the socket.
    #[serde(default)]
    pub container: Option<String>,
    /// The command line of that program, its words joined by spaces and without control characters, cut after
    /// [`LONGEST_COMMAND`] bytes.
    #[serde(default)]
    pub command: Option<String>,
}

/// Longest command line that is told of a [`Listener`], in bytes.
pub const LONGEST_COMMAND: usize = 256;
