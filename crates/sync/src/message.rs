//! What is said. Unknown fields are passed over; what is of an unknown type is refused, and the rest goes on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Author, Batch, Digest, Document, Key, RunnerId, Sealed, Token};

/// The versions of the protocol that somebody speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Protocol {
    /// The oldest.
    pub oldest: u32,
    /// The newest.
    pub newest: u32,
}

impl Protocol {
    /// What this crate speaks.
    pub const OURS: Self = Self { oldest: 1, newest: 1 };

    /// The newest version that both speak.
    ///
    /// # Errors
    /// Which side is to be updated; `self` is the server's.
    pub fn agree(self, runner: Self) -> Result<u32, Refusal> {
        let version = self.newest.min(runner.newest);
        if version >= self.oldest.max(runner.oldest) {
            Ok(version)
        } else if runner.newest < self.oldest {
            Err(Refusal::RunnerTooOld { oldest: self.oldest })
        } else {
            Err(Refusal::ServerTooOld { newest: self.newest })
        }
    }
}

/// Which state of a document a runner has, with all that came along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Of the document.
    pub document: Digest,
    /// The server's version.
    pub version: u64,
    /// Of the secrets.
    pub secrets: Digest,
}

/// The first words of a runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// What it speaks.
    pub protocol: Protocol,
    /// Who it is. The adaptor holds that against the certificate.
    pub runner: RunnerId,
    /// Which run of it this is.
    pub author: Author,
    /// Rises with each Hello of this run: one that comes late or twice is known by it.
    pub attempt: u64,
    /// The last lease it had.
    pub lease: Option<Token>,
    /// The highest version it ever heard of.
    pub heard: u64,
    /// What it has.
    pub documents: BTreeMap<Key, Mark>,
    /// The counts of the statuses it has to tell.
    pub statuses: BTreeMap<Key, u64>,
}

/// The server's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version both speak from here on.
    pub protocol: u32,
    /// The attempt it answers.
    pub attempt: u64,
    /// To be borne by all that follows.
    pub lease: Token,
    /// Whether the lease of the Hello was the last one. If not, a disk or the server went back, or was copied.
    pub continued: bool,
    /// Whether the server found itself behind what the runner had heard: it was restored from a backup.
    pub rolled_back: bool,
    /// The documents it wants to be sent.
    pub documents: BTreeSet<Key>,
    /// The statuses it wants to be sent.
    pub statuses: BTreeSet<Key>,
}

/// Why something is not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Refusal {
    /// The runner speaks no version that the server does.
    #[error(
        "this runner is too old for its control plane, which speaks version {oldest} and later: update the runner"
    )]
    RunnerTooOld {
        /// The oldest version that the server speaks.
        oldest: u32,
    },
    /// The server speaks no version that the runner does.
    #[error(
        "the control plane is too old for this runner, and speaks up to version {newest}: update the control plane"
    )]
    ServerTooOld {
        /// The newest version that the server speaks.
        newest: u32,
    },
    /// More documents than a runner may have.
    #[error("this runner has more than {most} documents")]
    TooMany {
        /// How many it may have.
        most: usize,
    },
    /// A document, status or event exceeds a limit.
    #[error("what this runner sent is too large")]
    TooLarge {
        /// Of which document, unless it is an event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Key>,
    },
    /// The Hello, or the events, name a run of another runner; or a write is said to be the server's, which never made it.
    #[error("this is said in another's name")]
    NotYou,
    /// A field that only the server writes was written by another.
    #[error("`{field}` of `{key}` is the control plane's alone")]
    NotYours {
        /// Of which document.
        key: Key,
        /// Which field.
        field: String,
    },
    /// The runner has nothing to do with this document.
    #[error("`{key}` is not on this runner")]
    NotHere {
        /// Which document.
        key: Key,
    },
    /// A message of a type that this side does not know.
    #[error("the other side does not know this kind of message: update it")]
    UnknownMessage,
    /// A reason that this side does not know.
    #[serde(other)]
    #[error("the other side refused for a reason that this version does not know")]
    Other,
}

/// From a runner to the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToServer {
    /// First of all.
    Hello(Hello),
    /// The latest state of a document.
    Document {
        /// The lease.
        lease: Token,
        /// Which document.
        key: Key,
        /// It.
        document: Document,
    },
    /// A delivery was taken in, and this is what the runner has now.
    Received {
        /// The lease.
        lease: Token,
        /// Which document.
        key: Key,
        /// What it has.
        mark: Mark,
    },
    /// The runner no longer has a document.
    Released {
        /// The lease.
        lease: Token,
        /// Which document.
        key: Key,
        /// The version of it that it had.
        version: u64,
    },
    /// The latest status.
    Status {
        /// The lease.
        lease: Token,
        /// Of which document.
        key: Key,
        /// Rises in each run.
        count: u64,
        /// It.
        value: Value,
    },
    /// What happened.
    Events {
        /// The lease.
        lease: Token,
        /// The events.
        batch: Batch,
    },
    /// A sign of life.
    Beat {
        /// The lease.
        lease: Token,
    },
    /// A message that this version does not know.
    #[serde(other)]
    Unknown,
}

impl ToServer {
    /// The lease it bears; a Hello has none to bear yet.
    pub fn lease(&self) -> Option<Token> {
        match self {
            Self::Hello(_) | Self::Unknown => None,
            Self::Document { lease, .. }
            | Self::Received { lease, .. }
            | Self::Released { lease, .. }
            | Self::Status { lease, .. }
            | Self::Events { lease, .. }
            | Self::Beat { lease } => Some(*lease),
        }
    }
}

/// From the server to a runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToRunner {
    /// The answer to a Hello.
    Welcome(Welcome),
    /// Something is not done.
    Refused {
        /// The attempt, where it is a Hello that is refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u64>,
        /// Why.
        refusal: Refusal,
    },
    /// The latest state of a document, and all that goes with it.
    Delivery {
        /// The lease.
        lease: Token,
        /// Which document.
        key: Key,
        /// The server's version, which only rises.
        version: u64,
        /// It.
        document: Document,
        /// The secrets that this runner may use for it.
        secrets: Vec<Sealed>,
    },
    /// A document was taken in, and the server now has the same.
    Kept {
        /// The lease.
        lease: Token,
        /// Which document.
        key: Key,
        /// What the server has.
        document: Digest,
        /// The server's version.
        version: u64,
    },
    /// A status was taken in.
    StatusKept {
        /// The lease.
        lease: Token,
        /// Of which document.
        key: Key,
        /// Its count.
        count: u64,
    },
    /// Events were taken in.
    EventsKept {
        /// The lease.
        lease: Token,
        /// Of which run.
        author: Author,
        /// Up to this number.
        through: u64,
    },
    /// It is noted that the runner no longer has a document.
    ReleaseKept {
        /// The lease.
        lease: Token,
        /// Which document.
        key: Key,
    },
    /// A sign of life.
    Alive {
        /// The lease.
        lease: Token,
    },
    /// Another run of the same runner has said hello since.
    Superseded {
        /// The run that is to be silent.
        author: Author,
    },
    /// The server does not know the lease: say hello.
    Again {
        /// The lease it does not know.
        lease: Token,
    },
    /// A message that this version does not know.
    #[serde(other)]
    Unknown,
}
