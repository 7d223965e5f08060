//! What the control plane remembers, in SQLite or in PostgreSQL.
//!
//! Both hold the same few tables, and everything that decides is written once, over [`Transaction`]:
//!
//! - **resources**: one document each, by kind, organization and name;
//! - **changes**: which resource changed at which version, for those who watch; the oldest are forgotten;
//! - **audit**: the log, line by line;
//! - **records**: everything else by space and key: tokens, certificates, sessions, keys;
//! - **synced** and **concerned**: what is shared with runners of each environment, and whom it concerns.
//!
//! There is one counter: the version. Transactions that write come one after the other, whichever replica they are of, so
//! a version is never seen before a lower one, and a line of the audit log always knows the one before. What was
//! committed is on the disk.

mod error;
mod migrations;
mod pool;
mod postgres;
mod sqlite;
mod statements;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::Name;
use api::control::{AuditEntry, Change, Document, Kind};
use camino::Utf8Path;
use jiff::Timestamp;
use tokio::sync::watch;

pub use error::StoreError;
use postgres::{Address, Postgres};
use sqlite::Sqlite;

/// Changes that are kept for watches that were away.
const CHANGES_KEPT: u64 = 100_000;

/// How far versions leap when a copy takes the place of a database: more than a team changes in years.
const LEAP: u64 = 1 << 32;

/// Where the server's incarnation is in [`Space::Server`].
pub const INCARNATION: &str = "incarnation";

/// A database, and news of what is written into it. Clones share it.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    /// The version of the last change that was heard of.
    news: watch::Sender<u64>,
}

enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// A place for everything that is no resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// What the server knows of itself: its incarnation, its keys.
    Server,
    /// Personal tokens, by the hash of what programs send.
    Tokens,
    /// Tokens with which computers come in, by their hash.
    Enrolments,
    /// Certificates of runners, by serial number.
    Certificates,
    /// People's sessions with the console, by the hash of their cookie.
    Sessions,
    /// Sign-ins that have begun, by their state.
    SignIns,
    /// Links that let a browser in, by their hash.
    ConsoleLinks,
    /// What sync keeps of each runner, by organization and name.
    SyncedRunners,
    /// Which connection a runner has, by organization and name.
    Connections,
    /// Runners whose connection ended lately, by organization and name.
    Leaving,
    /// Processes of this server, and when each last said that it is there.
    Replicas,
}

impl Space {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Tokens => "tokens",
            Self::Enrolments => "enrolments",
            Self::Certificates => "certificates",
            Self::Sessions => "sessions",
            Self::SignIns => "sign_ins",
            Self::ConsoleLinks => "console_links",
            Self::SyncedRunners => "synced_runners",
            Self::Connections => "connections",
            Self::Leaving => "leaving",
            Self::Replicas => "replicas",
        }
    }
}

/// Something in a [`Space`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// What it is, as its space has it.
    pub value: serde_json::Value,
    /// When it is forgotten.
    pub expires_at: Option<Timestamp>,
}

/// What is shared with runners of an environment, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// Its organization.
    pub organization: Name,
    /// Its key: the environment's id.
    pub key: String,
    /// Its version.
    pub version: u64,
    /// Since when nobody has it any more. The first time that this is said counts, until it is not said.
    pub gone_at: Option<Timestamp>,
    /// What it is.
    pub stored: serde_json::Value,
}

/// A version of something shared, and a runner that it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// The version.
    pub version: u64,
    /// The organization of both.
    pub organization: Name,
    /// The runner.
    pub runner: String,
    /// The key of what is shared.
    pub key: String,
}

/// What can be read and written, all or nothing. Nothing here decides: versions, rights and the chain of the audit log are
/// matters of those who call.
pub trait Transaction {
    /// The last version that was given.
    fn version(&mut self) -> Result<u64, StoreError>;
    /// From here on versions are above this one.
    fn set_version(&mut self, version: u64) -> Result<(), StoreError>;

    /// A resource by name.
    fn resource(
        &mut self,
        kind: Kind,
        organization: &Name,
        name: &Name,
    ) -> Result<Option<Document>, StoreError>;
    /// A resource by id.
    fn resource_by_id(&mut self, id: &str) -> Result<Option<Document>, StoreError>;
    /// Resources of a kind, by organization and name, at most so many, after this organization and name.
    fn resources(&mut self, wanted: &Listing) -> Result<Vec<Document>, StoreError>;
    /// How many resources of a kind an organization has.
    fn count(&mut self, kind: Kind, organization: &Name) -> Result<u64, StoreError>;
    /// Writes a resource, new or changed.
    ///
    /// # Errors
    /// [`StoreError::Taken`] where another one of its kind has its name.
    fn put(&mut self, document: &Document) -> Result<(), StoreError>;
    /// Takes a resource away.
    fn remove(&mut self, id: &str) -> Result<(), StoreError>;

    /// Tells those who watch.
    fn announce(&mut self, organization: &Name, change: &Change) -> Result<(), StoreError>;
    /// Changes after a version, at most so many, of one organization or of all. Nothing if they are not all kept.
    fn changes(
        &mut self,
        organization: Option<&Name>,
        after: u64,
        most: u32,
    ) -> Result<Option<Vec<Change>>, StoreError>;

    /// Forgets all changes: whoever watches is told to list again.
    fn forget_changes(&mut self) -> Result<(), StoreError>;

    /// The last line of the audit log, as it was written.
    fn audit_head(&mut self) -> Result<Option<(u64, String)>, StoreError>;
    /// Appends a line, as it will be read again.
    fn append_audit(&mut self, entry: &AuditEntry, line: &str) -> Result<(), StoreError>;
    /// Lines after a sequence as they were written, the oldest first, at most so many, of one organization or of all.
    fn audit(
        &mut self,
        organization: Option<&Name>,
        after: u64,
        most: u32,
    ) -> Result<Vec<(u64, String)>, StoreError>;

    /// A record that is there and not over.
    fn record(&mut self, space: Space, key: &str, now: Timestamp) -> Result<Option<Record>, StoreError>;
    /// All records of a space that are not over, by key.
    fn records(&mut self, space: Space, now: Timestamp) -> Result<Vec<Record>, StoreError>;
    /// Writes a record, new or changed.
    fn put_record(&mut self, space: Space, record: &Record) -> Result<(), StoreError>;
    /// Takes a record away; whether it was there.
    fn remove_record(&mut self, space: Space, key: &str) -> Result<bool, StoreError>;
    /// Takes away what is over.
    fn forget_expired(&mut self, now: Timestamp) -> Result<u64, StoreError>;

    /// What is shared of an environment.
    fn synced(&mut self, organization: &Name, key: &str) -> Result<Option<serde_json::Value>, StoreError>;
    /// Writes what is shared of an environment, and which runners it concerns.
    fn put_synced(&mut self, synced: &Synced, concerned: &[&str]) -> Result<(), StoreError>;
    /// Forgets what is shared of an environment.
    fn drop_synced(&mut self, organization: &Name, key: &str) -> Result<(), StoreError>;
    /// The keys of all that concerns a runner.
    fn synced_of(&mut self, organization: &Name, runner: &str) -> Result<Vec<String>, StoreError>;
    /// What has a version above this one, and whom it concerns: by version, at most so many.
    fn synced_after(&mut self, version: u64, most: u32) -> Result<Vec<Concern>, StoreError>;
    /// What nobody has since before that time, at most so many: organizations and keys.
    fn synced_gone_before(&mut self, time: Timestamp, most: u32) -> Result<Vec<(Name, String)>, StoreError>;
    /// Which secrets its runner was last told of; empty where of none.
    fn sealed_for(&mut self, organization: &Name, key: &str) -> Result<String, StoreError>;
    /// Keeps that.
    fn set_sealed_for(&mut self, organization: &Name, key: &str, sealed: &str) -> Result<(), StoreError>;
}

/// Which resources are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Their kind.
    pub kind: Kind,
    /// Their organization; all of them if absent.
    pub organization: Option<Name>,
    /// The last that is known, in the order of organization and name.
    pub after: Option<(Name, Name)>,
    /// At most so many.
    pub most: u32,
}

impl Listing {
    /// All of a kind in an organization, as far as one answer goes.
    pub fn of(kind: Kind, organization: &Name) -> Self {
        Self { kind, organization: Some(organization.clone()), after: None, most: u32::MAX }
    }
}

impl Database {
    /// Opens what a person named: an address of PostgreSQL (`postgres://…`), or the path of a SQLite file, which is made where
    /// there is none.
    ///
    /// # Errors
    /// As [`Database::sqlite`]; or the server cannot be reached, or the address is none. What an error says never has the
    /// password.
    pub async fn open(place: &str) -> Result<Self, StoreError> {
        let place = place.to_owned();
        blocking(move || {
            if Address::is_meant(&place) {
                let news = watch::Sender::new(0);
                let engine = Postgres::open(Address::parse(&place)?, &news)?;
                Ok(Self { inner: Arc::new(Inner { engine: Engine::Postgres(engine), news }) })
            } else if place.contains("://") {
                let reason = "it is neither `postgres://…` nor the path of a file".to_owned();
                Err(StoreError::Unsuitable { reason })
            } else {
                Self::sqlite(Utf8Path::new(&place))
            }
        })
        .await
    }

    /// Opens a SQLite file, or makes it.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or was written by a newer version. It is left as it is then.
    pub fn sqlite(path: &Utf8Path) -> Result<Self, StoreError> {
        let engine = Sqlite::open(path)?;
        Ok(Self::new(Engine::Sqlite(engine)))
    }

    /// Whether a file holds the state of a server, or an earlier version's: nothing is made, and nothing changed.
    ///
    /// # Errors
    /// It cannot be read, or is no file of SQLite.
    pub async fn is_state(file: &Utf8Path) -> Result<bool, StoreError> {
        let file = file.to_owned();
        blocking(move || sqlite::is_state(&file)).await
    }

    /// Writes a whole copy, as of one moment, into a file that is not there yet: one of SQLite, whichever database it is of.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn copy_to(&self, file: &Utf8Path) -> Result<(), StoreError> {
        let (inner, file) = (Arc::clone(&self.inner), file.to_owned());
        blocking(move || match &inner.engine {
            Engine::Sqlite(sqlite) => sqlite.copy_to(&file),
            Engine::Postgres(postgres) => postgres.copy_to(&file),
        })
        .await
    }

    /// Fills an empty PostgreSQL with what a copy holds: the counterpart of [`Database::copy_to`]. The file must be one that may
    /// be brought to the present format.
    ///
    /// # Errors
    /// It is not empty, or is none of PostgreSQL; or one of the two cannot be read or written. Nothing was written then.
    pub async fn fill_from(&self, file: &Utf8Path) -> Result<(), StoreError> {
        let (inner, file) = (Arc::clone(&self.inner), file.to_owned());
        blocking(move || match &inner.engine {
            Engine::Sqlite(_) => {
                let reason = "a file of SQLite is replaced as a whole, and not filled".to_owned();
                Err(StoreError::Unsuitable { reason })
            }
            Engine::Postgres(postgres) => postgres.fill_from(&file),
        })
        .await
    }

    /// Goes on from a copy: versions are far above all that anybody can have heard of, whoever watches lists again, and the
    /// server is another one than before to runners, which bring it up to date.
    ///
    /// # Errors
    /// It cannot be written.
    pub async fn begin_anew(&self, now: Timestamp) -> Result<(), StoreError> {
        self.write(move |transaction| {
            let version = transaction.version()? + LEAP;
            transaction.set_version(version)?;
            transaction.forget_changes()?;
            let value = serde_json::json!({ "id": uuid::Uuid::new_v4().to_string(), "since": now });
            let record = Record { key: INCARNATION.to_owned(), value, expires_at: None };
            transaction.put_record(Space::Server, &record)
        })
        .await
    }

    fn new(engine: Engine) -> Self {
        Self { inner: Arc::new(Inner { engine, news: watch::Sender::new(0) }) }
    }

    /// Reads, all of one moment.
    ///
    /// # Errors
    /// Whatever `work` gives, or that the database cannot be read.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        blocking(move || match &inner.engine {
            Engine::Sqlite(sqlite) => sqlite.read(work),
            Engine::Postgres(postgres) => postgres.read(work),
        })
        .await
    }

    /// Writes all of it, or nothing if `work` fails; watches hear of it once it is on the disk.
    ///
    /// # Errors
    /// Whatever `work` gives, or that the database cannot be written.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let work = |transaction: &mut dyn Transaction| {
                let done = work(transaction)?;
                Ok::<_, E>((done, transaction.version()?))
            };
            let (done, version) = match &inner.engine {
                Engine::Sqlite(sqlite) => sqlite.write(work)?,
                Engine::Postgres(postgres) => postgres.write(work)?,
            };
            hear(&inner.news, version);
            Ok(done)
        })
        .await
    }

    /// Does what a write would do, and gives all of it up.
    ///
    /// # Errors
    /// Whatever `work` gives, or that the database cannot be written.
    pub async fn rehearse<T, E>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let given_up = self.write(move |transaction| -> Result<(), GivenUp<T, E>> {
            Err(match work(transaction) {
                Ok(done) => GivenUp::AsMeant(done),
                Err(error) => GivenUp::Failed(error),
            })
        });
        match given_up.await {
            Err(GivenUp::AsMeant(done)) => Ok(done),
            Err(GivenUp::Failed(error)) => Err(error),
            Ok(()) => unreachable!("a rehearsal never gives what would be kept"),
        }
    }

    /// Hears of the version of the last change, whichever replica wrote it.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.inner.news.subscribe()
    }
}

/// Why a rehearsal is given up.
enum GivenUp<T, E> {
    /// Nothing of it was to stay.
    AsMeant(T),
    /// Something in it failed.
    Failed(E),
}

impl<T, E: From<StoreError>> From<StoreError> for GivenUp<T, E> {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Tells of a version, unless a later one was told: those who write at once come here in any order.
fn hear(news: &watch::Sender<u64>, version: u64) {
    news.send_if_modified(|last| version > std::mem::replace(last, version.max(*last)));
}

/// Runs what blocks beside the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // The process is being ended, or `work` panicked: its transaction was rolled back.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
