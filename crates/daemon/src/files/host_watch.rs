//! The host's own watcher, as hints where to look.
//!
//! What a hint says of the kind of change is not used: systems differ in what they tell, merge what happened to one
//! path, and say things twice. [`Tree`](super::tree::Tree) finds out what happened.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{Config, Event, EventHandler, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

/// How long after a hint is waited for more, each time one comes.
const QUIET: Duration = Duration::from_millis(10);

/// How long at most, so that a steady stream of changes is told as it comes.
const LONGEST: Duration = Duration::from_millis(100);

/// Hinted paths at most; with more, everything is looked at.
const MAX_PATHS: usize = 50_000;

/// Where to look.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Hints {
    pub(super) paths: BTreeSet<PathBuf>,
    /// Hints were lost.
    pub(super) everywhere: bool,
}

impl Hints {
    fn add(&mut self, path: PathBuf) {
        if self.paths.len() < MAX_PATHS {
            self.paths.insert(path);
        } else {
            self.lose();
        }
    }

    fn lose(&mut self) {
        self.paths.clear();
        self.everywhere = true;
    }

    fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.everywhere
    }
}

#[derive(Debug, Default)]
struct Shared {
    hints: Mutex<Hints>,
    more: Notify,
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Hints)) {
        change(&mut self.hints.lock().unwrap_or_else(PoisonError::into_inner));
        self.more.notify_one();
    }
}

/// What the watcher's thread does with what it hears.
struct Handler(Arc<Shared>);

impl EventHandler for Handler {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.need_rescan() => self.0.change(Hints::lose),
            // Nothing changed.
            Ok(event) if event.kind.is_access() => {}
            Ok(event) => self.0.change(|hints| event.paths.into_iter().for_each(|path| hints.add(path))),
            Err(error) => {
                tracing::debug!(%error, "the watcher of this computer missed something");
                self.0.change(Hints::lose);
            }
        }
    }
}

/// A folder that the host watches, with all that is in it.
pub(super) struct HostWatch {
    shared: Arc<Shared>,
    _watcher: RecommendedWatcher,
}

impl HostWatch {
    /// Begins. Blocks: on Linux every folder is watched by itself.
    ///
    /// # Errors
    /// The system refused; on Linux mostly since there are no watches left.
    pub(super) fn begin(root: &Path) -> notify::Result<Self> {
        let shared = Arc::new(Shared::default());
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(Handler(Arc::clone(&shared)), config)?;
        watcher.watch(root, RecursiveMode::Recursive)?;
        Ok(Self { shared, _watcher: watcher })
    }

    /// The next hints, once no more come for a moment. Cancel safe.
    pub(super) async fn next(&self) -> Hints {
        loop {
            self.shared.more.notified().await;
            let latest = Instant::now() + LONGEST;
            while timeout_at((Instant::now() + QUIET).min(latest), self.shared.more.notified()).await.is_ok()
            {
            }
            let hints =
                std::mem::take(&mut *self.shared.hints.lock().unwrap_or_else(PoisonError::into_inner));
            if !hints.is_empty() {
                return hints;
            }
        }
    }

    /// Looks at these paths again in a moment: a folder is watched only some time after it was made, and what was made
    /// in it before that gave no hint.
    pub(super) fn look_again(&self, paths: Vec<PathBuf>) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            sleep(LONGEST * 2).await;
            shared.change(|hints| paths.into_iter().for_each(|path| hints.add(path)));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_paths_are_everywhere() {
        let mut hints = Hints::default();
        for number in 0..=MAX_PATHS {
            hints.add(PathBuf::from(number.to_string()));
        }
        assert_eq!(hints, Hints { paths: BTreeSet::new(), everywhere: true });
    }
}
