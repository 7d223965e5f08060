//! Environments that are shared with runners: the server's adaptor of the crate `sync`.
//!
//! The ledger of an organization is in the database. What people change of an environment and what runners say of it meet in
//! one document, and the resource that everybody sees is what counts there: written in the same transaction, never beside
//! it. A [`Turn`] is that part of a transaction.
//!
//! This process is one run of the server. What it decides with, [`Fleet`], is only ever used within a transaction that
//! writes, so one after the other; what it wrote counts when that is committed, and nothing is sent before.
//!
//! Runners that are connected hear of changes by the version, whichever replica made them ([`Fleet::follow`]).

mod books;
mod connected;
mod events;
mod follow;
mod heard;
pub(crate) mod presence;
mod sealed;
#[cfg(test)]
mod tests;
mod turn;
mod unused;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use api::Name;
use jiff::Timestamp;
use serde_json::json;
use sync::{Owners, Server, Session, ToRunner, Token};

use crate::store::{Database, Record, Space, StoreError, Transaction};

use books::Books;
pub(crate) use connected::{Connected, Inbox};
pub(crate) use heard::{Heard, Said};
pub use turn::Turn;

/// Where the number of the last run is in [`Space::Server`].
const RUN: &str = "run";

/// All runners, as this run of the server knows them. Clones share it.
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

struct Inner {
    owners: Owners,
    /// The number of this run.
    run: u64,
    server: Mutex<Server>,
    /// The highest version that this run knows to be on the disk.
    committed: AtomicU64,
    connected: Connected,
    /// This process, to others on the same database.
    replica: String,
}

impl Fleet {
    /// Begins a run: its number is on the disk before it does anything else.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn start(database: &Database) -> Result<Self, StoreError> {
        let latest = database.write(|transaction| -> Result<u64, StoreError> {
            let now = Timestamp::UNIX_EPOCH;
            let known = transaction.record(Space::Server, RUN, now)?;
            let latest = known.and_then(|record| record.value.as_u64()).unwrap_or_default();
            let record = Record { key: RUN.to_owned(), value: json!(latest + 1), expires_at: None };
            transaction.put_record(Space::Server, &record)?;
            Ok(latest)
        });
        Ok(Self::of_run(latest.await?))
    }

    /// One that is for a transaction that will be given up: what it writes names nothing that stays.
    #[must_use]
    pub fn for_rehearsal(&self) -> Self {
        Self::of_run(self.inner.run)
    }

    fn of_run(latest: u64) -> Self {
        let owners = Owners::default();
        let server = Server::start(owners.clone(), latest, random());
        let inner = Inner {
            owners,
            run: latest + 1,
            server: Mutex::new(server),
            committed: AtomicU64::new(0),
            connected: Connected::default(),
            replica: random().to_string(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Sync's part of a transaction that writes, for one organization. Nothing else of it may be open in this process.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn turn<'a>(
        &'a self,
        transaction: &'a mut dyn Transaction,
        organization: &Name,
        now: Timestamp,
    ) -> Result<Turn<'a>, StoreError> {
        let version = transaction.version()?;
        // Whoever panicked left a run that may have written more than it says: its pen notices that by itself.
        let mut server = self.inner.server.lock().unwrap_or_else(PoisonError::into_inner);
        // A transaction that failed took its versions with it. A database that was set back is another matter, which is for
        // the crate to notice: it is behind what was committed.
        if version >= self.inner.committed.load(Ordering::Acquire) {
            server.give_up(version);
        }
        Ok(Turn::new(&self.inner.owners, server, transaction, organization, now))
    }

    /// Answers a sign of life by reading alone, if that is all there is to do.
    pub(crate) fn beat(
        &self,
        transaction: &mut dyn Transaction,
        (organization, now): (&Name, Timestamp),
        session: &mut Session,
        lease: Token,
    ) -> Result<Option<ToRunner>, StoreError> {
        let mut books = Books::new(transaction, organization, now, self.inner.owners.clone());
        let alive = session.beat(&books, lease);
        books.whole()?;
        Ok(alive)
    }

    /// All up to this version is on the disk.
    pub fn committed(&self, version: u64) {
        self.inner.committed.fetch_max(version, Ordering::AcqRel);
    }

    pub(crate) fn connected(&self) -> &Connected {
        &self.inner.connected
    }

    pub(crate) fn replica(&self) -> &str {
        &self.inner.replica
    }
}

/// 64 bits that nobody can foresee.
pub(crate) fn random() -> Token {
    Token(uuid::Uuid::new_v4().as_u64_pair().1 ^ uuid::Uuid::new_v4().as_u64_pair().0)
}
