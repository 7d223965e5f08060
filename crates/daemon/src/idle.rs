//! Stops what nobody uses, as its policy says, and tells what uses the rest.
//!
//! ```text
//! sessions, connections, holds (uses) --+
//! engine: processor, disk, execs -------+--> judge, a function --> warn, stop (a wish in the spec)
//! tasks, steps under way ---------------+                     \--> activity, for those who ask
//! ```
//! Everything is seen anew at each look. Only the moment of the last use is remembered, in this process alone: the next
//! one begins to count anew, which stops nothing too early. Environments that never stop are not looked at.

mod judge;
mod look;
mod machine;
mod uses;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{Activity, Environment, EnvironmentId, InUse, MachinePhase, UseKind};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use uses::{Use, Used, Uses};

use crate::reconcile::{Parts, Reconciler};
use judge::{Counters, Past, Seen};

/// The longest time between two looks; with short limits it is a quarter of them.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

const SHORTEST_PAUSE: Duration = Duration::from_millis(500);

/// What was seen last. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Idleness {
    known: Arc<Mutex<Known>>,
    /// Told when a person said something of a policy.
    look: Arc<Notify>,
}

/// An environment at a generation of its spec: every wish is a use, and what was seen before it counts no more.
type Key = (EnvironmentId, u64);

fn key_of(environment: &Environment) -> Key {
    (environment.id.clone(), environment.metadata.generation)
}

#[derive(Default)]
struct Known {
    environments: HashMap<Key, Looked>,
    machine: Option<Looked>,
}

/// The last look at one thing.
#[derive(Debug, Clone, Default)]
struct Looked {
    past: Option<Past>,
    counters: Option<(Instant, Counters)>,
    /// What used it then, beside what is known of at any time.
    also: Vec<InUse>,
}

impl Idleness {
    /// A person said something: look again soon.
    pub(crate) fn look(&self) {
        self.look.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Entries are put in and taken out whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reconciler {
    /// Whether an environment is in use now; `None` while it does not run.
    pub(crate) fn activity_of(&self, environment: &Environment) -> Option<Activity> {
        let parts = self.parts();
        if !look::runs(parts, environment) {
            return None;
        }
        let looked = parts.idle.lock().environments.get(&key_of(environment)).cloned().unwrap_or_default();
        let mut seen = look::at_hand(parts, environment);
        // What takes a question to the engine, as it was answered last.
        let asked = |it: &&InUse| !matches!(it.kind, UseKind::Task | UseKind::Work);
        seen.also.extend(looked.also.iter().filter(asked).cloned());
        Some(activity(limit_of(parts, environment), &seen, looked.past))
    }

    /// Whether the machine is in use now; `None` while it does not run.
    pub(crate) fn machine_activity(&self) -> Option<Activity> {
        let parts = self.parts();
        let machine = parts.store.machine().ok()?;
        if parts.machine.state().phase != MachinePhase::Running {
            return None;
        }
        let looked = parts.idle.lock().machine.clone().unwrap_or_default();
        let mut seen = machine::at_hand(parts);
        seen.also.extend(looked.also.iter().filter(|it| it.kind == UseKind::Processor).cloned());
        let limit = machine.spec.idle.limit().filter(|_| !machine.spec.keep_running);
        Some(activity(limit, &seen, looked.past))
    }
}

fn activity(limit: Option<Duration>, seen: &Seen, past: Option<Past>) -> Activity {
    let uses = judge::uses(seen);
    let Some((limit, past)) = limit.zip(past).filter(|_| uses.is_empty()) else {
        return Activity { uses, ..Activity::default() };
    };
    let judgement = judge::judge(limit, seen, Some(past));
    let idle = seen.now.saturating_duration_since(judgement.past.used);
    let from_now = |forward: bool, by: Duration| {
        let by = SignedDuration::try_from(by).ok()?;
        Timestamp::now().checked_add(if forward { by } else { -by }).ok()
    };
    Activity { uses, idle_since: from_now(false, idle), stops_at: from_now(true, limit.saturating_sub(idle)) }
}

/// The time without any use after which an environment stops.
fn limit_of(parts: &Parts, environment: &Environment) -> Option<Duration> {
    let limits = crate::sync::limits_of(&parts.store, &environment.id);
    crate::limits::idle(environment.spec.idle, &limits)
}

/// Looks at everything that has a policy, again and again. Never returns.
pub(crate) async fn keep(reconciler: Reconciler) {
    let parts = reconciler.parts().clone();
    loop {
        let pause = look(&reconciler, &parts).await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = parts.idle.look.notified() => {}
        }
    }
}

/// One look at all; how long the next may wait.
async fn look(reconciler: &Reconciler, parts: &Parts) -> Duration {
    let environments = parts.store.environments().unwrap_or_else(|error| {
        tracing::warn!(%error, "environments were not looked at for being used");
        Vec::new()
    });
    parts.idle.lock().environments.retain(|key, _| environments.iter().any(|it| key_of(it) == *key));
    let mut pause = LONGEST_PAUSE;
    for environment in &environments {
        if let Some(limit) = limit_of(parts, environment) {
            pause = pause.min(limit / 4);
            look::environment(reconciler, environment, limit).await;
        }
    }
    if let Some(limit) = machine::look(parts, &environments).await {
        pause = pause.min(limit / 4);
    }
    pause.max(SHORTEST_PAUSE)
}

/// The clock of this computer at a moment that is some time away, for people: `14:05`.
fn clock(ahead: Duration) -> String {
    let at = SignedDuration::try_from(ahead).ok().and_then(|ahead| Timestamp::now().checked_add(ahead).ok());
    let at = at.unwrap_or_else(Timestamp::now).to_zoned(jiff::tz::TimeZone::system());
    at.strftime("%H:%M").to_string()
}
