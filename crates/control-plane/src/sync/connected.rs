//! Runners that are connected to this process, and what they are to hear of.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::Name;
use sync::Key;
use tokio::sync::Notify;

/// The connections of this process, by organization and runner.
#[derive(Debug, Default)]
pub(crate) struct Connected {
    runners: Mutex<HashMap<Place, Vec<Arc<Inbox>>>>,
}

/// An organization, and a runner of it.
type Place = (Name, String);

/// What a connection is to look at.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    due: Mutex<Due>,
    rings: Notify,
}

/// As much as there are documents of one runner, at most.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Documents that changed.
    pub(crate) keys: BTreeSet<Key>,
    /// Whether its certificate may count no more.
    pub(crate) certificate: bool,
}

impl Inbox {
    fn put(&self, work: impl FnOnce(&mut Due)) {
        work(&mut lock(&self.due));
        self.rings.notify_one();
    }

    /// Waits until there is something.
    pub(crate) async fn rings(&self) {
        self.rings.notified().await;
    }

    /// Takes out all of it.
    pub(crate) fn take(&self) -> Due {
        std::mem::take(&mut lock(&self.due))
    }
}

impl Connected {
    /// A runner is connected. It is until [`Connected::leave`].
    pub(crate) fn enter(&self, organization: &Name, runner: &Name) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::default());
        let key = (organization.clone(), runner.to_string());
        lock(&self.runners).entry(key).or_default().push(Arc::clone(&inbox));
        inbox
    }

    /// A connection is over.
    pub(crate) fn leave(&self, organization: &Name, runner: &Name, inbox: &Arc<Inbox>) {
        let key = (organization.clone(), runner.to_string());
        let mut runners = lock(&self.runners);
        if let Some(inboxes) = runners.get_mut(&key) {
            inboxes.retain(|other| !Arc::ptr_eq(other, inbox));
            if inboxes.is_empty() {
                runners.remove(&key);
            }
        }
    }

    /// A document that concerns a runner has changed.
    pub(crate) fn notice(&self, organization: &Name, runner: &str, key: &Key) {
        for inbox in self.of(organization, runner) {
            inbox.put(|due| {
                due.keys.insert(key.clone());
            });
        }
    }

    /// Something of a runner has changed, its certificates perhaps.
    pub(crate) fn look_at_certificate(&self, organization: &Name, runner: &str) {
        for inbox in self.of(organization, runner) {
            inbox.put(|due| due.certificate = true);
        }
    }

    /// Everybody is to look whether their certificate counts.
    pub(crate) fn look_at_all_certificates(&self) {
        let all: Vec<_> = lock(&self.runners).values().flatten().cloned().collect();
        for inbox in all {
            inbox.put(|due| due.certificate = true);
        }
    }

    fn of(&self, organization: &Name, runner: &str) -> Vec<Arc<Inbox>> {
        let key = (organization.clone(), runner.to_owned());
        lock(&self.runners).get(&key).cloned().unwrap_or_default()
    }
}

/// Nothing that can panic happens while one is locked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
