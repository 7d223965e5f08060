//! The database's tables and how an older file becomes a present one.
//!
//! `user_version` says how many of [`MIGRATIONS`] a file has seen. They are only ever appended to.

use camino::Utf8Path;
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

use super::{StoreError, to_json};

/// Each takes the file from the version that is its index to the next.
const MIGRATIONS: [&str; 4] = [
    "
    CREATE TABLE meta (
        key    TEXT PRIMARY KEY,
        value  TEXT NOT NULL
    ) STRICT;
    CREATE TABLE environments (
        id                TEXT PRIMARY KEY,
        name              TEXT NOT NULL UNIQUE,
        folder            TEXT NOT NULL,
        config            TEXT NOT NULL,   -- empty: found by the specification's rules
        spec              TEXT NOT NULL,
        generation        INTEGER NOT NULL,
        resource_version  INTEGER NOT NULL,
        created_at        TEXT NOT NULL,
        UNIQUE (folder, config)
    ) STRICT;
    CREATE TABLE statuses (
        environment  TEXT PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
        status       TEXT NOT NULL
    ) STRICT;
    CREATE TABLE hooks (
        environment  TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
        container    TEXT NOT NULL,
        stage        TEXT NOT NULL,
        run          TEXT NOT NULL,
        millis       INTEGER NOT NULL,
        PRIMARY KEY (environment, container, stage, run)
    ) STRICT;
    CREATE TABLE machines (
        name              TEXT PRIMARY KEY,
        spec              TEXT NOT NULL,
        status            TEXT NOT NULL,
        generation        INTEGER NOT NULL,
        resource_version  INTEGER NOT NULL,
        created_at        TEXT NOT NULL
    ) STRICT;
    CREATE TABLE events (
        sequence  INTEGER PRIMARY KEY,
        event     TEXT NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE variables (
        environment  TEXT PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
        given        TEXT NOT NULL
    ) STRICT;
    CREATE TABLE made_from (
        environment  TEXT PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
        digest       TEXT NOT NULL,
        properties   TEXT NOT NULL,
        left_out     TEXT NOT NULL
    ) STRICT;
    CREATE TABLE adopted (
        environment  TEXT PRIMARY KEY REFERENCES environments (id) ON DELETE CASCADE,
        container    TEXT NOT NULL,
        digest       TEXT NOT NULL,
        rebuild      TEXT NOT NULL
    ) STRICT;
",
    "
    ALTER TABLE made_from ADD COLUMN feature_warnings TEXT NOT NULL DEFAULT '[]';
",
    "
    CREATE TABLE sync (
        space  TEXT NOT NULL,
        key    TEXT NOT NULL,
        value  TEXT NOT NULL,
        PRIMARY KEY (space, key)
    ) STRICT, WITHOUT ROWID;
",
];

/// Opens or makes the file, checks it, and brings it to the present format.
pub(super) fn open(path: &Utf8Path, now: Timestamp) -> Result<Connection, StoreError> {
    let failed = |error| StoreError::from_sqlite(path, error);
    let mut connection = Connection::open(path).map_err(failed)?;
    // Another process may hold the file for a moment, such as somebody's `sqlite3`.
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(failed)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(StoreError::Corrupt { path: path.to_owned(), detail: verdict });
    }
    migrate(&mut connection, path, now)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, path: &Utf8Path, now: Timestamp) -> Result<(), StoreError> {
    let failed = |error| StoreError::from_sqlite(path, error);
    let known = MIGRATIONS.len().cast_signed() as i64;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    let Some(missing) = usize::try_from(found).ok().and_then(|done| MIGRATIONS.get(done..)) else {
        return Err(StoreError::TooNew { path: path.to_owned(), found, known });
    };
    for migration in missing {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    if found == 0 {
        fill(&transaction, now).map_err(failed)?;
    }
    if !missing.is_empty() {
        transaction.pragma_update(None, "user_version", known).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// What a new store has: where it counts from, and the default machine.
fn fill(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let start = now.as_millisecond().max(1);
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('reserved', ?1), ('floor', ?1)",
        params![start.to_string()],
    )?;
    connection.execute(
        "INSERT INTO machines (name, spec, status, generation, resource_version, created_at)
         VALUES (?1, ?2, ?3, 1, ?4, ?5)",
        params![
            api::DEFAULT_MACHINE,
            to_json(&crate::settings::default_machine()),
            to_json(&api::MachineStatus::default()),
            start,
            now.to_string(),
        ],
    )?;
    Ok(())
}
