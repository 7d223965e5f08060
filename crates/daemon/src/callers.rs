//! The variables of whoever asked for an environment, for `initializeCommand`.
//!
//! They may hold anything, such as tokens, so they are in memory alone: neither in the store nor in a file, and gone once
//! the command ran or is known not to run. A daemon that starts in between has none.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{EnvironmentId, Secrets, Session};

/// Variables by the session that asked with them: what one person gives never serves another's. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallerVariables {
    known: Arc<Mutex<HashMap<Session, Held>>>,
}

#[derive(Debug, Default)]
struct Held {
    variables: Secrets,
    /// The environment that was asked for, once that is known.
    environment: Option<EnvironmentId>,
}

impl CallerVariables {
    /// Holds those of a request that is about to be written down: whoever sees the session finds them.
    pub(crate) fn hold(&self, session: &Session, variables: Secrets) {
        self.lock().insert(session.clone(), Held { variables, environment: None });
    }

    /// The session is that of this environment now; those of its earlier ones go.
    pub(crate) fn settle(&self, session: &Session, id: &EnvironmentId) {
        let mut known = self.lock();
        known.retain(|held, of| held == session || of.environment.as_ref() != Some(id));
        if let Some(held) = known.get_mut(session) {
            held.environment = Some(id.clone());
        }
    }

    /// Those that came with a session; empty if it brought none.
    pub(crate) fn of(&self, session: &Session) -> BTreeMap<String, String> {
        self.lock().get(session).map(|held| held.variables.0.clone()).unwrap_or_default()
    }

    /// They have served, or never will.
    pub(crate) fn forget(&self, session: &Session) {
        self.lock().remove(session);
    }

    /// The environment goes.
    pub(crate) fn forget_all_of(&self, id: &EnvironmentId) {
        self.lock().retain(|_, held| held.environment.as_ref() != Some(id));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Session, Held>> {
        // Entries are put in and taken out whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_request_takes_the_place_of_the_earlier_one_of_its_environment_alone() {
        let callers = CallerVariables::default();
        let (one, other) = (EnvironmentId::random(), EnvironmentId::random());
        let session = |name: &str| Session(name.to_owned());
        let given = |value: &str| Secrets(BTreeMap::from([("TOKEN".to_owned(), value.to_owned())]));
        for (name, id) in [("a", &one), ("b", &other)] {
            callers.hold(&session(name), given(name));
            callers.settle(&session(name), id);
        }
        // Asked again without variables: the earlier ones are not for it.
        callers.settle(&session("c"), &one);
        assert!(callers.of(&session("a")).is_empty() && callers.of(&session("c")).is_empty());
        assert_eq!(callers.of(&session("b"))["TOKEN"], "b");
        callers.hold(&session("d"), given("d"));
        callers.forget_all_of(&other);
        assert!(callers.of(&session("b")).is_empty());
        assert_eq!(callers.of(&session("d"))["TOKEN"], "d", "its request is not written down yet");
    }
}
