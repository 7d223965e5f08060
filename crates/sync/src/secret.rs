//! Secrets, which the core carries and cannot open.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::digest::Digester;
use crate::{Digest, Document, Key, Owners, PLACED, RunnerId};

/// What a secret is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Scope {
    /// One document's thing.
    Document {
        /// Which.
        key: Key,
    },
    /// Everything of a project: documents whose `project` has this value.
    Project {
        /// Which.
        project: String,
    },
}

/// A secret, sealed to the keys of its recipients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub scope: Scope,
    /// Who can open it.
    pub recipients: BTreeSet<RunnerId>,
    /// The sealed bytes, as text.
    pub sealed: String,
}

impl Sealed {
    /// Whether it may be sent to a runner with a document: the document is placed there, the runner can open it, and it is
    /// for that document.
    pub fn may_go(&self, to: &RunnerId, key: &Key, document: &Document, owners: &Owners) -> bool {
        let in_scope = match &self.scope {
            Scope::Document { key: of } => of == key,
            Scope::Project { project } => {
                document.value("project", owners).and_then(|value| value.as_str()) == Some(project)
            }
        };
        in_scope && self.recipients.contains(to) && document.runner(PLACED, owners).as_ref() == Some(to)
    }

    /// The digest of some of them.
    pub(crate) fn digest(secrets: &[Self]) -> Digest {
        let mut digester = Digester::new();
        for secret in secrets {
            digester.text(&secret.name);
            digester.text(&secret.sealed);
            match &secret.scope {
                Scope::Document { key } => digester.text(key.as_str()),
                Scope::Project { project } => digester.text(project),
            }
            digester.number(secret.recipients.len() as u64);
            secret.recipients.iter().for_each(|recipient| digester.text(recipient.as_str()));
        }
        digester.finish()
    }
}
