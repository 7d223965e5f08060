//! What a runner and a control plane tell each other, and how edits of both are merged.
//!
//! The crate is pure: no I/O, no clock, no randomness. A [`Document`] is what both sides share of one thing; merging two
//! copies loses no edit. [`Runner`] and [`Server`] are the two ends of the conversation: each is told what happened and says
//! what must be on disk, what may be sent after that, and what the program around it has to know. The adaptors carry that
//! out; whatever decides is here, and `tests/simulation` runs both ends against every fault we could think of.
//!
//! The rules, and why they are these: `docs/design/0029-sync-and-conflicts.md`.

mod backoff;
mod conflict;
mod digest;
mod disk;
mod document;
mod events;
mod ledger;
pub mod limits;
mod message;
mod names;
mod owners;
mod runner;
mod secret;
mod server;
mod stamp;

pub use backoff::backoff;
pub use conflict::{Conflict, Deletion};
pub use digest::Digest;
pub use disk::{Disk, Held, Record, Status};
pub use document::{Document, HOLDER, PHASE, PLACED, REMOVED, Register, Write};
pub use events::{Batch, Event, Events};
pub use ledger::{Ledger, Memory, Offer, RunnerRecord, Stored};
pub use message::{Hello, Mark, Protocol, Refusal, ToRunner, ToServer, Welcome};
pub use names::{InvalidName, Key, RunnerId, Token};
pub use owners::{Owner, Owners};
pub use runner::{EditError, Moment, Output, Runner, Tell};
pub use secret::{Scope, Sealed};
pub use server::{Changed, Reply, Server, Session};
pub use stamp::{Author, Dot, InvalidAuthor, Pen, Side, Stamp};
