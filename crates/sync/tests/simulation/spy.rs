//! The server's disk, and what was just changed on it.

use sync::{Batch, Key, Ledger, Memory, RunnerId, RunnerRecord, Sealed, Stored};

#[derive(Default)]
pub(crate) struct Spy {
    pub(crate) inner: Memory,
    /// The latest run of a server.
    pub(crate) run: u64,
    /// Every secret there is. Each is offered for every document.
    pub(crate) secrets: Vec<Sealed>,
    pub(crate) changes: Vec<(Key, Option<Stored>, Option<Stored>)>,
}

impl Spy {
    /// The number of the latest run, raised by one for the next.
    pub(crate) fn inner_run(&mut self) -> u64 {
        self.run += 1;
        self.run - 1
    }
}

impl Ledger for Spy {
    fn document(&self, key: &Key) -> Option<Stored> {
        self.inner.document(key)
    }

    fn put_document(&mut self, key: &Key, stored: Stored) {
        let former = self.inner.documents.get(key).cloned();
        self.changes.push((key.clone(), former, Some(stored.clone())));
        self.inner.put_document(key, stored);
    }

    fn drop_document(&mut self, key: &Key) {
        self.changes.push((key.clone(), self.inner.documents.get(key).cloned(), None));
        self.inner.drop_document(key);
    }

    fn documents_of(&self, runner: &RunnerId) -> Vec<Key> {
        self.inner.documents_of(runner)
    }

    fn runner(&self, runner: &RunnerId) -> RunnerRecord {
        self.inner.runner(runner)
    }

    fn put_runner(&mut self, runner: &RunnerId, record: RunnerRecord) {
        self.inner.put_runner(runner, record);
    }

    fn version(&self) -> u64 {
        self.inner.version()
    }

    fn raise_version(&mut self, to: u64) {
        self.inner.raise_version(to);
    }

    fn secrets(&self, _: &Key) -> Vec<Sealed> {
        self.secrets.clone()
    }

    fn append(&mut self, runner: &RunnerId, missing: u64, batch: &Batch) {
        self.inner.append(runner, missing, batch);
        let events = &self.inner.events[runner];
        let of_run: Vec<_> = events.iter().filter(|event| event.0 == batch.author).collect();
        assert!(of_run.is_sorted_by(|a, b| a.1 < b.1), "{runner}: events out of order or twice");
    }
}
