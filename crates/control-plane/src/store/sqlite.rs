//! SQLite: one file, one process.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::Name;
use api::control::{AuditEntry, Change, Document, Kind};
use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, TransactionBehavior, params};

use super::migrations::MIGRATIONS;
use super::{CHANGES_KEPT, Listing, Record, Space, StoreError, Transaction};

/// How long a statement waits for another process, such as a backup.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that read at a time.
const READERS: usize = 4;

/// A file. Writers come one after the other; readers see the last that was committed.
pub(super) struct Sqlite {
    path: Utf8PathBuf,
    writer: Mutex<Connection>,
    readers: Readers,
}

/// Connections that nobody uses, and how many there are at all.
struct Readers {
    idle: Mutex<(Vec<Connection>, usize)>,
    returned: Condvar,
}

impl Sqlite {
    pub(super) fn open(path: &Utf8Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_str().is_empty()) {
            fs_err::create_dir_all(folder).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        }
        let mut writer = connect(path)?;
        migrate(&mut writer)?;
        let readers = Readers { idle: Mutex::default(), returned: Condvar::new() };
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), readers })
    }

    pub(super) fn read<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.readers.take(&self.path)?;
        let done = (|| {
            let transaction = connection.transaction().map_err(StoreError::from)?;
            work(&mut Open(&transaction))
        })();
        self.readers.give_back(connection);
        done
    }

    pub(super) fn copy_to(&self, file: &Utf8Path) -> Result<(), StoreError> {
        let connection = self.readers.take(&self.path)?;
        let done = connection.execute("VACUUM INTO $1", [file.as_str()]);
        self.readers.give_back(connection);
        Ok(done.map(drop)?)
    }

    pub(super) fn write<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = lock(&self.writer);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let done = work(&mut Open(&transaction))?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(done)
    }
}

impl Readers {
    fn take(&self, path: &Utf8Path) -> Result<Connection, StoreError> {
        let mut idle = lock(&self.idle);
        loop {
            if let Some(connection) = idle.0.pop() {
                return Ok(connection);
            }
            if idle.1 < READERS {
                let connection = connect(path)?;
                idle.1 += 1;
                return Ok(connection);
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, connection: Connection) {
        lock(&self.idle).0.push(connection);
        self.returned.notify_one();
    }
}

/// A panic inside a transaction rolled it back: what the mutex guards is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Utf8Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let seen: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let (found, known) = (seen.unsigned_abs(), MIGRATIONS.len() as u64);
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for statements in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(statements)?;
    }
    transaction.pragma_update(None, "user_version", signed(known))?;
    transaction.commit()?;
    Ok(())
}

/// A transaction that is open. Its statements number their values in the order in which they come: to SQLite `$1` is but a
/// name.
struct Open<'a>(&'a rusqlite::Transaction<'a>);

impl Open<'_> {
    fn run(&self, statement: &str, values: &[&dyn ToSql]) -> Result<usize, StoreError> {
        Ok(self.0.prepare_cached(statement)?.execute(values)?)
    }

    fn one<T>(
        &self,
        query: &str,
        values: &[&dyn ToSql],
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.0.prepare_cached(query)?.query_row(values, read).optional()?)
    }

    fn all<T>(
        &self,
        query: &str,
        values: &[&dyn ToSql],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.0.prepare_cached(query)?;
        let rows = statement.query_map(values, read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn meta(&self, key: &str) -> Result<u64, StoreError> {
        let value = self.one("SELECT value FROM meta WHERE key = $1", &[&key], |row| row.get::<_, i64>(0))?;
        Ok(value.unwrap_or_default().unsigned_abs())
    }

    fn set_meta(&self, key: &str, value: u64) -> Result<(), StoreError> {
        self.run("UPDATE meta SET value = $1 WHERE key = $2", &[&signed(value), &key]).map(drop)
    }
}

impl Transaction for Open<'_> {
    fn version(&mut self) -> Result<u64, StoreError> {
        self.meta("version")
    }

    fn set_version(&mut self, version: u64) -> Result<(), StoreError> {
        self.set_meta("version", version)
    }

    fn resource(
        &mut self,
        kind: Kind,
        organization: &Name,
        name: &Name,
    ) -> Result<Option<Document>, StoreError> {
        let query = "SELECT document FROM resources WHERE kind = $1 AND organization = $2 AND name = $3";
        let text = self.one(query, &[&kind.as_str(), &organization.as_str(), &name.as_str()], text)?;
        text.map(|text| parse(&text)).transpose()
    }

    fn resource_by_id(&mut self, id: &str) -> Result<Option<Document>, StoreError> {
        let text = self.one("SELECT document FROM resources WHERE id = $1", &[&id], text)?;
        text.map(|text| parse(&text)).transpose()
    }

    fn resources(&mut self, wanted: &Listing) -> Result<Vec<Document>, StoreError> {
        let query = "SELECT document FROM resources
            WHERE kind = $1 AND ($2 IS NULL OR organization = $2) AND (organization, name) > ($3, $4)
            ORDER BY organization, name LIMIT $5";
        let organization = wanted.organization.as_ref().map(Name::as_str);
        let (after, name) = wanted
            .after
            .as_ref()
            .map_or(("", ""), |(organization, name)| (organization.as_str(), name.as_str()));
        let values: &[&dyn ToSql] =
            &[&wanted.kind.as_str(), &organization, &after, &name, &i64::from(wanted.most)];
        self.all(query, values, text)?.iter().map(|text| parse(text)).collect()
    }

    fn count(&mut self, kind: Kind, organization: &Name) -> Result<u64, StoreError> {
        let query = "SELECT count(*) FROM resources WHERE kind = $1 AND organization = $2";
        let count = self.one(query, &[&kind.as_str(), &organization.as_str()], |row| row.get::<_, i64>(0))?;
        Ok(count.unwrap_or_default().unsigned_abs())
    }

    fn put(&mut self, document: &Document) -> Result<(), StoreError> {
        let metadata = &document.metadata;
        let statement =
            "INSERT INTO resources (id, kind, organization, name, document) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (id) DO UPDATE SET name = excluded.name, document = excluded.document";
        let json = serde_json::to_string(document)?;
        let done = self.0.prepare_cached(statement)?.execute(params![
            metadata.id,
            document.kind.as_str(),
            metadata.organization.as_str(),
            metadata.name.as_str(),
            json
        ]);
        match done {
            Ok(_) => Ok(()),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                Err(StoreError::Taken { name: metadata.name.to_string() })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn remove(&mut self, id: &str) -> Result<(), StoreError> {
        self.run("DELETE FROM resources WHERE id = $1", &[&id]).map(drop)
    }

    fn announce(&mut self, organization: &Name, change: &Change) -> Result<(), StoreError> {
        let (version, json) = (change.resource_version, serde_json::to_string(change)?);
        let statement = "INSERT INTO changes (version, organization, change) VALUES ($1, $2, $3)";
        self.run(statement, &[&signed(version), &organization.as_str(), &json])?;
        // Now and then, so that a write is not two.
        if version % 1024 == 0 && version > CHANGES_KEPT {
            let from = version - CHANGES_KEPT;
            self.run("DELETE FROM changes WHERE version <= $1", &[&signed(from)])?;
            self.set_meta("changes_from", from)?;
        }
        Ok(())
    }

    fn changes(
        &mut self,
        organization: Option<&Name>,
        after: u64,
        most: u32,
    ) -> Result<Option<Vec<Change>>, StoreError> {
        if after < self.meta("changes_from")? || after > self.version()? {
            return Ok(None);
        }
        let query = "SELECT change FROM changes WHERE version > $1 AND ($2 IS NULL OR organization = $2)
            ORDER BY version LIMIT $3";
        let organization = organization.map(Name::as_str);
        let texts = self.all(query, &[&signed(after), &organization, &i64::from(most)], text)?;
        texts.iter().map(|text| parse(text)).collect::<Result<_, _>>().map(Some)
    }

    fn forget_changes(&mut self) -> Result<(), StoreError> {
        self.run("DELETE FROM changes", &[])?;
        let version = self.version()?;
        self.set_meta("changes_from", version)
    }

    fn audit_head(&mut self) -> Result<Option<(u64, String)>, StoreError> {
        self.one("SELECT sequence, line FROM audit ORDER BY sequence DESC LIMIT 1", &[], line)
    }

    fn append_audit(&mut self, entry: &AuditEntry, line: &str) -> Result<(), StoreError> {
        let organization = entry.organization.as_ref().map_or("", Name::as_str);
        let statement = "INSERT INTO audit (sequence, organization, line) VALUES ($1, $2, $3)";
        self.run(statement, &[&signed(entry.sequence), &organization, &line]).map(drop)
    }

    fn audit(
        &mut self,
        organization: Option<&Name>,
        after: u64,
        most: u32,
    ) -> Result<Vec<(u64, String)>, StoreError> {
        let query =
            "SELECT sequence, line FROM audit WHERE sequence > $1 AND ($2 IS NULL OR organization = $2)
            ORDER BY sequence LIMIT $3";
        let organization = organization.map(Name::as_str);
        self.all(query, &[&signed(after), &organization, &i64::from(most)], line)
    }

    fn record(&mut self, space: Space, key: &str, now: Timestamp) -> Result<Option<Record>, StoreError> {
        let query = "SELECT key, value, expires_at FROM records
            WHERE space = $1 AND key = $2 AND (expires_at IS NULL OR expires_at > $3)";
        let found = self.one(query, &[&space.as_str(), &key, &now.as_millisecond()], record)?;
        found.map(whole).transpose()
    }

    fn records(&mut self, space: Space, now: Timestamp) -> Result<Vec<Record>, StoreError> {
        let query = "SELECT key, value, expires_at FROM records
            WHERE space = $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY key";
        let found = self.all(query, &[&space.as_str(), &now.as_millisecond()], record)?;
        found.into_iter().map(whole).collect()
    }

    fn put_record(&mut self, space: Space, record: &Record) -> Result<(), StoreError> {
        let statement = "INSERT INTO records (space, key, value, expires_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at";
        let expires_at = record.expires_at.map(Timestamp::as_millisecond);
        let json = serde_json::to_string(&record.value)?;
        self.run(statement, &[&space.as_str(), &record.key, &json, &expires_at]).map(drop)
    }

    fn remove_record(&mut self, space: Space, key: &str) -> Result<bool, StoreError> {
        let statement = "DELETE FROM records WHERE space = $1 AND key = $2";
        Ok(self.run(statement, &[&space.as_str(), &key])? > 0)
    }

    fn forget_expired(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        let gone = self.run("DELETE FROM records WHERE expires_at <= $1", &[&now.as_millisecond()])?;
        Ok(gone as u64)
    }
}

/// Versions and sequences begin at one and never come near the end.
fn signed(number: u64) -> i64 {
    number.cast_signed()
}

fn text(row: &Row<'_>) -> rusqlite::Result<String> {
    row.get(0)
}

fn line(row: &Row<'_>) -> rusqlite::Result<(u64, String)> {
    Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?))
}

fn record(row: &Row<'_>) -> rusqlite::Result<(String, String, Option<i64>)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn whole((key, value, expires_at): (String, String, Option<i64>)) -> Result<Record, StoreError> {
    let expires_at = expires_at.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    Ok(Record { key, value: serde_json::from_str(&value)?, expires_at })
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    Ok(serde_json::from_str(text)?)
}
