//! File events: what a person changes on this computer reaches watchers in containers.
//!
//! ```text
//! notify (FSEvents, inotify) --hints--> tree --differences--> changes --batches--> agent --> the guest's kernel
//! ```
//!
//! The folders that running containers see are followed, each once, and each with all that is in it. What was changed
//! from inside comes as hints as well; the guest knows what it did itself, and tells nobody twice.

mod changes;
mod follow;
mod host_watch;
mod tell;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{EnvironmentId, Problem};
use camino::Utf8PathBuf;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::machine::MachineHost;

/// All followed folders. Clones share them.
#[derive(Clone)]
pub(crate) struct FileEvents {
    inner: Arc<Inner>,
}

struct Inner {
    machine: MachineHost,
    table: Mutex<Table>,
    standings: Standings,
}

/// How each followed folder stands, once that is known.
type Standings = watch::Sender<BTreeMap<Utf8PathBuf, Standing>>;

#[derive(Default)]
struct Table {
    wanted: BTreeMap<EnvironmentId, Vec<Utf8PathBuf>>,
    followed: BTreeMap<Utf8PathBuf, Follower>,
}

struct Follower {
    task: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a folder stands.
#[derive(Debug, Clone, PartialEq)]
enum Standing {
    /// Watchers hear of changes.
    Followed,
    /// They do not.
    Refused(Box<Problem>),
}

/// Whether watchers in an environment hear of what is changed on this computer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Hearing {
    /// They do, or it sees no folder of this computer.
    All,
    /// They will in a moment.
    NotYet,
    /// They do not.
    Not(Box<Problem>),
}

impl FileEvents {
    /// Nothing followed yet.
    pub(crate) fn new(machine: MachineHost) -> Self {
        Self { inner: Arc::new(Inner { machine, table: Mutex::default(), standings: Standings::default() }) }
    }

    /// Follows exactly these folders for an environment. What another wants, too, or a folder around it, is followed
    /// once.
    pub(crate) fn set(&self, id: &EnvironmentId, folders: Vec<Utf8PathBuf>) {
        let mut table = self.lock();
        let before = if folders.is_empty() {
            table.wanted.remove(id)
        } else {
            table.wanted.insert(id.clone(), folders)
        };
        if before.as_ref() == table.wanted.get(id) {
            return;
        }
        let outermost = outermost(table.wanted.values().flatten());
        let left = table.followed.extract_if(.., |folder, _| !outermost.contains(folder));
        let left: Vec<_> = left.collect();
        self.inner.standings.send_if_modified(|standings| {
            let before = standings.len();
            standings.retain(|folder, _| outermost.contains(folder));
            before != standings.len()
        });
        for folder in outermost {
            table.followed.entry(folder).or_insert_with_key(|folder| {
                let standings = self.inner.standings.clone();
                let task = follow::follow(self.inner.machine.clone(), folder.clone(), standings);
                Follower { task: tokio::spawn(task) }
            });
        }
        for (folder, follower) in left {
            if let Some(outer) = table.followed.keys().find(|outer| folder.starts_with(outer)) {
                tokio::spawn(follow_until(self.inner.standings.subscribe(), outer.clone(), follower));
            }
        }
    }

    /// Whether watchers in an environment hear of changes in its folders.
    pub(crate) fn hearing(&self, id: &EnvironmentId) -> Hearing {
        let Some(folders) = self.lock().wanted.get(id).cloned() else { return Hearing::All };
        let standings = self.inner.standings.borrow();
        // The innermost: on another disk, a folder in a followed one is followed by itself.
        let of = |folder: &Utf8PathBuf| standings.iter().rfind(|(root, _)| folder.starts_with(root));
        let mut all = true;
        for folder in &folders {
            match of(folder) {
                Some((_, Standing::Refused(problem))) => return Hearing::Not(problem.clone()),
                Some((_, Standing::Followed)) => {}
                None => all = false,
            }
        }
        if all { Hearing::All } else { Hearing::NotYet }
    }

    /// Tells when [`hearing`](Self::hearing) of some environment may have changed.
    pub(crate) fn changed(&self) -> watch::Receiver<impl Sized> {
        self.inner.standings.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.inner.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes on following a folder until the one around it is followed: to read all of that may take long. What both tell
/// meanwhile is heard twice.
async fn follow_until(
    mut standings: watch::Receiver<BTreeMap<Utf8PathBuf, Standing>>,
    outer: Utf8PathBuf,
    follower: Follower,
) {
    let is_over = |standings: &BTreeMap<_, _>| standings.contains_key(&outer);
    // The sender lives as long as there is something to follow.
    let _ = standings.wait_for(is_over).await;
    drop(follower);
}

/// The folders that lie in no other of them. Other disks are not entered, so what lies on one stands for itself.
fn outermost<'a>(folders: impl Iterator<Item = &'a Utf8PathBuf>) -> Vec<Utf8PathBuf> {
    let mut all: Vec<&Utf8PathBuf> = folders.collect();
    all.sort_unstable();
    let mut kept: Vec<(Utf8PathBuf, Option<u64>)> = Vec::new();
    for folder in all {
        let disk = disk_of(folder);
        if !kept.iter().any(|(outer, of)| folder.starts_with(outer) && disk == *of) {
            kept.push((folder.clone(), disk));
        }
    }
    kept.into_iter().map(|(folder, _)| folder).collect()
}

/// Which disk a folder is on; `None` of one that is not there.
fn disk_of(folder: &Utf8PathBuf) -> Option<u64> {
    std::fs::metadata(folder).ok().map(|metadata| metadata.dev())
}
