//! Environments: one for each folder and configuration.

use std::collections::BTreeMap;

use api::{
    AutomationWish, CloneRequest, DEFAULT_MACHINE, DesiredPhase, Environment, EnvironmentId, EnvironmentSpec,
    EnvironmentStatus, EventKind, Grant, Metadata, Name, ObjectReference, PortStatus, Session, Source,
    UpRequest,
};
use camino::Utf8Path;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::containers::keep_variables;
use super::{Durability, Store, StoreError, Write, from_sql, to_json, to_sql};

const SELECT: &str = "SELECT id, name, spec, generation, resource_version, created_at, status
    FROM environments JOIN statuses ON environment = id";

impl Store {
    /// All environments, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        self.read(|connection, path| {
            let failed = |error| StoreError::from_sqlite(path, error);
            let mut query = connection.prepare_cached(&format!("{SELECT} ORDER BY name")).map_err(failed)?;
            let rows = query.query_map([], Stored::read).map_err(failed)?;
            rows.map(|row| row.map_err(failed)?.parse(path)).collect()
        })
    }

    /// The environment with an id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn environment(&self, id: &EnvironmentId) -> Result<Option<Environment>, StoreError> {
        self.read(|connection, path| one(connection, path, "id = ?1", [id.as_str()]))
    }

    /// The environment with a name, or else with an id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn find(&self, name_or_id: &str) -> Result<Option<Environment>, StoreError> {
        self.read(|connection, path| match one(connection, path, "name = ?1", [name_or_id])? {
            Some(environment) => Ok(Some(environment)),
            None => one(connection, path, "id = ?1", [name_or_id]),
        })
    }

    /// The environment of a folder and configuration, if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn environment_of(
        &self,
        folder: &Utf8Path,
        config: Option<&Utf8Path>,
    ) -> Result<Option<Environment>, StoreError> {
        let key = [folder.as_str(), config.map_or("", Utf8Path::as_str)];
        self.read(|connection, path| one(connection, path, "folder = ?1 AND config = ?2", key))
    }

    /// The environment of a folder and configuration shall run; it is made if there is none, and then the second
    /// part of the answer is true.
    ///
    /// An existing one keeps its name. Its retry session is renewed, so that its files are read again; its rebuild
    /// session if the request says so; what is newly agreed to is added; the
    /// variables, unless it keeps those there are, and dotfiles it brings replace the earlier ones. The same request again changes nothing that runs.
    ///
    /// # Errors
    /// [`StoreError::BeingDeleted`] while the folder's environment is on its way out, [`StoreError::NameTaken`] when
    /// the request names a new one like another.
    pub fn up(
        &self,
        request: &UpRequest,
        session: Session,
        now: Timestamp,
    ) -> Result<(Environment, bool), StoreError> {
        self.write(Durability::Disk, |write| {
            let config = key_of(request);
            let key = [request.folder.as_str(), config.as_str()];
            let found = one(&write.transaction, write.path, "folder = ?1 AND config = ?2", key)?;
            let is_new = found.is_none();
            let environment = match found {
                Some(environment) => renew(write, environment, request, session)?,
                None => create(write, request, session, now)?,
            };
            if !request.keep_variables {
                keep_variables(write, &environment.id, &request.variables)?;
            }
            Ok((environment, is_new))
        })
    }

    /// Changes what is wanted of an environment. The generation rises if that differs.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when it is no longer at the expected version; [`StoreError::BeingDeleted`] for any
    /// change to one whose deletion is wanted; [`StoreError::NotFound`].
    pub fn change_spec(
        &self,
        id: &EnvironmentId,
        expected_version: Option<u64>,
        change: impl FnOnce(&mut EnvironmentSpec),
    ) -> Result<Environment, StoreError> {
        self.write(Durability::Disk, |write| {
            let environment = existing(write, id)?;
            let found = environment.metadata.resource_version;
            if let Some(expected) = expected_version.filter(|expected| *expected != found) {
                let name = environment.metadata.name.to_string();
                return Err(StoreError::Stale { name, expected, found });
            }
            let mut spec = environment.spec.clone();
            change(&mut spec);
            let generation = environment.metadata.generation + 1;
            save_spec(write, environment, spec, generation)
        })
    }

    /// Changes what is wanted of tasks and services. They have sessions of their own: the generation stays.
    ///
    /// # Errors
    /// As [`change_spec`](Self::change_spec).
    pub fn change_automations(
        &self,
        id: &EnvironmentId,
        wishes: BTreeMap<String, AutomationWish>,
    ) -> Result<Environment, StoreError> {
        self.write(Durability::Disk, |write| {
            let environment = existing(write, id)?;
            let mut spec = environment.spec.clone();
            // What was said for an earlier run of the container counts no more.
            spec.automations
                .retain(|_, old| wishes.values().all(|new| new.container_run == old.container_run));
            spec.automations.extend(wishes);
            let generation = environment.metadata.generation;
            save_spec(write, environment, spec, generation)
        })
    }

    /// Changes what an environment may use of the person's credentials. That has times of its own: the generation stays.
    ///
    /// # Errors
    /// As [`change_spec`](Self::change_spec).
    pub fn change_grants(
        &self,
        id: &EnvironmentId,
        change: impl FnOnce(&mut Vec<Grant>),
    ) -> Result<Environment, StoreError> {
        self.write(Durability::Disk, |write| {
            let environment = existing(write, id)?;
            let mut spec = environment.spec.clone();
            change(&mut spec.grants);
            let generation = environment.metadata.generation;
            save_spec(write, environment, spec, generation)
        })
    }

    /// Writes what was observed. The same as before is no event.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is gone.
    pub fn write_status(&self, id: &EnvironmentId, status: EnvironmentStatus) -> Result<(), StoreError> {
        self.write(Durability::Process, |write| {
            let environment = existing(write, id)?;
            if environment.status == status {
                return Ok(());
            }
            replace_status(write, id, &status)
        })
    }

    /// Replaces the ports in the status of an environment, and nothing else of it; whether that changed anything. One
    /// that is gone is no failure.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn write_ports(&self, id: &EnvironmentId, ports: &[PortStatus]) -> Result<bool, StoreError> {
        let Some(environment) = self.environment(id)? else { return Ok(false) };
        if environment.status.ports == ports {
            return Ok(false);
        }
        self.write(Durability::Process, |write| {
            let mut status = existing(write, id)?.status;
            status.ports = ports.to_vec();
            replace_status(write, id, &status)
        })?;
        Ok(true)
    }

    /// Removes an environment, its status and its hooks. One that is gone already is no failure and no event.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget(&self, id: &EnvironmentId) -> Result<(), StoreError> {
        self.write(Durability::Disk, |write| {
            let gone = write
                .transaction
                .execute("DELETE FROM environments WHERE id = ?1", [id.as_str()])
                .map_err(|error| write.failed(error))?;
            if gone > 0 {
                write.announce(ObjectReference::environment(id), EventKind::Removed);
            }
            Ok(())
        })
    }
}

fn renew(
    write: &mut Write<'_>,
    environment: Environment,
    request: &UpRequest,
    session: Session,
) -> Result<Environment, StoreError> {
    if environment.spec.desired_phase == DesiredPhase::Deleted {
        let Metadata { name, .. } = environment.metadata;
        return Err(StoreError::BeingDeleted { name: name.to_string(), id: environment.id });
    }
    let mut spec = environment.spec.clone();
    // Asked for is asked for: the files are read again, and `initializeCommand` runs again, as the specification has
    // it for every start.
    spec.retry = session;
    if request.rebuild {
        spec.rebuild = Session::fresh();
    }
    spec.desired_phase = DesiredPhase::Running;
    spec.idle = request.idle.unwrap_or(spec.idle);
    spec.idle_since = None;
    if request.worktree_of.is_some() || request.repository.is_some() {
        spec.source = source_of(request, &spec.retry);
    }
    for digest in &request.consents {
        if !spec.consents.contains(digest) {
            spec.consents.push(digest.clone());
        }
    }
    spec.unasked = request.unasked;
    if request.prebuild.is_some() {
        spec.prebuild.clone_from(&request.prebuild);
    }
    if request.dotfiles.is_some() {
        spec.dotfiles.clone_from(&request.dotfiles);
    }
    let generation = environment.metadata.generation + 1;
    save_spec(write, environment, spec, generation)
}

fn create(
    write: &mut Write<'_>,
    request: &UpRequest,
    session: Session,
    now: Timestamp,
) -> Result<Environment, StoreError> {
    let name = free_name(write, request)?;
    let id = EnvironmentId::random();
    let mut consents = request.consents.clone();
    consents.dedup();
    let version = write.announce(ObjectReference::environment(&id), EventKind::Changed);
    let environment = Environment {
        id,
        metadata: Metadata { name, created_at: now, generation: 1, resource_version: version },
        spec: EnvironmentSpec {
            desired_phase: DesiredPhase::Running,
            source: source_of(request, &session),
            config: request.config.clone(),
            machine: Name::from_text(DEFAULT_MACHINE),
            // With a session of its own, a container that another tool made counts as an older one.
            rebuild: if request.rebuild { Session::fresh() } else { Session::default() },
            retry: session,
            consents,
            unasked: request.unasked,
            dotfiles: request.dotfiles.clone(),
            prebuild: request.prebuild.clone(),
            ports: Vec::new(),
            automations: BTreeMap::new(),
            grants: Vec::new(),
            idle: request.idle.unwrap_or_default(),
            idle_since: None,
        },
        status: EnvironmentStatus::default(),
    };
    write
        .transaction
        .execute(
            "INSERT INTO environments
                 (id, name, folder, config, spec, generation, resource_version, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7)",
            params![
                environment.id.as_str(),
                environment.metadata.name.as_str(),
                request.folder.as_str(),
                key_of(request),
                to_json(&environment.spec),
                to_sql(version),
                now.to_string(),
            ],
        )
        .and_then(|_| {
            write.transaction.execute(
                "INSERT INTO statuses (environment, status) VALUES (?1, ?2)",
                params![environment.id.as_str(), to_json(&environment.status)],
            )
        })
        .map_err(|error| write.failed(error))?;
    Ok(environment)
}

/// What tells apart the environments of one folder: its configuration, and whether it is for a prebuild. No path holds a
/// line break that a person typed.
pub(crate) fn key_of(request: &UpRequest) -> String {
    let config = request.config.as_deref().map_or("", Utf8Path::as_str);
    if request.prebuild.is_some() { format!("prebuild\n{config}") } else { config.to_owned() }
}

/// Where the files come from that a request is about.
fn source_of(request: &UpRequest, session: &Session) -> Source {
    let path = request.folder.clone();
    match (&request.repository, &request.worktree_of) {
        (Some(CloneRequest { url, branch, grant }), _) => Source::Clone {
            url: url.clone(),
            branch: branch.clone(),
            folder: path,
            granted: grant.then(|| session.clone()),
        },
        (None, Some(common)) => Source::Worktree { path, common: common.clone() },
        (None, None) => Source::Folder { path },
    }
}

/// The asked-for name, or the suggested one or one made from the folder's, with a number behind it if others have it.
fn free_name(write: &Write<'_>, request: &UpRequest) -> Result<Name, StoreError> {
    let holder = |name: &Name| one(&write.transaction, write.path, "name = ?1", [name.as_str()]);
    if let Some(name) = &request.name {
        return match holder(name)? {
            None => Ok(name.clone()),
            Some(other) => Err(StoreError::NameTaken {
                name: name.to_string(),
                folder: other.spec.source.folder().clone(),
            }),
        };
    }
    let suffix = if request.prebuild.is_some() { "-prebuild" } else { "" };
    let suggested = request.suggested_name.as_ref().map(Name::as_str);
    let first = suggested.or(request.folder.file_name()).unwrap_or_default();
    let first = Name::from_text(&format!("{first}{suffix}"));
    let mut name = first.clone();
    for number in 2.. {
        if holder(&name)?.is_none() {
            break;
        }
        name = first.numbered(number);
    }
    Ok(name)
}

fn save_spec(
    write: &mut Write<'_>,
    mut environment: Environment,
    spec: EnvironmentSpec,
    generation: u64,
) -> Result<Environment, StoreError> {
    if spec == environment.spec {
        return Ok(environment);
    }
    if environment.spec.desired_phase == DesiredPhase::Deleted {
        let Metadata { name, .. } = environment.metadata;
        return Err(StoreError::BeingDeleted { name: name.to_string(), id: environment.id });
    }
    let version = write.announce(ObjectReference::environment(&environment.id), EventKind::Changed);
    environment.spec = spec;
    environment.metadata.generation = generation;
    environment.metadata.resource_version = version;
    write
        .transaction
        .execute(
            "UPDATE environments SET spec = ?2, generation = ?3, resource_version = ?4 WHERE id = ?1",
            params![
                environment.id.as_str(),
                to_json(&environment.spec),
                to_sql(environment.metadata.generation),
                to_sql(version),
            ],
        )
        .map_err(|error| write.failed(error))?;
    Ok(environment)
}

fn existing(write: &Write<'_>, id: &EnvironmentId) -> Result<Environment, StoreError> {
    one(&write.transaction, write.path, "id = ?1", [id.as_str()])?
        .ok_or_else(|| StoreError::NotFound { id: id.to_string() })
}

fn one<const N: usize>(
    connection: &Connection,
    path: &Utf8Path,
    condition: &str,
    values: [&str; N],
) -> Result<Option<Environment>, StoreError> {
    let failed = |error| StoreError::from_sqlite(path, error);
    connection
        .prepare_cached(&format!("{SELECT} WHERE {condition}"))
        .and_then(|mut query| query.query_row(rusqlite::params_from_iter(values), Stored::read).optional())
        .map_err(failed)?
        .map(|stored| stored.parse(path))
        .transpose()
}

/// A row as it is in the file.
struct Stored {
    id: String,
    name: String,
    spec: String,
    generation: i64,
    resource_version: i64,
    created_at: String,
    status: String,
}

impl Stored {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            spec: row.get(2)?,
            generation: row.get(3)?,
            resource_version: row.get(4)?,
            created_at: row.get(5)?,
            status: row.get(6)?,
        })
    }

    fn parse(self, path: &Utf8Path) -> Result<Environment, StoreError> {
        let what = format!("environment `{}`", self.id);
        let bad = |error: &dyn std::error::Error| StoreError::bad_row(path, &what, error);
        Ok(Environment {
            metadata: Metadata {
                name: Name::parse(&self.name).map_err(|error| bad(&error))?,
                created_at: self.created_at.parse().map_err(|error: jiff::Error| bad(&error))?,
                generation: from_sql(self.generation),
                resource_version: from_sql(self.resource_version),
            },
            spec: serde_json::from_str(&self.spec).map_err(|error| bad(&error))?,
            status: serde_json::from_str(&self.status).map_err(|error| bad(&error))?,
            id: EnvironmentId(self.id),
        })
    }
}

fn replace_status(
    write: &mut Write<'_>,
    id: &EnvironmentId,
    status: &EnvironmentStatus,
) -> Result<(), StoreError> {
    let version = write.announce(ObjectReference::environment(id), EventKind::Changed);
    write
        .transaction
        .execute(
            "UPDATE statuses SET status = ?2 WHERE environment = ?1",
            params![id.as_str(), to_json(status)],
        )
        .and_then(|_| {
            write.transaction.execute(
                "UPDATE environments SET resource_version = ?2 WHERE id = ?1",
                params![id.as_str(), to_sql(version)],
            )
        })
        .map(drop)
        .map_err(|error| write.failed(error))
}
