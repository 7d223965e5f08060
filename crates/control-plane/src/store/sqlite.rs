//! SQLite: one file, one process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql, TransactionBehavior, params_from_iter};

use super::migrations::MIGRATIONS;
use super::pool::Pool;
use super::statements::{Open, Row, Statements, Value};
use super::{StoreError, Transaction};

/// How long a statement waits for another process, such as a backup.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that read at a time.
const READERS: usize = 4;

/// A file. Writers come one after the other; readers see the last that was committed.
pub(super) struct Sqlite {
    path: Utf8PathBuf,
    writer: Mutex<Connection>,
    readers: Pool<Connection>,
}

impl Sqlite {
    pub(super) fn open(path: &Utf8Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_str().is_empty()) {
            fs_err::create_dir_all(folder).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        }
        let mut writer = connect(path)?;
        migrate(&mut writer)?;
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), readers: Pool::new(READERS) })
    }

    pub(super) fn read<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.readers.take(|| connect(&self.path))?;
        let done = (|| {
            let transaction = connection.transaction().map_err(StoreError::from)?;
            work(&mut Statements(&transaction))
        })();
        connection.keep();
        done
    }

    pub(super) fn copy_to(&self, file: &Utf8Path) -> Result<(), StoreError> {
        make_private(file, || {
            let connection = self.readers.take(|| connect(&self.path))?;
            let done = connection.execute("VACUUM INTO $1", [file.as_str()]);
            connection.keep();
            Ok(done.map(drop)?)
        })
    }

    pub(super) fn write<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut dyn Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = lock(&self.writer);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let done = work(&mut Statements(&transaction))?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(done)
    }
}

/// A new file that nobody but its owner can read, not even while it is being filled: the authority's key goes into it. A part
/// of it stays nowhere.
fn make_private(file: &Utf8Path, write: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
    let mut options = fs_err::OpenOptions::new();
    // It is made here and now, or it belongs to somebody.
    options.write(true).create_new(true).mode(0o600);
    options.open(file).map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    write().inspect_err(|_| {
        if let Err(error) = fs_err::remove_file(file) {
            tracing::warn!(%error, "a copy that is not whole is left");
        }
    })
}

/// Whether a file was made by a server: an empty one is a database of SQLite as well.
pub(super) fn is_state(file: &Utf8Path) -> Result<bool, StoreError> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version > 0)
}

/// Makes a file of what another database holds.
pub(super) fn make(
    file: &Utf8Path,
    tell: impl FnOnce(&mut dyn FnMut(&str, &[Value<'_>]) -> Result<(), StoreError>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    make_private(file, || {
        let mut connection = Connection::open(file)?;
        migrate(&mut connection)?;
        let transaction = connection.transaction()?;
        tell(&mut |statement, values| {
            transaction.prepare_cached(statement)?.execute(params_from_iter(values))?;
            Ok(())
        })?;
        Ok(transaction.commit()?)
    })
}

/// Tells what each of some queries finds in a file, row by row: the log may be larger than the memory.
pub(super) fn tell(
    file: &Utf8Path,
    queries: &[&'static str],
    mut take: impl FnMut(usize, &[Value<'_>]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut connection = Connection::open(file)?;
    migrate(&mut connection)?;
    let transaction = connection.transaction()?;
    for (which, query) in queries.iter().enumerate() {
        let mut statement = transaction.prepare(query)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let values: Vec<_> = (0..columns).map(|column| value(row, column)).collect::<Result<_, _>>()?;
            take(which, &values)?;
        }
    }
    Ok(())
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
    transaction.pragma_update(None, "user_version", known.cast_signed())?;
    transaction.commit()?;
    Ok(())
}

impl Open for &rusqlite::Transaction<'_> {
    fn run(&mut self, statement: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        Ok(self.prepare_cached(statement)?.execute(params_from_iter(values))? as u64)
    }

    fn rows(&mut self, query: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.prepare_cached(query)?;
        let columns = statement.column_count();
        let rows = statement.query_map(params_from_iter(values), |row| {
            (0..columns).map(|column| value(row, column)).collect::<rusqlite::Result<_>>().map(Row::new)
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Number(number) => ValueRef::Integer(*number),
            Value::Nothing => ValueRef::Null,
        }))
    }
}

fn value(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Value<'static>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(Value::Nothing),
        ValueRef::Integer(number) => Ok(Value::Number(number)),
        _ => row.get::<_, String>(column).map(|text| Value::Text(text.into())),
    }
}
