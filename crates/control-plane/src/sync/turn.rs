//! Sync's part of a transaction: what people change of environments, and what becomes of the resources.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use api::control::{
    ClassSpec, DifferenceKind, Document, EnvironmentSpec, EnvironmentStatus, ExecutionSpec, FieldConflict,
    Fields, Kind, Rival, RunnerPhase, RunnerStatus,
};
use api::{AutomationWish, Name};
use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::{Value, json};
use sync::{
    Author, Conflict, Deletion, Dot, EditError, Key, Ledger as _, Owners, PHASE, PLACED, Server, Side, Stored,
};

use super::books::{Books, is_gone};
use super::sealed::{self, runner_id};
use crate::resources::{self, Applied, Deleted, Mirrored, ResourceError};
use crate::store::{StoreError, Transaction};

/// The field with the limits of all policies, which the server alone writes.
pub(super) const POLICY: &str = "policy";

/// The field that has what an environment's class is made of, as its runner's schema has it.
pub(super) const SIZE: &str = "size";

/// The field with the name.
const NAME: &str = "name";

/// A transaction, for what is shared with runners of one organization.
pub struct Turn<'a> {
    pub(super) owners: &'a Owners,
    pub(super) server: MutexGuard<'a, Server>,
    pub(super) books: Books<'a>,
    pub(super) organization: Name,
    pub(super) now: Timestamp,
}

/// What became of an environment.
#[derive(Debug)]
pub(super) enum Became {
    /// It is there.
    There(Applied),
    /// It is gone.
    Gone(Document),
    /// There is none, and was none.
    Nothing,
}

impl<'a> Turn<'a> {
    pub(super) fn new(
        owners: &'a Owners,
        server: MutexGuard<'a, Server>,
        transaction: &'a mut dyn Transaction,
        organization: &Name,
        now: Timestamp,
    ) -> Self {
        let books = Books::new(transaction, organization, now, owners.clone());
        Self { owners, server, books, organization: organization.clone(), now }
    }

    /// Somebody wishes an environment so: it is `document`, and was `former` before. What each changed field says counts from
    /// here on, over all that others said of it.
    ///
    /// # Errors
    /// A field cannot be shared, or the database failed.
    pub fn declare(
        mut self,
        former: Option<&Document>,
        document: &Document,
    ) -> Result<Document, ResourceError> {
        let key = key_of(document)?;
        let name = &document.metadata.name;
        let spec: EnvironmentSpec = form(&document.spec)?;
        let fields = spec.fields(name);
        let changed = if self.books.document(&key).is_some() {
            let before: Fields = match former {
                Some(former) => form::<EnvironmentSpec>(&former.spec)?.fields(&former.metadata.name),
                None => Fields::new(),
            };
            self.change(&key, &before, fields)
        } else {
            let runner = runner_id(&spec.runner);
            let fields = fields.into_iter().filter(|(field, _)| field != PLACED);
            self.server.create(&mut self.books, &key, &runner, fields).map(drop)
        };
        changed.map_err(|error| not_shared(name, &error))?;
        let before: Option<EnvironmentSpec> = former.map(|former| form(&former.spec)).transpose()?;
        if before.as_ref().map(follows_from) != Some(follows_from(&spec)) {
            self.refresh(document)?;
        }
        self.shown(&key, document)
    }

    /// The resource after all that was written of its document.
    fn shown(mut self, key: &Key, document: &Document) -> Result<Document, ResourceError> {
        let became = self.project(key, false)?;
        self.books.whole()?;
        Ok(match became {
            Became::There(applied) => applied.document,
            // It was wished away, and nobody had it.
            Became::Gone(document) => document,
            Became::Nothing => document.clone(),
        })
    }

    /// Writes the fields that are others than what counts, and takes away those that are no more.
    fn change(&mut self, key: &Key, before: &Fields, after: Fields) -> Result<(), EditError> {
        let counts = self.values(key);
        for field in before.keys().filter(|field| !after.contains_key(*field)) {
            self.server.edit(&mut self.books, key, field, Value::Null)?;
        }
        for (field, value) in after {
            if counts.get(&field) != Some(&value) {
                self.server.edit(&mut self.books, key, &field, value)?;
            }
        }
        Ok(())
    }

    /// Somebody who saw all of an environment wishes that it be deleted.
    ///
    /// # Errors
    /// The database failed.
    pub fn delete(mut self, document: &Document) -> Result<Deleted, ResourceError> {
        let key = key_of(document)?;
        if self.books.document(&key).is_none() {
            let spec: EnvironmentSpec = form(&document.spec)?;
            let runner = runner_id(&spec.runner);
            let fields = spec.fields(&document.metadata.name);
            let fields = fields.into_iter().filter(|(field, _)| field != PLACED);
            let made = self.server.create(&mut self.books, &key, &runner, fields);
            made.map_err(|error| not_shared(&document.metadata.name, &error))?;
        }
        let edited = self.server.edit(&mut self.books, &key, PHASE, "deleted".into());
        edited.map_err(|error| not_shared(&document.metadata.name, &error))?;
        if self.is_lost(&key)? {
            // Nobody is left who could say that it is gone there.
            self.books.drop_document(&key);
            resources::unmirror(self.books.transaction(), self.now, document)?;
            self.books.whole()?;
            return Ok(Deleted::Gone);
        }
        let became = self.project(&key, false)?;
        self.books.whole()?;
        Ok(match became {
            Became::There(applied) => Deleted::Going(Box::new(applied.document)),
            Became::Gone(_) | Became::Nothing => Deleted::Gone,
        })
    }

    /// Whether every runner that a document concerns was taken back, and so will not answer any more.
    fn is_lost(&mut self, key: &Key) -> Result<bool, ResourceError> {
        let Some(stored) = self.books.document(key) else { return Ok(false) };
        let organization = self.organization.clone();
        for runner in stored.concerned(self.owners) {
            let Ok(name) = Name::parse(runner.as_str()) else { continue };
            let found = self.books.transaction().resource(Kind::Runner, &organization, &name)?;
            let status = found.map(|found| form::<RunnerStatus>(&found.status)).transpose()?;
            if status.is_some_and(|status| status.phase != RunnerPhase::Revoked) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Somebody wishes a run of a task or service, or its end: a wish of its environment like any other.
    ///
    /// # Errors
    /// The environment is not shared, or the database failed.
    pub fn run(mut self, execution: &ExecutionSpec, environment: &Document) -> Result<(), ResourceError> {
        let key = key_of(environment)?;
        let wish =
            AutomationWish { run: !execution.stop, session: execution.session.clone(), container_run: None };
        let field = format!("automations/{}", execution.automation);
        let wish = serde_json::to_value(wish).map_err(StoreError::from)?;
        let edited = self.server.edit(&mut self.books, &key, &field, wish);
        edited.map_err(|error| not_shared(&environment.metadata.name, &error))?;
        self.project(&key, false)?;
        self.books.whole()?;
        Ok(())
    }

    /// Somebody who saw a conflict says what counts.
    ///
    /// # Errors
    /// The field is in none, or the environment cannot be so; or the database failed.
    pub fn settle(
        mut self,
        document: &Document,
        field: &str,
        value: Value,
    ) -> Result<Document, ResourceError> {
        let (key, name) = (key_of(document)?, &document.metadata.name);
        let stored = self.books.document(&key);
        let conflicts = stored.map(|stored| conflicts(&stored, self.owners)).unwrap_or_default();
        if !conflicts.iter().any(|conflict| conflict.field == field) {
            return Err(ResourceError::invalid_field(
                Kind::Environment,
                name,
                field,
                "there is no conflict about it",
            ));
        }
        let edited = self.server.edit(&mut self.books, &key, field, value);
        edited.map_err(|error| not_shared(name, &error))?;
        if let Err(error) = EnvironmentSpec::of_fields(&self.values(&key)) {
            let wrong =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            return Err(ResourceError::invalid_field(Kind::Environment, name, field, &wrong));
        }
        self.shown(&key, document)
    }

    /// Brings the limits and secrets that an environment's runner has to the present ones. Whether they were others.
    ///
    /// # Errors
    /// The database failed.
    pub fn refresh(&mut self, document: &Document) -> Result<bool, ResourceError> {
        let key = key_of(document)?;
        let spec: EnvironmentSpec = form(&document.spec)?;
        if self.books.document(&key).is_none() {
            let runner = runner_id(&spec.runner);
            let fields = spec.fields(&document.metadata.name);
            let fields = fields.into_iter().filter(|(field, _)| field != PLACED);
            let made = self.server.create(&mut self.books, &key, &runner, fields);
            made.map_err(|error| not_shared(&document.metadata.name, &error))?;
        }
        let version = self.books.version();
        self.fit(&key, &spec)?;
        self.books.forget_secrets(&key);
        let secrets = sealed::mark_of(&self.books.secrets(&key));
        let organization = self.organization.clone();
        let told = self.books.transaction().sealed_for(&organization, key.as_str())?;
        if told != secrets {
            // The document is there: it was made above.
            let _ = self.server.secrets_changed(&mut self.books, &key);
            self.books.transaction().set_sealed_for(&organization, key.as_str(), &secrets)?;
        }
        let changed = self.books.version() != version;
        self.books.whole()?;
        Ok(changed)
    }

    /// Writes the limits that hold for an environment, and its size, where they are others than before.
    fn fit(&mut self, key: &Key, spec: &EnvironmentSpec) -> Result<(), ResourceError> {
        let organization = self.organization.clone();
        let limits = limits_of(self.books.transaction(), &organization, spec.project.as_ref())?;
        let size = size_of(self.books.transaction(), &organization, spec.class.as_ref())?;
        let Some(stored) = self.books.document(key) else { return Ok(()) };
        for (field, value) in unsaid(&stored.document, self.owners, limits, size) {
            match self.server.edit(&mut self.books, key, field, value) {
                Ok(_) => {}
                // What a runner brought leaves no room for it. Nothing else of the organization waits for that.
                Err(error @ EditError::TooLarge(_)) => {
                    tracing::warn!(%error, %key, field, "a runner is not told of it");
                }
                Err(error) => return Err(StoreError::Damaged(Box::new(error)).into()),
            }
        }
        Ok(())
    }

    /// Makes the resource what the document says. `observed`: its runner has the same document.
    pub(super) fn project(&mut self, key: &Key, observed: bool) -> Result<Became, ResourceError> {
        let Some(stored) = self.books.document(key) else { return Ok(Became::Nothing) };
        let present = self.books.transaction().resource_by_id(key.as_str())?;
        if is_gone(&stored, self.owners) {
            let Some(present) = present else { return Ok(Became::Nothing) };
            resources::unmirror(self.books.transaction(), self.now, &present)?;
            return Ok(Became::Gone(present));
        }
        let mut spec = EnvironmentSpec::of_fields(&self.values(key)).ok();
        if let Some((name, _)) = &mut spec {
            let organization = self.organization.clone();
            let free = resources::free_name(self.books.transaction(), &organization, key.as_str(), name)?;
            if free != *name {
                let edited = self.server.edit(&mut self.books, key, NAME, free.as_str().into());
                edited.map_err(|error| not_shared(name, &error))?;
                *name = free;
            }
        }
        let Some(stored) = self.books.document(key) else { return Ok(Became::Nothing) };
        let is_other = |document: &Document, spec: &EnvironmentSpec| {
            form::<EnvironmentSpec>(&document.spec)
                .is_ok_and(|known| follows_from(&known) != follows_from(spec))
        };
        let refit = spec
            .as_ref()
            .is_some_and(|(_, spec)| present.as_ref().is_none_or(|present| is_other(present, spec)));
        let wanted = Mirrored {
            id: key.to_string(),
            organization: self.organization.clone(),
            spec,
            status: status_of(&stored, self.owners),
            observed,
            is_deleted: matches!(stored.document.deletion(self.owners), Deletion::Effective(_)),
        };
        let applied = match resources::mirror(self.books.transaction(), self.now, wanted) {
            Ok(Some(applied)) => applied,
            Ok(None) => return Ok(Became::Nothing),
            // Sync goes on; the resource stays as it was.
            Err(ResourceError::TooLarge { kind, name, size }) => {
                tracing::warn!(%kind, %name, size, "what a runner says is too large to be shown");
                return Ok(Became::Nothing);
            }
            Err(error) => return Err(error),
        };
        if refit {
            self.refresh(&applied.document)?;
        }
        Ok(Became::There(applied))
    }

    /// All values of a document that count.
    pub(super) fn values(&self, key: &Key) -> Fields {
        let stored = self.books.document(key);
        let values = |stored: Stored| -> BTreeMap<String, Value> {
            let values = stored.document.values(self.owners);
            values.map(|(field, value)| (field.to_owned(), value.clone())).collect()
        };
        stored.map(values).unwrap_or_default()
    }
}

/// What the limits, the size and the secrets of an environment follow from, beside what others declare.
fn follows_from(spec: &EnvironmentSpec) -> [Option<&Name>; 4] {
    [spec.project.as_ref(), spec.owner.as_ref(), spec.class.as_ref(), Some(&spec.runner)]
}

/// Those fields that are the server's alone and are others in a document than they are to be. One that was never written and
/// one that says nothing are the same: most teams have no policy and no class.
pub(super) fn unsaid(
    document: &sync::Document,
    owners: &Owners,
    limits: Value,
    size: Value,
) -> Vec<(&'static str, Value)> {
    let is_other = |(field, value): &(&str, Value)| {
        let counts = document.value(field, owners);
        counts != Some(value) && (counts.is_some() || *value != json!({}))
    };
    [(POLICY, limits), (SIZE, size)].into_iter().filter(is_other).collect()
}

/// What all policies come to for the environments of a project.
pub(super) fn limits_of(
    transaction: &mut dyn Transaction,
    organization: &Name,
    project: Option<&Name>,
) -> Result<Value, StoreError> {
    Ok(serde_json::to_value(resources::limits_for(transaction, organization, project)?)?)
}

/// What an environment's class is made of; nothing without one, or for one that is gone.
pub(super) fn size_of(
    transaction: &mut dyn Transaction,
    organization: &Name,
    class: Option<&Name>,
) -> Result<Value, StoreError> {
    let class: Option<ClassSpec> = match class {
        Some(class) => resources::spec_of(transaction, organization, class)?,
        None => None,
    };
    Ok(serde_json::to_value(class.map(|class| class.configuration).unwrap_or_default())?)
}

/// What its runner reported of an environment, and what is in dispute. What is reported in another form says nothing.
fn status_of(stored: &Stored, owners: &Owners) -> EnvironmentStatus {
    let mut status = EnvironmentStatus::default();
    if let Some((author, reported)) = &stored.status {
        match EnvironmentStatus::deserialize(&reported.value) {
            Ok(reported) => status = reported,
            Err(error) => tracing::debug!(%error, %author, "a status cannot be read"),
        }
        if let Side::Runner(runner) = &author.side {
            status.runner = Name::parse(runner.as_str()).ok();
        }
    }
    status.conflicts = conflicts(stored, owners);
    status
}

/// What people have to settle.
fn conflicts(stored: &Stored, owners: &Owners) -> Vec<FieldConflict> {
    let document = &stored.document;
    let value_of = |field: &str| document.value(field, owners).cloned().unwrap_or_default();
    let author_of = |dot: &Dot| match &dot.author {
        Author { side: Side::Server, .. } => "control plane".to_owned(),
        Author { side: Side::Runner(id), .. } => id.to_string(),
    };
    let shown = document.conflicts(owners).into_iter().map(|conflict| match conflict {
        Conflict::Field { field, value, rivals } => {
            let rivals = rivals
                .into_iter()
                .map(|write| Rival { author: author_of(&write.dot), value: write.value })
                .collect();
            FieldConflict { field, value: value.value, rivals }
        }
        Conflict::Deletion { fields } => {
            let rivals = fields.into_iter().map(|field| {
                let winner =
                    document.fields().get(&field).and_then(|register| register.winner(&field, owners));
                let author = winner.map(|write| author_of(&write.dot)).unwrap_or_default();
                Rival { value: json!({ "field": field, "value": value_of(&field) }), author }
            });
            FieldConflict { field: PHASE.to_owned(), value: "deleted".into(), rivals: rivals.collect() }
        }
    });
    shown.collect()
}

fn key_of(document: &Document) -> Result<Key, ResourceError> {
    Key::parse(&document.metadata.id)
        .map_err(|error| ResourceError::from(StoreError::Damaged(Box::new(error))))
}

pub(super) fn form<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, StoreError> {
    Ok(T::deserialize(value)?)
}

fn not_shared(name: &Name, error: &EditError) -> ResourceError {
    let field = match error {
        EditError::NotYours(field) | EditError::Field(field) => field.as_str(),
        EditError::Unknown(_) | EditError::Exists(_) | EditError::TooLarge(_) => "",
    };
    ResourceError::invalid_field(Kind::Environment, name, field, &error.to_string())
}

/// Whether a change of an environment is one that others see.
pub(super) fn is_change(became: &Became) -> bool {
    match became {
        Became::There(applied) => applied.difference.kind != DifferenceKind::Same,
        Became::Gone(_) => true,
        Became::Nothing => false,
    }
}
