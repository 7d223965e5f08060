//! What people and programs have open right now: sessions, connections, holds. Each is counted by a value that lives as
//! long as it does, so nothing has to be taken back by hand.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{EnvironmentId, InUse, UseKind};
use jiff::Timestamp;
use tokio::time::Instant;

/// How long it is remembered when something ended. What was not looked at for so long is looked at anew anyway.
const REMEMBERED: Duration = Duration::from_hours(24);

/// What is used.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Used {
    /// An environment.
    Environment(EnvironmentId),
    /// A container, by Docker's id.
    Container(String),
    /// The machine itself.
    Machine,
}

/// All uses. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Uses {
    table: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, Arc<Open>>,
    ended: HashMap<Used, Instant>,
}

struct Open {
    of: Used,
    kind: UseKind,
    detail: String,
    since: Timestamp,
    begun: Instant,
    /// When something moved last, in milliseconds since it began.
    moved: AtomicU64,
}

/// Counts as a use while it lives.
pub(crate) struct Use {
    id: u64,
    open: Arc<Open>,
    uses: Uses,
}

impl Use {
    /// Something went through it.
    pub(crate) fn moved(&self) {
        let since = u64::try_from(self.open.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.open.moved.store(since, Ordering::Relaxed);
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut table = self.uses.lock();
        table.open.remove(&self.id);
        table.ended.retain(|_, ended| now.duration_since(*ended) < REMEMBERED);
        table.ended.insert(self.open.of.clone(), now);
    }
}

/// One that is open.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OpenUse {
    pub(super) what: InUse,
    /// When something moved last.
    pub(super) moved: Instant,
}

impl Uses {
    /// Begins one.
    pub(crate) fn begin(&self, of: Used, kind: UseKind, detail: impl Into<String>) -> Use {
        let open = Arc::new(Open {
            of,
            kind,
            detail: detail.into(),
            since: Timestamp::now(),
            begun: Instant::now(),
            moved: AtomicU64::new(0),
        });
        let mut table = self.lock();
        table.next += 1;
        let id = table.next;
        table.open.insert(id, Arc::clone(&open));
        Use { id, open, uses: self.clone() }
    }

    /// Those that are open, the oldest first, and when the last one ended.
    pub(super) fn of(&self, is_it: impl Fn(&Used) -> bool) -> (Vec<OpenUse>, Option<Instant>) {
        let table = self.lock();
        let open = table.open.values().filter(|open| is_it(&open.of)).map(|open| OpenUse {
            what: InUse { kind: open.kind, detail: open.detail.clone(), since: Some(open.since) },
            moved: open.begun + Duration::from_millis(open.moved.load(Ordering::Relaxed)),
        });
        let ended = table.ended.iter().filter(|(of, _)| is_it(of)).map(|(_, ended)| *ended).max();
        (open.collect(), ended)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Entries are put in and taken out whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_counts_while_it_lives_and_its_end_is_remembered() {
        let uses = Uses::default();
        let of = |name: &str| Used::Container(name.to_owned());
        let is = |name: &'static str| move |used: &Used| *used == Used::Container(name.to_owned());
        let one = uses.begin(of("a"), UseKind::Connection, "");
        let _other = uses.begin(of("b"), UseKind::Connection, "");
        let begun = uses.of(is("a")).0[0].moved;
        std::thread::sleep(Duration::from_millis(20));
        one.moved();
        let (open, ended) = uses.of(is("a"));
        assert_eq!((open.len(), ended), (1, None));
        assert!(open[0].moved >= begun + Duration::from_millis(20));
        let before = Instant::now();
        drop(one);
        let (open, ended) = uses.of(is("a"));
        assert!(open.is_empty() && ended.is_some_and(|ended| ended >= before));
        assert_eq!(uses.of(is("b")).0.len(), 1);
    }
}
