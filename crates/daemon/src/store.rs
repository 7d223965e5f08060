//! What people want and what was observed, kept in SQLite so that a daemon killed at any instant continues.
//!
//! Specs are written by people, statuses by the daemon; they are kept apart. Every write is one transaction that
//! also appends its event, and the event is broadcast after the commit, so that a watcher never hears of something
//! that a crash undoes. Specs are on the disk when a call returns (`synchronous=FULL`); statuses, which can be
//! observed again, survive the daemon's death but may lose the last moments before a power cut.
//!
//! There is one counter: the sequence of events. A resource's `resource_version` is the sequence of the event that
//! announced it, so a watch from that version sees everything after it. A new store starts counting at the time of
//! its making in milliseconds: a sequence that a client has from an earlier store lies below all kept events, and
//! the client is told to list again.
//!
//! The store decides nothing about the world and never removes a damaged file.

mod containers;
mod environments;
mod error;
mod events;
mod history;
mod hooks;
mod machine;
mod prebuilds;
mod schema;
mod sync;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::broadcast;

pub use containers::{Adopted, MadeFrom};
pub(crate) use environments::key_of;
pub use error::StoreError;
use events::{EventLog, Pending};
pub use history::EventQuery;
pub use prebuilds::MadePrebuild;
pub(crate) use sync::{Row, Space};

/// Events a slow watcher may lag behind before it reads them from the log instead.
const BROADCAST: usize = 1024;

/// The store of one state folder. Clones share it. Calls are short and block; they never wait for anything but the
/// disk.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    path: Utf8PathBuf,
    state: Mutex<State>,
    sender: broadcast::Sender<api::Event>,
}

struct State {
    connection: Connection,
    log: EventLog,
}

/// How much of a write must be on the disk when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// All: a person wrote it, and nobody else knows it.
    Disk,
    /// None: it can be observed again.
    Process,
}

/// A transaction under way and the events it will announce.
struct Write<'a> {
    transaction: Transaction<'a>,
    path: &'a Utf8Path,
    pending: Pending,
}

impl Store {
    /// Opens the store, and makes it on first use, with the default machine in it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] and [`StoreError::TooNew`] name the file; it is left as it is.
    pub fn open(path: &Utf8Path) -> Result<Self, StoreError> {
        let mut connection = schema::open(path, Timestamp::now())?;
        let log = EventLog::load(&mut connection, path)?;
        let state = Mutex::new(State { connection, log });
        let (sender, _) = broadcast::channel(BROADCAST);
        Ok(Self { inner: Arc::new(Inner { path: path.to_owned(), state, sender }) })
    }

    /// The file.
    pub fn path(&self) -> &Utf8Path {
        &self.inner.path
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside a transaction rolled it back, and the log is changed only after a commit: what the mutex
        // guards is whole.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Connection, &Utf8Path) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        work(&self.lock().connection, &self.inner.path)
    }

    fn write<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&mut Write<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut guard = self.lock();
        let State { connection, log } = &mut *guard;
        let failed = |error| StoreError::from_sqlite(&self.inner.path, error);
        let synchronous = match durability {
            Durability::Disk => "FULL",
            Durability::Process => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", synchronous).map_err(failed)?;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut write = Write { transaction, path: &self.inner.path, pending: log.begin() };
        let value = work(&mut write)?;
        let Write { transaction, mut pending, .. } = write;
        pending.store(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        for event in log.commit(pending) {
            // Nobody listening is no failure.
            let _ = self.inner.sender.send(event);
        }
        Ok(value)
    }
}

impl Write<'_> {
    fn failed(&self, error: rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(self.path, error)
    }

    /// Announces a change, and gives the version it makes.
    fn announce(&mut self, object: api::ObjectReference, kind: api::EventKind) -> u64 {
        self.pending.add(object, kind).sequence
    }
}

/// SQLite's integers are signed; our counters stay far below the sign.
fn to_sql(number: u64) -> i64 {
    number.cast_signed()
}

fn from_sql(number: i64) -> u64 {
    number.cast_unsigned()
}

fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("resources are plain data that JSON can hold")
}

#[cfg(test)]
mod tests;
