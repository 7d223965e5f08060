//! PostgreSQL: one database, as many replicas as one likes.
//!
//! Writers of all replicas come one after the other by a lock of the database, so the order of versions is that in which they
//! become visible. What a replica writes it tells the others by a notification that is part of the transaction.

mod address;
mod listener;
mod session;
mod tls;

use std::sync::Arc;

use camino::Utf8Path;
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator as _;
use tokio::sync::watch;

use super::migrations::MIGRATIONS;
use super::pool::{Lent, Pool};
use super::statements::{Open as _, Statements};
use super::{StoreError, Transaction, sqlite};
pub(super) use address::Address;
use listener::Listener;
use session::{Session, Writing};

/// Connections that read at a time. With the writer's and the listener's a replica has six.
const READERS: usize = 4;

/// Who writes waits here for whoever writes now. The snapshot of a statement is taken when it begins, so those behind the lock
/// see what the one before wrote. The number is but a name: `cove` in ASCII.
const WRITE: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock(1668249189)";

const READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Ends what wrote. Should a statement have failed without anybody minding, the first of these fails too: `COMMIT` alone would
/// roll back and not say so.
const COMMIT: &str = "SELECT 1; COMMIT";

/// The same, and others hear of the version.
const COMMIT_AND_TELL: &str =
    "SELECT pg_notify('cove_control', CAST(value AS TEXT)) FROM meta WHERE key = 'version'; COMMIT";

/// Hears of it.
const LISTEN: &str = "LISTEN cove_control";

/// All there is, but for the format of the tables, and how SQLite takes it.
const COPIED: [(&str, &str); 7] = [
    (
        "SELECT key, value FROM meta WHERE key <> 'format'",
        "INSERT INTO meta (key, value) VALUES ($1, $2)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    ),
    (
        "SELECT id, kind, organization, name, document FROM resources",
        "INSERT INTO resources (id, kind, organization, name, document) VALUES ($1, $2, $3, $4, $5)",
    ),
    (
        "SELECT version, organization, change FROM changes",
        "INSERT INTO changes (version, organization, change) VALUES ($1, $2, $3)",
    ),
    (
        "SELECT sequence, organization, line FROM audit",
        "INSERT INTO audit (sequence, organization, line) VALUES ($1, $2, $3)",
    ),
    (
        "SELECT space, key, value, expires_at FROM records",
        "INSERT INTO records (space, key, value, expires_at) VALUES ($1, $2, $3, $4)",
    ),
    (
        "SELECT organization, key, version, gone_at, sealed, stored FROM synced",
        "INSERT INTO synced (organization, key, version, gone_at, sealed, stored)
            VALUES ($1, $2, $3, $4, $5, $6)",
    ),
    (
        "SELECT organization, runner, key FROM concerned",
        "INSERT INTO concerned (organization, runner, key) VALUES ($1, $2, $3)",
    ),
];

/// A database.
pub(super) struct Postgres {
    address: Arc<Address>,
    writer: Pool<Session>,
    readers: Pool<Session>,
    /// Ends with it.
    _listener: Listener,
}

impl Postgres {
    /// Blocks; not on a thread of the runtime, as nothing here.
    pub(super) fn open(address: Address, news: &watch::Sender<u64>) -> Result<Self, StoreError> {
        let address = Arc::new(address);
        let writer = Pool::new(1);
        let mut session = writer.take(|| Session::connect(&address))?;
        migrate(&mut session.client, &MIGRATIONS)?;
        session.keep();
        let listener = Listener::start(Arc::clone(&address), news.clone())?;
        Ok(Self { address, writer, readers: Pool::new(READERS), _listener: listener })
    }

    pub(super) fn read<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut session = self.begin(&self.readers, READ)?;
        let done = work(&mut Statements(&mut *session));
        // Nothing was written. What it read counts, even if the connection breaks now.
        if session.client.batch_execute("COMMIT").is_ok() {
            session.keep();
        }
        done
    }

    pub(super) fn write<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        self.writing(|transaction| work(transaction))
    }

    /// Fills what is empty with what a file holds. All of it or nothing.
    pub(super) fn fill_from(&self, file: &Utf8Path) -> Result<(), StoreError> {
        self.writing(|transaction| {
            let query = "SELECT key FROM meta WHERE key = 'version'
                AND (EXISTS (SELECT 1 FROM resources) OR EXISTS (SELECT 1 FROM audit))";
            if !transaction.0.rows(query, &[])?.is_empty() {
                let reason =
                    "it is not empty, and a backup replaces nothing: make another one with `createdb`";
                return Err(StoreError::Unsuitable { reason: reason.to_owned() });
            }
            // A server that was started on it made an authority for itself.
            transaction.0.run("DELETE FROM records", &[])?;
            sqlite::tell(file, &COPIED.map(|(query, _)| query), |which, values| {
                transaction.0.run(COPIED[which].1, values).map(drop)
            })
        })
    }

    fn writing<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut Statements<Writing<'_>>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut session = self.begin(&self.writer, WRITE)?;
        let mut transaction = Statements(Writing::new(&mut session));
        let done = work(&mut transaction);
        let commit = if transaction.0.is_raised() { COMMIT_AND_TELL } else { COMMIT };
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                if session.client.batch_execute("ROLLBACK").is_ok() {
                    session.keep();
                }
                return Err(error);
            }
        };
        session.client.batch_execute(commit).map_err(|error| match error.as_db_error() {
            Some(_) => error.into(),
            None => StoreError::Unavailable(Box::new(Unsure(error))),
        })?;
        session.keep();
        Ok(done)
    }

    pub(super) fn copy_to(&self, file: &Utf8Path) -> Result<(), StoreError> {
        let mut session = self.begin(&self.readers, READ)?;
        sqlite::make(file, |insert| {
            for (query, statement) in COPIED {
                // Row by row: the log may be larger than the memory.
                let mut rows = session.client.query_raw(query, std::iter::empty::<&str>())?;
                while let Some(row) = rows.next()? {
                    insert(statement, &session::columns(&row)?)?;
                }
            }
            Ok(())
        })?;
        if session.client.batch_execute("COMMIT").is_ok() {
            session.keep();
        }
        Ok(())
    }

    /// Begins a transaction. A connection that was idle may have broken meanwhile; then it is begun on a new one, for nothing
    /// was done yet. After that nothing is ever tried again here.
    fn begin<'a>(&self, pool: &'a Pool<Session>, how: &str) -> Result<Lent<'a, Session>, StoreError> {
        let mut session = pool.take(|| Session::connect(&self.address))?;
        match session.client.batch_execute(how) {
            Ok(()) => Ok(session),
            Err(error) if !session.is_new() && is_broken(&error) => {
                drop(session);
                drop(pool.idle());
                let mut session = pool.take(|| Session::connect(&self.address))?;
                session.client.batch_execute(how)?;
                Ok(session)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let idle = (self.writer.idle(), self.readers.idle());
        // Each says goodbye and waits for it, which it must not on a thread of the runtime.
        let closing = std::thread::Builder::new().name("postgres-close".to_owned());
        if let Err(error) = closing.spawn(move || drop(idle)) {
            tracing::warn!(%error, "connections to PostgreSQL are left to the end of the process");
        }
    }
}

/// The connection broke before the answer came.
#[derive(Debug, thiserror::Error)]
#[error("the connection broke while this was being written: all of it may be there, or nothing")]
struct Unsure(#[source] postgres::Error);

/// Whether another connection may do better.
fn is_broken(error: &postgres::Error) -> bool {
    // 08: the connection; 57P: the server is being stopped, or was.
    error.code().is_none_or(|code| code.code().starts_with("08") || code.code().starts_with("57P"))
}

/// Brings the tables to the present format. Replicas that start at once do it one after the other.
pub(super) fn migrate(client: &mut Client, migrations: &[&str]) -> Result<(), StoreError> {
    let encoding: String = client.query_one("SHOW server_encoding", &[])?.try_get(0)?;
    if encoding != "UTF8" {
        let reason = format!(
            "its encoding is {encoding}; make one with `createdb --encoding=UTF8 --template=template0`"
        );
        return Err(StoreError::Unsuitable { reason });
    }
    client.batch_execute(WRITE)?;
    let is_new: bool = client.query_one("SELECT to_regclass('meta') IS NULL", &[])?.try_get(0)?;
    let query = "SELECT value FROM meta WHERE key = 'format'";
    let seen = if is_new { None } else { client.query_opt(query, &[])? };
    let seen: i64 = seen.map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
    let (found, known) = (seen.unsigned_abs(), migrations.len() as u64);
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for statements in migrations.iter().skip(found as usize) {
        // In the order of bytes, as SQLite has it: that of a language differs between computers, and breaks indexes when the
        // computer learns more of it.
        client.batch_execute(&statements.replace(" TEXT", r#" TEXT COLLATE "C""#))?;
    }
    if found < known {
        let statement = "INSERT INTO meta (key, value) VALUES ('format', $1)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        client.execute(statement, &[&known.cast_signed()])?;
    }
    Ok(client.batch_execute("COMMIT")?)
}
