//! The variables of whoever asked for an environment last, for `initializeCommand`.
//!
//! They may hold anything, such as tokens, so they are in memory alone: neither in the store nor in a file, and gone once
//! the command ran. A daemon that starts in between has none.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{EnvironmentId, Secrets};

/// Variables by environment. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallerVariables {
    known: Arc<Mutex<HashMap<EnvironmentId, Secrets>>>,
}

impl CallerVariables {
    /// Keeps those of the present request instead of the earlier ones.
    pub(crate) fn keep(&self, id: &EnvironmentId, variables: Secrets) {
        self.lock().insert(id.clone(), variables);
    }

    /// Those of the last request; empty if it brought none.
    pub(crate) fn of(&self, id: &EnvironmentId) -> BTreeMap<String, String> {
        self.lock().get(id).map(|variables| variables.0.clone()).unwrap_or_default()
    }

    /// They have served.
    pub(crate) fn forget(&self, id: &EnvironmentId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<EnvironmentId, Secrets>> {
        // Entries are put in and taken out whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
