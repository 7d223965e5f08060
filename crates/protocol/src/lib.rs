//! The private wire between our own processes: daemon, shim and guest agent.
//!
//! This crate owns the bytes and nothing else: no sockets, no clocks, no runtime. A connection is a byte stream
//! (vsock, a multiplexed virtio-serial port, a unix socket). Both sides send [`Frame`]s on it; the first frame is
//! a request, the second its reply, and the request says what follows: nothing, more frames, or raw bytes.
//!
//! Compatibility: a machine outlives the daemon that started it, so a new daemon talks to an old shim and an old
//! agent. Fields are only added, with defaults; enums that travel from guest to host keep an `Unknown` case.

pub mod agent;
pub mod files;
mod frame;
pub mod grants;
pub mod guest_words;
pub mod inside;
pub mod shim;

pub use frame::{Frame, FrameDecoder, FrameKind, FrameTooLong, HEADER_BYTES, MAX_PAYLOAD_BYTES, encode_json};

/// Version of the messages in this crate. The two sides of a connection tell each other theirs in the first
/// exchange; a difference in the major part is refused with a message that says which side to update.
pub const VERSION: Version = Version { major: 1, minor: 1 };

/// The port on which the guest agent answers, on vsock and on the multiplexed serial port alike.
pub const AGENT_PORT: u32 = 1024;

/// Name of the virtio-serial port that carries the multiplexed streams where there is no vsock.
pub const SERIAL_PORT_NAME: &str = "cove.agent";

/// A protocol version. Equal majors understand each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Version {
    /// Changes that break old peers.
    pub major: u16,
    /// Additions that old peers ignore.
    pub minor: u16,
}

impl Version {
    /// Whether two sides with these versions can work together.
    pub fn understands(self, other: Version) -> bool {
        self.major == other.major
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
