//! Environments and their documents: what one asks of the other.

use std::collections::BTreeMap;

use api::control::{EnvironmentSource, EnvironmentSpec, EnvironmentStatus, Fields};
use api::{
    CloneRequest, DesiredPhase, Environment, EnvironmentId, Name, Phase, Problem, ProblemCode, RepositoryUrl,
    Session, Unasked, UpRequest,
};
use camino::Utf8Component;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sync::{Deletion, Key, PHASE, PLACED};

use super::desk::{Command, Talk, problem_of};
use super::disk::DiskError;
use super::links::Link;
use super::mirror::{self, Change};
use crate::properties::hex;
use crate::store::{Store, StoreError};

impl Talk<'_> {
    pub(super) fn store(&self) -> &Store {
        &self.desk.around.store
    }

    /// What counts in a document, by field.
    pub(super) fn values_of(&self, key: &Key) -> Option<Fields> {
        let document = self.runner.document(key)?;
        let values = document.values(&self.owners).filter(|(_, value)| !value.is_null());
        Some(values.map(|(field, value)| (field.to_owned(), value.clone())).collect())
    }

    /// Looks at every environment and every document.
    pub(super) fn look_at_all(&mut self) -> Result<(), DiskError> {
        let leaving: Vec<_> =
            self.links.iter().filter(|(_, link)| link.leaving).map(|(key, _)| key.clone()).collect();
        for key in leaving {
            // A crash came before it was stopped.
            self.give_up(&key)?;
        }
        for environment in self.store().environments()? {
            self.look_at(&environment.id)?;
        }
        let keys: Vec<_> = self.runner.disk().documents.keys().cloned().collect();
        for key in keys {
            // One whose environment went while nobody looked.
            let gone = self.links.get(&key).and_then(|link| link.environment.clone());
            match gone {
                Some(id) if self.store().environment(&id)?.is_none() => self.is_gone(&id)?,
                _ => self.look(&key)?,
            }
        }
        Ok(())
    }

    /// An environment of this computer may be another than its document says, or have none.
    pub(super) fn look_at(&mut self, id: &EnvironmentId) -> Result<(), DiskError> {
        let key = match self.link_of(id) {
            Some(key) => key,
            None => match self.announce(id)? {
                Some(key) => key,
                None => return Ok(()),
            },
        };
        self.look(&key)
    }

    /// Makes a document of an environment that has none. One of a folder that the control plane knows already gets that.
    fn announce(&mut self, id: &EnvironmentId) -> Result<Option<Key>, DiskError> {
        let Some(environment) = self.store().environment(id)? else { return Ok(None) };
        let wanted = environment.spec.desired_phase != DesiredPhase::Deleted;
        // Before the server was heard once it is not known which of them it has declared itself.
        if environment.spec.prebuild.is_some() || !wanted || self.runner.disk().lease.is_none() {
            return Ok(None);
        }
        let here = mirror::fields_of(&environment, &self.membership.runner);
        if let Some(key) = self.unmade(&here)? {
            let agreed = mirror::agreed(&here, &Fields::new(), &self.values_of(&key).unwrap_or_default());
            self.keep_link(&key, Link { environment: Some(id.clone()), agreed, ..Link::default() })?;
            return Ok(Some(key));
        }
        let key = Key::parse(&uuid::Uuid::new_v4().to_string()).expect("letters, digits and dashes");
        // The link first: a document whose link a crash lost would be told a second time.
        self.keep_link(&key, Link { environment: Some(id.clone()), agreed: here, ..Link::default() })?;
        let fields = mirror::fields_of_new(&environment, &self.membership.runner);
        match self.runner.create(&key, fields, self.now()) {
            Ok(output) => self.carry_out(output)?,
            Err(error) => {
                tracing::warn!(%error, environment = %environment.metadata.name, "an environment is not shared");
                self.unlink(&key)?;
                return Ok(None);
            }
        }
        Ok(Some(key))
    }

    /// A document that is placed here and has no environment, of the same sources.
    fn unmade(&self, here: &Fields) -> Result<Option<Key>, StoreError> {
        for key in self.runner.disk().documents.keys() {
            let Some(values) = self.values_of(key) else { continue };
            let is_same = ["source", "config"].iter().all(|field| values.get(*field) == here.get(*field));
            let is_wanted = values.get(PHASE).is_some_and(|phase| phase != "deleted");
            if is_same && is_wanted && self.is_here(&values) && self.environment_of(key)?.is_none() {
                return Ok(Some(key.clone()));
            }
        }
        Ok(None)
    }

    fn is_here(&self, values: &Fields) -> bool {
        values.get(PLACED).and_then(Value::as_str) == Some(self.membership.runner.as_str())
    }

    /// Compares a document and its environment, and does what either asks of the other.
    pub(super) fn look(&mut self, key: &Key) -> Result<(), DiskError> {
        let Some(values) = self.values_of(key) else { return Ok(()) };
        if !self.is_here(&values) {
            return Ok(());
        }
        let Some(environment) = self.environment_of(key)? else {
            // One that there was is gone, and that is told first.
            return match self.links.get(key).and_then(|link| link.environment.clone()) {
                Some(id) => self.is_gone(&id),
                None => self.look_at_unmade(key, &values),
            };
        };
        let before = self.links.get(key).map(|link| link.agreed.clone()).unwrap_or_default();
        let here = mirror::fields_of(&environment, &self.membership.runner);
        let turn = mirror::compare(&here, &before, &values);
        for (field, value) in turn.edits {
            match self.runner.edit(key, &field, value, self.now()) {
                // On the disk before both are said to agree: or a crash would lose the edit.
                Ok(output) => self.carry_out(output)?,
                Err(error) => self.complain(key, "edit", Some(problem_of(&error)))?,
            }
        }
        let here = if turn.wishes.is_empty() || environment.spec.desired_phase == DesiredPhase::Deleted {
            here
        } else {
            self.apply(key, &environment, &turn.wishes)?;
            let now = self.store().environment(&environment.id)?.unwrap_or(environment.clone());
            mirror::fields_of(&now, &self.membership.runner)
        };
        let values = self.values_of(key).unwrap_or_default();
        let link = self.links.get(key).cloned().unwrap_or_default();
        let agreed = mirror::agreed(&here, &before, &values);
        self.keep_link(key, Link { agreed, left: false, ..link })?;
        self.take_secrets(key, &environment);
        self.tell_executions(key, &environment)?;
        self.tell_status(key)
    }

    /// Carries out what the document says of an environment.
    fn apply(
        &mut self,
        key: &Key,
        environment: &Environment,
        wishes: &BTreeMap<String, Option<Value>>,
    ) -> Result<(), DiskError> {
        let change = Change::of(wishes, &environment.spec.ports);
        let reconciler = &self.desk.around.reconciler;
        let refused = change.refused.first().map(|field| {
            let title = format!("`{field}` of an environment that is there cannot be changed");
            Problem::new(ProblemCode::Conflict, title)
                .with_hint("declare another environment with it, and delete this one")
        });
        self.complain(key, "fixed", refused)?;
        let Change { desired_phase, rebuild, idle, ports, automations, .. } = change;
        if desired_phase.is_some() || rebuild.is_some() || idle.is_some() || ports.is_some() {
            let stopped = environment.status.phase == Phase::Stopped;
            let changed = self.store().change_spec(&environment.id, None, |spec| {
                spec.desired_phase = desired_phase.unwrap_or(spec.desired_phase);
                spec.idle_since = spec.idle_since.filter(|_| desired_phase.is_none());
                spec.idle = idle.unwrap_or(spec.idle);
                spec.ports = ports.unwrap_or_else(|| spec.ports.clone());
                if desired_phase == Some(DesiredPhase::Stopped) && !stopped {
                    spec.retry = Session::fresh();
                }
                if desired_phase.is_some() || rebuild.is_some() {
                    // Nobody sits here who could be asked.
                    spec.unasked = Unasked::LeaveOut;
                }
                spec.rebuild = rebuild.unwrap_or_else(|| spec.rebuild.clone());
            });
            match changed {
                Ok(_) => reconciler.ask(&environment.id),
                // It is on its way out, and its document hears of that.
                Err(StoreError::BeingDeleted { .. } | StoreError::NotFound { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        let container = environment.status.container.as_ref().filter(|container| container.running);
        // Where it does not run, they wait: each look finds them again.
        if let Some(run) = container.and_then(|container| container.started_at.clone())
            && !automations.is_empty()
        {
            let mut wishes = automations;
            wishes.retain(|item, _| environment.status.automations.item(item).is_some());
            for wish in wishes.values_mut() {
                wish.container_run = Some(run.clone());
            }
            if !wishes.is_empty() {
                self.store().change_automations(&environment.id, wishes)?;
                reconciler.wake(&environment.id);
            }
        }
        Ok(())
    }

    /// Makes the environment of a document, where it shall run and its files can be had.
    fn look_at_unmade(&mut self, key: &Key, values: &Fields) -> Result<(), DiskError> {
        let (name, spec) = match EnvironmentSpec::of_fields(values) {
            Ok(declared) => declared,
            Err(error) => {
                let problem = Problem::new(ProblemCode::VersionSkew, "what is declared cannot be read here")
                    .caused_by(&error);
                return self.complain(key, "declared", Some(problem));
            }
        };
        if spec.desired_phase == DesiredPhase::Running {
            match self.make(key, &name, &spec) {
                Ok(id) => {
                    self.complain(key, "declared", None)?;
                    let made = self.store().environment(&id)?;
                    let here = made.map(|made| mirror::fields_of(&made, &self.membership.runner));
                    let agreed = mirror::agreed(&here.unwrap_or_default(), &Fields::new(), values);
                    self.keep_link(key, Link { environment: Some(id.clone()), agreed, ..Link::default() })?;
                    self.desk.around.reconciler.ask(&id);
                    return self.look(key);
                }
                Err(problem) => return self.complain(key, "declared", Some(problem)),
            }
        }
        self.tell_status(key)
    }

    fn make(&self, key: &Key, name: &Name, spec: &EnvironmentSpec) -> Result<EnvironmentId, Problem> {
        let repository = match &spec.source {
            EnvironmentSource::Repository(repository) => repository,
            EnvironmentSource::Folder { path } => {
                // A server must not choose which folder of a person's computer is shared with a container.
                let title = format!("a folder is brought up by whoever sits at the computer: {path}");
                return Err(Problem::new(ProblemCode::Conflict, title)
                    .with_command("there, run", format!("cove up {path}")));
            }
        };
        let invalid = |error: String| Problem::new(ProblemCode::InvalidRequest, error);
        let url = RepositoryUrl::parse(&repository.url).and_then(|url| match &repository.branch {
            Some(branch) => url.with_branch(branch),
            None => Ok(url),
        });
        let url = url.map_err(|error| invalid(error.to_string()))?;
        if repository.url.starts_with("file:") {
            let title = format!(
                "a repository of this computer is brought up by whoever sits at it: {}",
                repository.url
            );
            return Err(Problem::new(ProblemCode::Conflict, title)
                .with_command("there, run", format!("cove up {}", repository.url)));
        }
        let is_below =
            |part: Utf8Component<'_>| matches!(part, Utf8Component::Normal(_) | Utf8Component::CurDir);
        let config = spec.config.as_deref();
        if config.is_some_and(|config| config.as_str().is_empty() || !config.components().all(is_below)) {
            return Err(invalid("`config` is a path within the repository".to_owned()));
        }
        let mut place = hex(&Sha256::digest(format!("declared\n{key}")));
        place.truncate(16);
        // Of one repository a team has many environments: each has a clone of its own.
        let folder = self.desk.around.clones.join(place).join("config").join(url.name());
        let request = UpRequest {
            folder,
            repository: Some(CloneRequest {
                url: repository.url.clone(),
                branch: repository.branch.clone(),
                grant: false,
            }),
            config: spec.config.clone(),
            suggested_name: Some(name.clone()),
            unasked: Unasked::LeaveOut,
            idle: Some(spec.idle),
            ..UpRequest::default()
        };
        let (environment, _) = self.store().up(&request, Session::fresh(), Timestamp::now())?;
        Ok(environment.id)
    }

    /// An environment is gone from this computer.
    pub(super) fn is_gone(&mut self, id: &EnvironmentId) -> Result<(), DiskError> {
        let Some(key) = self.link_of(id) else { return Ok(()) };
        let Some(link) = self.links.get(&key).cloned() else { return Ok(()) };
        if link.left {
            return self.unlink(&key);
        }
        self.removing.remove(&key);
        // Whoever removed it here meant it: so does the document, unless that says so already. What the control plane said
        // against it meanwhile, people decide about.
        let said = self.values_of(&key).and_then(|values| values.get(PHASE).cloned());
        if said.is_some_and(|phase| phase != "deleted") {
            match self.runner.edit(&key, PHASE, "deleted".into(), self.now()) {
                Ok(output) => self.carry_out(output)?,
                Err(error) => tracing::debug!(%error, "a document is not deleted"),
            }
        }
        // After that: a crash in between finds it gone once more.
        let Some(link) = self.links.get(&key).cloned() else { return Ok(()) };
        self.keep_link(&key, Link { environment: None, ..link })?;
        let output = self.runner.removed(&key, self.now());
        self.carry_out(output)
    }

    /// A deletion takes effect.
    pub(super) fn remove(&mut self, key: &Key) -> Result<(), DiskError> {
        let Some(environment) = self.environment_of(key)? else {
            let output = self.runner.removed(key, self.now());
            return self.carry_out(output);
        };
        if environment.spec.desired_phase == DesiredPhase::Deleted || !self.removing.insert(key.clone()) {
            return Ok(());
        }
        let (reconciler, key) = (self.desk.around.reconciler.clone(), key.clone());
        self.ask_desk(async move {
            let verdict = reconciler.unsaved(&environment).await;
            Command::MayGo { key, verdict }
        });
        Ok(())
    }

    /// It was looked whether a deleted environment holds work that is nowhere else: then it stays until somebody here says
    /// otherwise.
    pub(super) fn may_go(&mut self, key: &Key, verdict: Result<(), Problem>) -> Result<(), DiskError> {
        self.removing.remove(key);
        let Some(environment) = self.environment_of(key)? else { return Ok(()) };
        // It took a while to look, and somebody may have objected meanwhile.
        let document = self.runner.document(key);
        let is_deleted = document
            .is_some_and(|document| matches!(document.deletion(&self.owners), Deletion::Effective(_)));
        if !is_deleted || self.links.get(key).is_some_and(|link| link.left) {
            return self.complain(key, "deletion", None);
        }
        match verdict {
            Ok(()) => {
                let deleted = |spec: &mut api::EnvironmentSpec| spec.desired_phase = DesiredPhase::Deleted;
                match self.store().change_spec(&environment.id, None, deleted) {
                    Ok(_) => self.desk.around.reconciler.ask(&environment.id),
                    Err(StoreError::BeingDeleted { .. } | StoreError::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(problem) => {
                tracing::info!(%problem, environment = %environment.metadata.name, "it is deleted on the control plane, and stays here");
                self.complain(key, "deletion", Some(problem))?;
            }
        }
        Ok(())
    }

    /// Another runner has taken it over. What is here stops, and stays for the work in it. That it has left is on the disk
    /// already, with the end of its document.
    pub(super) fn give_up(&mut self, key: &Key) -> Result<(), DiskError> {
        let Some(environment) = self.environment_of(key)? else { return self.unlink(key) };
        tracing::info!(environment = %environment.metadata.name, "moved to another runner; what is here is stopped and stays");
        let stopped = |spec: &mut api::EnvironmentSpec| spec.desired_phase = DesiredPhase::Stopped;
        match self.store().change_spec(&environment.id, None, stopped) {
            Ok(_) => self.desk.around.reconciler.ask(&environment.id),
            Err(StoreError::BeingDeleted { .. } | StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(link) = self.links.get(key).cloned() else { return Ok(()) };
        self.keep_link(key, Link { leaving: false, ..link })
    }

    /// The server has forgotten a deleted document.
    pub(super) fn forget(&mut self, key: &Key) -> Result<(), DiskError> {
        self.problems.remove(key);
        self.unlink(key)
    }

    /// A person edits a field here: also how a conflict is settled.
    pub(super) fn settle(
        &mut self,
        id: &EnvironmentId,
        field: &str,
        value: Value,
    ) -> Result<Result<(), Problem>, DiskError> {
        let Some(key) = self.link_of(id) else {
            let title = "this environment is not shared with a control plane";
            return Ok(Err(Problem::new(ProblemCode::EnvironmentNotFound, title)));
        };
        match self.runner.edit(&key, field, value, self.now()) {
            Ok(output) => {
                self.carry_out(output)?;
                // What counts now may be another than what is here.
                self.look(&key)?;
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(problem_of(&error))),
        }
    }

    /// Notes what keeps an environment from what its document says, or that nothing does any more.
    pub(super) fn complain(
        &mut self,
        key: &Key,
        about: &'static str,
        problem: Option<Problem>,
    ) -> Result<(), DiskError> {
        let known = self.problems.entry(key.clone()).or_default();
        match problem {
            Some(problem) => known.insert(about, problem),
            None => known.remove(about),
        };
        self.tell_status(key)
    }

    /// Tells how an environment stands, if that differs from what was told.
    fn tell_status(&mut self, key: &Key) -> Result<(), DiskError> {
        let environment = self.environment_of(key)?;
        let known = self.problems.get(key).and_then(|problems| problems.values().next().cloned());
        let (phase, own) = match environment {
            Some(environment) => (environment.status.phase, environment.status.problem),
            None => (Phase::Stopped, None),
        };
        let status = EnvironmentStatus {
            phase,
            runner: Some(self.membership.runner.clone()),
            // Logs stay here.
            problem: known.or(own).map(|problem| Problem { log_tail: Vec::new(), ..problem }),
            ..EnvironmentStatus::default()
        };
        let value = serde_json::to_value(&status).expect("statuses are plain data that JSON can hold");
        match self.runner.status(key, value, self.now()) {
            Ok(output) => self.carry_out(output),
            Err(error) => {
                tracing::debug!(%error, "a status is not told");
                Ok(())
            }
        }
    }

    /// The hash of the daemon's own audit log becomes part of the server's.
    pub(super) fn anchor(&mut self, record: &api::AuditRecord) -> Result<(), DiskError> {
        // Each line has the hash of the one before it.
        let Some(sequence) = record.sequence.checked_sub(1).filter(|sequence| *sequence > 0) else {
            return Ok(());
        };
        let anchor = serde_json::json!({ "type": "audit", "sequence": sequence, "hash": record.previous });
        match self.runner.event(anchor, self.now()) {
            Ok(output) => self.carry_out(output),
            Err(error) => {
                tracing::debug!(%error, "an event is not told");
                Ok(())
            }
        }
    }
}
