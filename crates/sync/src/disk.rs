//! What a runner has on its disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Author, Document, Event, Events, Key, Sealed, Token};

/// A document that a runner has, with what came along.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The document.
    pub document: Document,
    /// The server's version of it that was last heard of; 0 if none was.
    pub version: u64,
    /// The secrets it may use.
    pub secrets: Vec<Sealed>,
}

/// What a runner last said of one of its environments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Rises with each one, of whatever document.
    pub count: u64,
    /// What it is.
    pub value: Value,
}

/// All of it. Plain data: one row for each entry, or one file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// The documents.
    pub documents: BTreeMap<Key, Held>,
    /// The statuses.
    pub statuses: BTreeMap<Key, Status>,
    /// Events that the server has not confirmed.
    pub events: Events,
    /// The last lease.
    pub lease: Option<Token>,
    /// The highest version ever heard of.
    pub heard: u64,
}

/// One change of it. A list of them may be cut short by a crash after any of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A document is now this.
    Document(Key, Box<Held>),
    /// A document, and its status, are no longer here.
    Gone(Key),
    /// A status is now this.
    Status(Key, Status),
    /// An event happened.
    Event(Event),
    /// Events of a run up to a number need not be kept.
    Confirmed(Author, u64),
    /// The lease is now this.
    Lease(Token),
    /// The highest version heard of is now this.
    Heard(u64),
}

impl Disk {
    /// Makes a change.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Document(key, copy) => {
                self.documents.insert(key, *copy);
            }
            Record::Gone(key) => {
                self.documents.remove(&key);
                self.statuses.remove(&key);
            }
            Record::Status(key, status) => {
                self.statuses.insert(key, status);
            }
            Record::Event(event) => self.events.push(event),
            Record::Confirmed(author, through) => self.events.confirm(&author, through),
            Record::Lease(lease) => self.lease = Some(lease),
            Record::Heard(version) => self.heard = version,
        }
    }
}
