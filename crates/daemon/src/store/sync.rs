//! What is shared with a control plane: rows of plain data, which `daemon::sync` knows the meaning of.

use rusqlite::{OptionalExtension as _, params};

use super::{Durability, Store, StoreError};

/// What a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// A document, by its key.
    Document,
    /// What was last told of one, by its key.
    Status,
    /// An event that the server has not confirmed, by its place in the order.
    Event,
    /// Which environment a document is of, by its key.
    Link,
    /// A word or number that there is one of.
    Single,
}

impl Space {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Status => "status",
            Self::Event => "event",
            Self::Link => "link",
            Self::Single => "single",
        }
    }
}

/// A change of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// What it is of.
    pub(crate) space: Space,
    /// Its key.
    pub(crate) key: String,
    /// What it is from now on; nothing takes it away.
    pub(crate) value: Option<String>,
}

impl Store {
    /// The rows of a space, by key: key and value.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn sync_rows(&self, space: Space) -> Result<Vec<(String, String)>, StoreError> {
        self.read(|connection, path| {
            let failed = |error| StoreError::from_sqlite(path, error);
            let mut query = connection
                .prepare_cached("SELECT key, value FROM sync WHERE space = ?1 ORDER BY key")
                .map_err(failed)?;
            let rows =
                query.query_map([space.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
            rows.map(|row| row.map_err(failed)).collect()
        })
    }

    /// The value of one row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn sync_row(&self, space: Space, key: &str) -> Result<Option<String>, StoreError> {
        self.read(|connection, path| {
            let failed = |error| StoreError::from_sqlite(path, error);
            let mut query = connection
                .prepare_cached("SELECT value FROM sync WHERE space = ?1 AND key = ?2")
                .map_err(failed)?;
            query.query_row([space.as_str(), key], |row| row.get(0)).optional().map_err(failed)
        })
    }

    /// Changes rows, all or none. Statuses can be observed again and may be lost in a power cut; all else is on the disk
    /// when this returns.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn write_sync(&self, rows: &[Row]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let is_status = rows.iter().all(|row| row.space == Space::Status);
        let durability = if is_status { Durability::Process } else { Durability::Disk };
        self.write(durability, |write| {
            for Row { space, key, value } in rows {
                let done = match value {
                    Some(value) => write.transaction.execute(
                        "INSERT INTO sync (space, key, value) VALUES (?1, ?2, ?3)
                             ON CONFLICT (space, key) DO UPDATE SET value = excluded.value",
                        params![space.as_str(), key, value],
                    ),
                    None => write.transaction.execute(
                        "DELETE FROM sync WHERE space = ?1 AND key = ?2",
                        params![space.as_str(), key],
                    ),
                };
                done.map_err(|error| write.failed(error))?;
            }
            Ok(())
        })
    }

    /// Takes all rows away: this computer belongs to no control plane any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn forget_sync(&self) -> Result<(), StoreError> {
        self.write(Durability::Disk, |write| {
            write.transaction.execute("DELETE FROM sync", []).map_err(|error| write.failed(error))?;
            Ok(())
        })
    }
}
