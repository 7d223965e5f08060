//! What is known of an environment's container beside what the engine says: the person's variables it is read with,
//! the configuration it was made from, and whether it was taken over from another tool.

use std::collections::BTreeMap;

use api::{Consent, EnvironmentId, Problem, Session};
use reconciler::Properties;
use rusqlite::{OptionalExtension, params};

use super::{Durability, Store, StoreError, Write, to_json};

/// The configuration a container was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct MadeFrom {
    /// Its digest: what the container's label says too.
    pub digest: String,
    /// All of it, by property.
    pub properties: Properties,
    /// Mounts of its image, features and compose services that were left out of it: nobody had agreed to them.
    pub left_out: Vec<Consent>,
    /// What a person should know of its features.
    pub feature_warnings: Vec<Problem>,
}

/// A container that another tool made. It carries no label of ours, so what the labels would say is kept here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Docker's id.
    pub container: String,
    /// Digest of the configuration it is taken to be made from.
    pub digest: String,
    /// The rebuild session it counts for.
    pub rebuild: Session,
}

impl Store {
    /// The person's variables that the last request for an environment brought.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn variables(&self, id: &EnvironmentId) -> Result<BTreeMap<String, String>, StoreError> {
        let row = self.read(|connection, path| {
            connection
                .prepare_cached("SELECT given FROM variables WHERE environment = ?1")
                .and_then(|mut query| {
                    query.query_row([id.as_str()], |row| row.get::<_, String>(0)).optional()
                })
                .map_err(|error| StoreError::from_sqlite(path, error))
        })?;
        let Some(text) = row else { return Ok(BTreeMap::new()) };
        let what = format!("variables of environment `{id}`");
        serde_json::from_str(&text).map_err(|error| StoreError::bad_row(self.path(), &what, &error))
    }

    /// Keeps a person's variables for an environment, instead of the earlier ones.
    ///
    /// # Errors
    /// [`StoreError`], also when the environment is gone.
    pub fn set_variables(
        &self,
        id: &EnvironmentId,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        self.write(Durability::Disk, |write| keep_variables(write, id, variables))
    }

    /// The configuration that the container of an environment was last made from.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn made_from(&self, id: &EnvironmentId) -> Result<Option<MadeFrom>, StoreError> {
        let row = self.read(|connection, path| {
            connection
                .prepare_cached(
                    "SELECT digest, properties, left_out, feature_warnings FROM made_from WHERE environment = ?1",
                )
                .and_then(|mut query| {
                    let row = |row: &rusqlite::Row<'_>| {
                        let text = |at| row.get::<_, String>(at);
                        Ok((text(0)?, text(1)?, text(2)?, text(3)?))
                    };
                    query.query_row([id.as_str()], row).optional()
                })
                .map_err(|error| StoreError::from_sqlite(path, error))
        })?;
        let Some((digest, properties, left_out, warnings)) = row else { return Ok(None) };
        let bad = |error: serde_json::Error| {
            StoreError::bad_row(self.path(), &format!("configuration of environment `{id}`"), &error)
        };
        let properties = serde_json::from_str(&properties).map_err(bad)?;
        let left_out = serde_json::from_str(&left_out).map_err(bad)?;
        let feature_warnings = serde_json::from_str(&warnings).map_err(bad)?;
        Ok(Some(MadeFrom { digest, properties, left_out, feature_warnings }))
    }

    /// Records what the container of an environment is about to be made from.
    ///
    /// # Errors
    /// [`StoreError`], also when the environment is gone.
    pub fn record_made_from(&self, id: &EnvironmentId, made_from: &MadeFrom) -> Result<(), StoreError> {
        self.write(Durability::Disk, |write| {
            write
                .transaction
                .execute(
                    "INSERT OR REPLACE INTO made_from
                         (environment, digest, properties, left_out, feature_warnings)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![
                        id.as_str(),
                        made_from.digest,
                        to_json(&made_from.properties),
                        to_json(&made_from.left_out),
                        to_json(&made_from.feature_warnings)
                    ],
                )
                .map_err(|error| write.failed(error))?;
            Ok(())
        })
    }

    /// The container that an environment took over, if it did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn adopted(&self, id: &EnvironmentId) -> Result<Option<Adopted>, StoreError> {
        self.read(|connection, path| {
            connection
                .prepare_cached("SELECT container, digest, rebuild FROM adopted WHERE environment = ?1")
                .and_then(|mut query| {
                    let row = |row: &rusqlite::Row<'_>| {
                        let rebuild = Session(row.get(2)?);
                        Ok(Adopted { container: row.get(0)?, digest: row.get(1)?, rebuild })
                    };
                    query.query_row([id.as_str()], row).optional()
                })
                .map_err(|error| StoreError::from_sqlite(path, error))
        })
    }

    /// Records that an environment takes a container over.
    ///
    /// # Errors
    /// [`StoreError`], also when the environment is gone.
    pub fn adopt(&self, id: &EnvironmentId, adopted: &Adopted) -> Result<(), StoreError> {
        self.write(Durability::Disk, |write| {
            write
                .transaction
                .execute(
                    "INSERT OR REPLACE INTO adopted (environment, container, digest, rebuild)
                     VALUES (?1, ?2, ?3, ?4)",
                    params![id.as_str(), adopted.container, adopted.digest, adopted.rebuild.0],
                )
                .map_err(|error| write.failed(error))?;
            Ok(())
        })
    }
}

/// Keeps the variables that a request brought, instead of the earlier ones.
pub(super) fn keep_variables(
    write: &Write<'_>,
    id: &EnvironmentId,
    variables: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    write
        .transaction
        .execute(
            "INSERT OR REPLACE INTO variables (environment, given) VALUES (?1, ?2)",
            params![id.as_str(), to_json(variables)],
        )
        .map_err(|error| write.failed(error))?;
    Ok(())
}
