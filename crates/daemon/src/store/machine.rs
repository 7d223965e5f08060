//! The default machine: its spec and what was observed of it.

use api::{DEFAULT_MACHINE, EventKind, Machine, MachineSpec, MachineStatus, Metadata, Name, ObjectReference};
use camino::Utf8Path;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Durability, Store, StoreError, from_sql, to_json, to_sql};
use crate::settings::Settings;

impl Store {
    /// The machine.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn machine(&self) -> Result<Machine, StoreError> {
        self.read(load)
    }

    /// Changes what is wanted of the machine. The generation rises if that differs.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it is no longer at the expected version.
    pub fn change_machine_spec(
        &self,
        expected_version: Option<u64>,
        change: impl FnOnce(&mut MachineSpec),
    ) -> Result<Machine, StoreError> {
        self.write(Durability::Disk, |write| {
            let mut machine = load(&write.transaction, write.path)?;
            let found = machine.metadata.resource_version;
            if let Some(expected) = expected_version.filter(|expected| *expected != found) {
                let name = machine.metadata.name.to_string();
                return Err(StoreError::Stale { name, expected, found });
            }
            let before = machine.spec.clone();
            change(&mut machine.spec);
            if machine.spec != before {
                machine.metadata.generation += 1;
                save(write, &mut machine)?;
            }
            Ok(machine)
        })
    }

    /// Writes what was observed of the machine. The same as before is no event.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn write_machine_status(&self, status: MachineStatus) -> Result<(), StoreError> {
        self.write(Durability::Process, |write| {
            let mut machine = load(&write.transaction, write.path)?;
            if machine.status != status {
                machine.status = status;
                save(write, &mut machine)?;
            }
            Ok(())
        })
    }

    /// Brings what `config.toml` newly says into the machine's spec, and remembers what it said.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn apply_settings(&self, settings: &Settings) -> Result<Machine, StoreError> {
        self.write(Durability::Disk, |write| {
            let earlier: Option<String> = write
                .transaction
                .query_row("SELECT value FROM meta WHERE key = 'settings'", [], |row| row.get(0))
                .optional()
                .map_err(|error| write.failed(error))?;
            let earlier: Settings = match earlier {
                // Keys that this version does not know are no reason to refuse: the file itself was read before.
                Some(text) => serde_json::from_str(&text).unwrap_or_default(),
                None => Settings::default(),
            };
            let mut machine = load(&write.transaction, write.path)?;
            let before = machine.spec.clone();
            settings.changes_since(&earlier).apply(&mut machine.spec);
            if machine.spec != before {
                machine.metadata.generation += 1;
                save(write, &mut machine)?;
            }
            write
                .transaction
                .execute(
                    "INSERT OR REPLACE INTO meta (key, value) VALUES ('settings', ?1)",
                    [to_json(settings)],
                )
                .map_err(|error| write.failed(error))?;
            Ok(machine)
        })
    }
}

fn load(connection: &Connection, path: &Utf8Path) -> Result<Machine, StoreError> {
    let (spec, status, generation, version, created): (String, String, i64, i64, String) = connection
        .query_row(
            "SELECT spec, status, generation, resource_version, created_at FROM machines WHERE name = ?1",
            [DEFAULT_MACHINE],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
        )
        .map_err(|error| StoreError::from_sqlite(path, error))?;
    let bad = |error: &dyn std::error::Error| StoreError::bad_row(path, "machine", error);
    Ok(Machine {
        metadata: Metadata {
            name: Name::parse(DEFAULT_MACHINE).map_err(|error| bad(&error))?,
            created_at: created.parse().map_err(|error: jiff::Error| bad(&error))?,
            generation: from_sql(generation),
            resource_version: from_sql(version),
        },
        spec: serde_json::from_str(&spec).map_err(|error| bad(&error))?,
        status: serde_json::from_str(&status).map_err(|error| bad(&error))?,
    })
}

fn save(write: &mut super::Write<'_>, machine: &mut Machine) -> Result<(), StoreError> {
    let object = ObjectReference::machine(DEFAULT_MACHINE);
    machine.metadata.resource_version = write.announce(object, EventKind::Changed);
    write
        .transaction
        .execute(
            "UPDATE machines SET spec = ?2, status = ?3, generation = ?4, resource_version = ?5 WHERE name = ?1",
            params![
                DEFAULT_MACHINE,
                to_json(&machine.spec),
                to_json(&machine.status),
                to_sql(machine.metadata.generation),
                to_sql(machine.metadata.resource_version),
            ],
        )
        .map_err(|error| write.failed(error))?;
    Ok(())
}
