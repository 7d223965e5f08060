//! The images that this daemon itself made as prebuilds. What an image says of itself anybody can write into another;
//! its id nobody can.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::{Durability, Store, StoreError, to_json};

/// What a prebuild was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadePrebuild {
    /// Which sources it is for.
    pub source: String,
    /// Digests, by property.
    pub inputs: BTreeMap<String, String>,
}

fn key_of(image: &str) -> String {
    format!("prebuild {image}")
}

impl Store {
    /// What the image of this id was made of, if it was made here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn made_prebuild(&self, image: &str) -> Result<Option<MadePrebuild>, StoreError> {
        let row: Option<String> = self.read(|connection, path| {
            connection
                .prepare_cached("SELECT value FROM meta WHERE key = ?1")
                .and_then(|mut query| query.query_row([key_of(image)], |row| row.get(0)).optional())
                .map_err(|error| StoreError::from_sqlite(path, error))
        })?;
        let Some(text) = row else { return Ok(None) };
        let made = serde_json::from_str(&text);
        made.map(Some)
            .map_err(|error| StoreError::bad_row(self.path(), &format!("prebuild `{image}`"), &error))
    }

    /// Notes that an image is a prebuild.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep_prebuild(&self, image: &str, made: &MadePrebuild) -> Result<(), StoreError> {
        self.write(Durability::Disk, |write| {
            write
                .transaction
                .execute(
                    "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)",
                    params![key_of(image), to_json(made)],
                )
                .map(drop)
                .map_err(|error| write.failed(error))
        })
    }

    /// Forgets a prebuild. One that is not known is no failure.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_prebuild(&self, image: &str) -> Result<(), StoreError> {
        self.write(Durability::Disk, |write| {
            write
                .transaction
                .execute("DELETE FROM meta WHERE key = ?1", [key_of(image)])
                .map(drop)
                .map_err(|error| write.failed(error))
        })
    }
}
