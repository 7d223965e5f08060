//! Which document is of which environment.

use std::collections::BTreeMap;

use api::control::{FieldConflict, Fields, Rival};
use api::{Environment, EnvironmentId, SharedEnvironment};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sync::{Conflict, Disk, Document, Key, Owners, PHASE, Side, ToRunner, Write};

use super::desk::{LEFT, Talk};
use super::disk::{DiskError, row};
use super::secrets::Kept;
use crate::store::{Row, Space, Store, StoreError};

/// The field with what all policies allow, which the server alone writes.
pub(super) const POLICY: &str = "policy";
/// The row with what they allow an environment of no project.
const LIMITS: &str = "limits";

/// Which environment a document is of, and how far both agree.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Link {
    /// Absent where there is none here: it was never made, or is gone.
    pub(super) environment: Option<EnvironmentId>,
    /// What both last agreed on, by field.
    pub(super) agreed: Fields,
    /// The document was moved to another runner. What is here stays as it is, for the work in it, and is told no more.
    #[serde(default)]
    pub(super) left: bool,
    /// It has left, and was not stopped yet.
    #[serde(default)]
    pub(super) leaving: bool,
    /// The secrets that came with the document.
    #[serde(default)]
    pub(super) secrets: Kept,
}

/// The links of a store, without those that a crash left before their document.
pub(super) fn read_links(store: &Store, disk: &Disk) -> Result<BTreeMap<Key, Link>, DiskError> {
    let mut links = BTreeMap::new();
    for (key, value) in store.sync_rows(Space::Link)? {
        let Ok(of) = Key::parse(&key) else { continue };
        let link: Link = serde_json::from_str(&value).map_err(|source| DiskError::Row {
            space: Space::Link,
            key,
            source,
        })?;
        if link.left || disk.documents.contains_key(&of) {
            links.insert(of, link);
        }
    }
    Ok(links)
}

/// What the server alone says of an environment: a field of its document.
pub(super) fn said_of(store: &Store, id: &EnvironmentId, field: &str) -> Option<Value> {
    let of = |value: &str| {
        serde_json::from_str::<Link>(value).is_ok_and(|link| link.environment.as_ref() == Some(id))
    };
    let known = || -> Result<Option<Value>, StoreError> {
        if store.sync_row(Space::Single, LEFT)?.is_some() {
            return Ok(None);
        }
        for (key, _) in store.sync_rows(Space::Link)?.into_iter().filter(|(_, value)| of(value)) {
            // A crash may have left a link without its document.
            if let Some(held) = store.sync_row(Space::Document, &key)? {
                let held = serde_json::from_str::<sync::Held>(&held).ok();
                return Ok(held.and_then(|held| held.document.value(field, &Owners::default()).cloned()));
            }
        }
        Ok(None)
    };
    known().unwrap_or_else(|error| {
        tracing::warn!(%error, "what the control plane says of an environment cannot be read");
        None
    })
}

/// What the server last said of environments of no project: each that is made here is one until the server says otherwise.
pub(super) fn limits_of_new(store: &Store) -> Option<Value> {
    let known = || -> Result<Option<String>, StoreError> {
        if store.sync_row(Space::Single, LEFT)?.is_some() {
            return Ok(None);
        }
        store.sync_row(Space::Single, LIMITS)
    };
    let known = known().unwrap_or_else(|error| {
        tracing::warn!(%error, "what the control plane allows cannot be read");
        None
    });
    known.map(|limits| serde_json::from_str(&limits).unwrap_or_default())
}

/// Whether a message is the first that the server says of a document that was made here.
pub(super) fn is_first_answer(disk: &Disk, message: &ToRunner) -> bool {
    let (ToRunner::Kept { key, .. } | ToRunner::Delivery { key, .. }) = message else { return false };
    disk.documents.get(key).is_some_and(|held| held.version == 0)
}

impl Talk<'_> {
    /// What the server says of one environment of no project, it says of all of them.
    pub(super) fn learn_limits(&mut self, key: &Key) -> Result<(), DiskError> {
        let Some(mut values) = self.values_of(key).filter(|values| !values.contains_key("project")) else {
            return Ok(());
        };
        values.remove(POLICY).map_or(Ok(()), |limits| self.keep_limits(&limits))
    }

    /// Keeps what holds for environments that the server said nothing of yet.
    pub(super) fn keep_limits(&mut self, limits: &Value) -> Result<(), DiskError> {
        if limits_of_new(self.store()).as_ref() == Some(limits) {
            return Ok(());
        }
        self.write(&[row(Space::Single, LIMITS, limits)])
    }

    pub(super) fn environment_of(&self, key: &Key) -> Result<Option<Environment>, StoreError> {
        match self.links.get(key).and_then(|link| link.environment.as_ref()) {
            Some(id) => self.store().environment(id),
            None => Ok(None),
        }
    }

    pub(super) fn link_of(&self, id: &EnvironmentId) -> Option<Key> {
        let of = self.links.iter().find(|(_, link)| link.environment.as_ref() == Some(id));
        of.map(|(key, _)| key.clone())
    }

    pub(super) fn keep_link(&mut self, key: &Key, link: Link) -> Result<(), DiskError> {
        if self.links.get(key) != Some(&link) {
            self.write(&[row(Space::Link, key.as_str(), &link)])?;
            let environment = link.environment.clone();
            self.links.insert(key.clone(), link);
            self.publish();
            if let Some(id) = environment {
                // From now on it has tokens.
                self.desk.around.reconciler.parts().grants.look(&id);
            }
        }
        Ok(())
    }

    pub(super) fn unlink(&mut self, key: &Key) -> Result<(), DiskError> {
        self.links.remove(key);
        self.write(&[Row { space: Space::Link, key: key.to_string(), value: None }])
    }

    pub(super) fn name_of(&self, key: &Key) -> String {
        let values = self.values_of(key).unwrap_or_default();
        let name = values.get("name").and_then(Value::as_str);
        name.map_or_else(|| key.to_string(), str::to_owned)
    }

    pub(super) fn kept_of(&self, key: &Key) -> Kept {
        self.links.get(key).map(|link| link.secrets.clone()).unwrap_or_default()
    }

    /// Secrets of an environment are kept, and it hears of them.
    pub(super) fn keep_secrets(&mut self, key: &Key, secrets: Kept) -> Result<(), DiskError> {
        let Some(link) = self.links.get(key).cloned() else { return Ok(()) };
        if let Some(id) = &link.environment {
            self.desk.around.reconciler.wake(id);
        }
        self.keep_link(key, Link { secrets, ..link })
    }

    /// Environments that are shared, as people see them.
    pub(super) fn shared(&self) -> Vec<SharedEnvironment> {
        let of = |(key, link): (&Key, &Link)| {
            let document = self.runner.document(key);
            SharedEnvironment {
                id: key.to_string(),
                name: self.name_of(key),
                environment: link.environment.clone(),
                left: link.left,
                conflicts: document.map(|document| conflicts_of(document, &self.owners)).unwrap_or_default(),
                problem: self.problems.get(key).and_then(|problems| problems.values().next().cloned()),
            }
        };
        self.links.iter().map(of).collect()
    }
}

fn conflicts_of(document: &Document, owners: &Owners) -> Vec<FieldConflict> {
    let said = |write: &Write| {
        let author = match &write.dot.author.side {
            Side::Server => "control plane".to_owned(),
            Side::Runner(runner) => runner.to_string(),
        };
        Rival { value: write.value.clone(), author }
    };
    let edit = |field: &String| {
        let write = document.fields().get(field)?.winner(field, owners)?;
        let value = serde_json::json!({ "field": field, "value": write.value });
        Some(Rival { value, ..said(write) })
    };
    let of = |conflict: Conflict| match conflict {
        Conflict::Field { field, value, rivals } => {
            FieldConflict { field, value: value.value, rivals: rivals.iter().map(said).collect() }
        }
        Conflict::Deletion { fields } => FieldConflict {
            field: PHASE.to_owned(),
            value: "deleted".into(),
            rivals: fields.iter().filter_map(edit).collect(),
        },
    };
    document.conflicts(owners).into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use sync::{Held, Token};

    use super::*;

    #[test]
    fn a_document_that_was_made_here_is_answered_for_the_first_time_once() {
        let key = Key::parse("made-here").unwrap();
        let document = Document::default();
        let held = |version| {
            let held = Held { version, ..Held::default() };
            Disk { documents: [(key.clone(), held)].into(), ..Disk::default() }
        };
        let (lease, version) = (Token(1), 7);
        let kept = ToRunner::Kept { lease, key: key.clone(), document: document.digest(), version };
        let secrets = Vec::new();
        let delivery = ToRunner::Delivery { lease, key: key.clone(), version, document, secrets };
        for message in [kept, delivery] {
            let is_first = |disk: &Disk| is_first_answer(disk, &message);
            assert!(is_first(&held(0)) && !is_first(&held(6)) && !is_first(&Disk::default()));
        }
        assert!(!is_first_answer(&held(0), &ToRunner::StatusKept { lease, key: key.clone(), count: 1 }));
    }
}
