//! What a server keeps, and what it asks of whatever keeps it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::CURSORS;
use crate::{Author, Batch, Digest, Document, Key, Owners, PLACED, RunnerId, Sealed, Status, Token};

/// A document, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// It.
    pub document: Document,
    /// Its digest.
    pub digest: Digest,
    /// Rises with each change of the document or its secrets.
    pub version: u64,
    /// Runners that have a copy.
    pub holders: BTreeSet<RunnerId>,
    /// The last status, and which run said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<(Author, Status)>,
}

impl Stored {
    /// Whom a change of it concerns: whoever has it, and the runner it is placed on.
    pub fn concerned(&self, owners: &Owners) -> BTreeSet<RunnerId> {
        self.holders.iter().cloned().chain(self.document.runner(PLACED, owners)).collect()
    }
}

/// A lease that was given, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// It.
    pub lease: Token,
    /// The run.
    pub author: Author,
    /// The attempt that it answered.
    pub attempt: u64,
}

/// What is kept of a runner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerRecord {
    /// Who is the runner.
    pub current: Option<Offer>,
    /// Who may become it, with the first message that bears the lease. The latest is the last.
    pub offers: Vec<Offer>,
    /// Who was it before another run was. The latest is the last.
    pub former: Vec<Offer>,
    /// How far the events of its runs have been heard.
    pub cursors: BTreeMap<Author, u64>,
}

impl RunnerRecord {
    /// Sets how far the events of a run have been heard, and forgets the oldest runs where there are too many.
    pub(crate) fn heard(&mut self, author: &Author, through: u64) {
        self.cursors.insert(author.clone(), through);
        while self.cursors.len() > CURSORS {
            self.cursors.pop_first();
        }
    }
}

/// Where a server keeps things. Each call of [`crate::Server`] is one transaction of it, and nothing that comes of a call is
/// sent before that is committed. Calls that write the same document, or the same runner's record, must happen one after the
/// other (in SQL: `select … for update`); others need not.
pub trait Ledger {
    /// A document.
    fn document(&self, key: &Key) -> Option<Stored>;
    /// Keeps a document, and by whom it [concerns](Stored::concerned).
    fn put_document(&mut self, key: &Key, stored: Stored);
    /// Forgets a document.
    fn drop_document(&mut self, key: &Key);
    /// The documents that concern a runner; from an index, for it is asked at each Hello.
    fn documents_of(&self, runner: &RunnerId) -> Vec<Key>;
    /// What is kept of a runner.
    fn runner(&self, runner: &RunnerId) -> RunnerRecord;
    /// Keeps that.
    fn put_runner(&mut self, runner: &RunnerId, record: RunnerRecord);
    /// The highest version given so far.
    fn version(&self) -> u64;
    /// Makes that at least this one.
    fn raise_version(&mut self, to: u64);
    /// The secrets that may be meant for a document. What is sent of them is decided by [`Sealed::may_go`].
    fn secrets(&self, key: &Key) -> Vec<Sealed>;
    /// Writes events down, and that so many before them are lost.
    fn append(&mut self, runner: &RunnerId, missing: u64, batch: &Batch);
}

/// A ledger in memory, for tests and for a server of one process without a database.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Whose documents concern whom.
    pub owners: Owners,
    /// The documents.
    pub documents: BTreeMap<Key, Stored>,
    /// Those of each runner.
    index: BTreeMap<RunnerId, BTreeSet<Key>>,
    /// The runners.
    pub runners: BTreeMap<RunnerId, RunnerRecord>,
    /// The highest version.
    pub version: u64,
    /// Secrets by document.
    pub secrets: BTreeMap<Key, Vec<Sealed>>,
    /// Events by runner, with the run and the number of each.
    pub events: BTreeMap<RunnerId, Vec<(Author, u64, Value)>>,
    /// How many events of each runner are known to be lost.
    pub missing: BTreeMap<RunnerId, u64>,
}

impl Memory {
    fn reindex(&mut self, key: &Key, former: Option<Stored>, latter: Option<&Stored>) {
        let owners = &self.owners;
        let former = former.map(|stored| stored.concerned(owners)).unwrap_or_default();
        let latter = latter.map(|stored| stored.concerned(owners)).unwrap_or_default();
        for runner in former.difference(&latter) {
            if let Some(keys) = self.index.get_mut(runner) {
                keys.remove(key);
            }
        }
        for runner in latter {
            self.index.entry(runner).or_default().insert(key.clone());
        }
    }
}

impl Ledger for Memory {
    fn document(&self, key: &Key) -> Option<Stored> {
        self.documents.get(key).cloned()
    }

    fn put_document(&mut self, key: &Key, stored: Stored) {
        let former = self.documents.insert(key.clone(), stored.clone());
        self.reindex(key, former, Some(&stored));
    }

    fn drop_document(&mut self, key: &Key) {
        let former = self.documents.remove(key);
        self.reindex(key, former, None);
    }

    fn documents_of(&self, runner: &RunnerId) -> Vec<Key> {
        self.index.get(runner).into_iter().flatten().cloned().collect()
    }

    fn runner(&self, runner: &RunnerId) -> RunnerRecord {
        self.runners.get(runner).cloned().unwrap_or_default()
    }

    fn put_runner(&mut self, runner: &RunnerId, record: RunnerRecord) {
        self.runners.insert(runner.clone(), record);
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn raise_version(&mut self, to: u64) {
        self.version = to.max(self.version);
    }

    fn secrets(&self, key: &Key) -> Vec<Sealed> {
        self.secrets.get(key).cloned().unwrap_or_default()
    }

    fn append(&mut self, runner: &RunnerId, missing: u64, batch: &Batch) {
        *self.missing.entry(runner.clone()).or_default() += missing;
        let numbered = batch.values.iter().zip(batch.first..);
        let events = numbered.map(|(value, number)| (batch.author.clone(), number, value.clone()));
        self.events.entry(runner.clone()).or_default().extend(events);
    }
}
