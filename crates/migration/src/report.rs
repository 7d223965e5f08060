//! What came of a plan.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::inventory::Inventory;
use crate::plan::{Item, Kind, Reason};

/// What became of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was copied, and the copy is the same.
    Verified,
    /// It was here before, and is the same.
    Already,
    /// It was left out.
    LeftOut {
        /// Why.
        reason: Reason,
        /// What to do about it.
        advice: String,
    },
    /// It could not be copied, or the copy differs.
    Failed {
        /// What went wrong.
        error: String,
    },
    /// Nothing was tried: what it needs failed, or an engine was lost before.
    NotTried,
}

/// One thing and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Done {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Names of an image that mean another one here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taken_tags: Vec<String>,
    /// What a person should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What was counted in a volume, on both sides alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<Inventory>,
}

/// What came of all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Everything that was asked for.
    pub items: Vec<Done>,
    /// Whether all of it is here, the same as at the source.
    pub complete: bool,
}

impl Done {
    pub(crate) fn new(item: &Item, outcome: Outcome) -> Self {
        Self {
            kind: item.kind,
            name: item.name.clone(),
            outcome,
            taken_tags: item.taken_tags.clone(),
            notes: item.notes.clone(),
            content: None,
        }
    }

    /// Whether it is here, the same as at the source.
    pub fn is_here(&self) -> bool {
        matches!(self.outcome, Outcome::Verified | Outcome::Already)
    }

    fn is_complete(&self) -> bool {
        self.is_here() && self.taken_tags.is_empty()
    }
}

impl Report {
    pub(crate) fn new(items: Vec<Done>) -> Self {
        let complete = items.iter().all(Done::is_complete);
        Self { items, complete }
    }

    /// How many of each kind are here and verified, and how many there are.
    pub fn counts(&self) -> BTreeMap<Kind, (usize, usize)> {
        let mut counts = BTreeMap::new();
        for done in &self.items {
            let (here, all) = counts.entry(done.kind).or_insert((0, 0));
            *here += usize::from(done.is_here());
            *all += 1;
        }
        counts
    }
}
