//! Who was given variables with secrets and still runs: shells, programs and ssh connections. A process keeps what it
//! was started with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::EnvironmentId;

use super::Given;

/// All who were. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Uses {
    all: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    next: u64,
    uses: HashMap<u64, Use>,
}

/// One process, and what it was given.
struct Use {
    environment: EnvironmentId,
    /// Versions of secrets by the variable they are in.
    given: BTreeMap<String, String>,
}

/// Lasts as long as the process does.
pub(crate) struct Held {
    uses: Uses,
    number: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.uses.table().uses.remove(&self.number);
    }
}

impl Uses {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process is started with these.
    pub(crate) fn hold(&self, environment: &EnvironmentId, resolved: &Given) -> Held {
        let mut table = self.table();
        table.next += 1;
        let number = table.next;
        let held = Use { environment: environment.clone(), given: in_variables(resolved) };
        table.uses.insert(number, held);
        Held { uses: self.clone(), number }
    }

    /// How many run with other values than these, and of which secrets.
    pub(crate) fn stale(&self, environment: &EnvironmentId, now: &Given) -> (usize, BTreeSet<String>) {
        let current = in_variables(now);
        let (mut count, mut names) = (0, BTreeSet::new());
        for held in self.table().uses.values().filter(|held| held.environment == *environment) {
            let other = held
                .given
                .iter()
                .chain(&current)
                .filter(|(variable, _)| held.given.get(*variable) != current.get(*variable));
            let variables: BTreeSet<String> = other.map(|(variable, _)| variable.clone()).collect();
            count += usize::from(!variables.is_empty());
            names.extend(variables);
        }
        (count, names)
    }
}

fn in_variables(resolved: &Given) -> BTreeMap<String, String> {
    let version = |(variable, name): (&String, &String)| {
        Some((variable.clone(), format!("{name} {}", resolved.versions.get(name)?)))
    };
    resolved.variables.iter().filter_map(version).collect()
}
