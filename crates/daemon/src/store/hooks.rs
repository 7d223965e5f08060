//! Which lifecycle hooks of which container ended well: written after they did, so a crash runs a hook again rather
//! than never.

use api::{EnvironmentId, HookStage};
use rusqlite::params;

use super::{Durability, Store, StoreError, from_sql, to_sql};

impl Store {
    /// Records that a hook stage ended well. `run` tells the starts of a container apart; it is empty for stages
    /// that run once in a container's life.
    ///
    /// # Errors
    /// [`StoreError`], also when the environment is gone.
    pub fn hook_succeeded(
        &self,
        id: &EnvironmentId,
        container: &str,
        run: &str,
        stage: HookStage,
        millis: u64,
    ) -> Result<(), StoreError> {
        self.write(Durability::Disk, |write| {
            write
                .transaction
                .execute(
                    "INSERT OR REPLACE INTO hooks (environment, container, stage, run, millis)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![id.as_str(), container, stage.property(), run, to_sql(millis)],
                )
                .map_err(|error| write.failed(error))?;
            Ok(())
        })
    }

    /// The hook stages of a container that ended well, with the run and the milliseconds each took, in the order of
    /// the specification.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn hooks_of(
        &self,
        id: &EnvironmentId,
        container: &str,
    ) -> Result<Vec<(HookStage, String, u64)>, StoreError> {
        self.read(|connection, path| {
            let failed = |error| StoreError::from_sqlite(path, error);
            let mut query = connection
                .prepare_cached(
                    "SELECT stage, run, millis FROM hooks WHERE environment = ?1 AND container = ?2",
                )
                .map_err(failed)?;
            let rows = query
                .query_map([id.as_str(), container], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
                })
                .map_err(failed)?;
            let mut hooks = Vec::new();
            for row in rows {
                let (property, run, millis) = row.map_err(failed)?;
                // A stage that only a newer version knows is none of ours.
                let stage = HookStage::ALL.into_iter().find(|stage| stage.property() == property);
                hooks.extend(stage.map(|stage| (stage, run, from_sql(millis))));
            }
            hooks.sort();
            Ok(hooks)
        })
    }
}
