//! What people have to settle.

use serde::{Deserialize, Serialize};

use crate::document::DELETED;
use crate::{Document, HOLDER, Owner, Owners, PHASE, REMOVED, Register, Write};

/// Edits that did not know of each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Conflict {
    /// A field has several values. An edit of it settles that.
    Field {
        /// The field.
        field: String,
        /// The write that counts.
        value: Write,
        /// The others.
        rivals: Vec<Write>,
    },
    /// It was deleted by somebody who did not know of these edits. Nothing is deleted; deleting it again, or wishing another
    /// phase, settles that.
    Deletion {
        /// The fields that were edited.
        fields: Vec<String>,
    },
}

/// How a deletion stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Deletion<'a> {
    /// Nobody wishes it.
    None,
    /// Somebody wishes it, and somebody else another phase, or edits of these fields that the former did not know of.
    Opposed(Vec<&'a str>),
    /// It is wished by all, knowing all.
    Effective(&'a Write),
}

/// Whether people see a field's conflicts.
fn is_of_programs(field: &str) -> bool {
    matches!(field, HOLDER | REMOVED)
}

impl Document {
    /// How its deletion stands.
    pub fn deletion(&self, owners: &Owners) -> Deletion<'_> {
        let phases = self.fields().get(PHASE).map_or(&[][..], Register::writes);
        let deletions: Vec<_> = phases.iter().filter(|write| write.value == DELETED).collect();
        let Some(winner) = self.fields().get(PHASE).and_then(|register| register.winner(PHASE, owners))
        else {
            return Deletion::None;
        };
        if deletions.is_empty() {
            return Deletion::None;
        }
        let known = |write: &Write| {
            deletions.iter().any(|deletion| {
                deletion.dot == write.dot
                    || deletion.over.as_ref().is_some_and(|over| over.covers(&write.dot))
            })
        };
        let unknown: Vec<_> = self
            .fields()
            .iter()
            .filter(|(field, register)| !is_of_programs(field) && !register.writes().iter().all(known))
            // What the server works out from other things is nobody's work that a deletion would take away.
            .filter(|(field, _)| owners.of(field) != Owner::ServerAlone)
            .map(|(field, _)| field.as_str())
            .collect();
        let undisputed = deletions.len() == phases.len();
        if undisputed && unknown.is_empty() {
            Deletion::Effective(winner)
        } else {
            Deletion::Opposed(unknown)
        }
    }

    /// Whether its deletion has been carried out.
    pub fn is_removed(&self, owners: &Owners) -> bool {
        match self.deletion(owners) {
            Deletion::Effective(write) => {
                self.value(REMOVED, owners).and_then(|dot| dot.as_str()) == Some(&write.dot.to_string())
            }
            Deletion::None | Deletion::Opposed(_) => false,
        }
    }

    /// What people have to settle.
    pub fn conflicts(&self, owners: &Owners) -> Vec<Conflict> {
        let mut conflicts = Vec::new();
        for (field, register) in self.fields() {
            let rivals: Vec<_> = register.rivals(field, owners).into_iter().cloned().collect();
            let winner = register.winner(field, owners);
            if let Some(value) = winner.filter(|_| !rivals.is_empty() && !is_of_programs(field)) {
                conflicts.push(Conflict::Field { field: field.clone(), value: value.clone(), rivals });
            }
        }
        if let Deletion::Opposed(fields) = self.deletion(owners)
            && fields.iter().any(|field| *field != PHASE)
        {
            let fields = fields.into_iter().filter(|field| *field != PHASE).map(str::to_owned).collect();
            conflicts.push(Conflict::Deletion { fields });
        }
        conflicts
    }
}
