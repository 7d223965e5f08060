//! What changes next: a pure function of what is declared, what is wanted, how everything stands, and the time.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Automations;
use crate::state::{Millis, Phase, State, States};
use crate::{Graph, Item, Outcome, Value, Wish};

/// The pause between two questions whether a service can be used, in milliseconds.
const PROBE_PAUSE: Millis = 500;

/// How long a task has to end by itself once it is stopped, in milliseconds.
const TASK_GRACE: Millis = 10_000;

/// A change of one service or task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It waits for what it depends on.
    Wait {
        /// For which session.
        session: String,
        /// For what.
        message: String,
    },
    /// Its command starts.
    Start {
        /// For which session.
        session: String,
        /// Of which definition.
        definition: String,
    },
    /// It is asked whether it can be used.
    Probe,
    /// It can be used.
    Ready,
    /// It shall end: by its own command for that, or by SIGTERM.
    Stop {
        /// Why, where that is a failure.
        reason: Option<String>,
        /// The session of the wish that it shall not run; empty where it starts again after.
        session: String,
        /// How long it has, in milliseconds.
        grace: Millis,
    },
    /// It is killed, with everything it started.
    Kill,
    /// It cannot run.
    Fail {
        /// For which session.
        session: String,
        /// Why.
        message: String,
    },
    /// It does not run, and shall not.
    Rest {
        /// For which session.
        session: String,
    },
    /// It ran for this session already, and somebody else remembers how that went.
    Recall {
        /// The session.
        session: String,
        /// How it went.
        outcome: Outcome,
    },
}

/// A change and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Of what.
    pub item: Item,
    /// What changes.
    pub change: Change,
}

/// What happens now, and when to look again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Next {
    /// At most one change of each.
    pub due: Vec<Due>,
    /// When something happens by itself; before that nothing does unless something else changes.
    pub wake: Option<Millis>,
}

/// Says what changes now. Apply the changes and ask again until there are none: each counts for those that follow.
/// What is `elsewhere` counts as `states` has it, and nothing of it changes.
pub fn next(
    declared: &Automations,
    wish: &Wish,
    states: &States,
    elsewhere: &BTreeSet<Item>,
    now: Millis,
) -> Next {
    let graph = Graph::of(declared);
    let wanted = wanted(declared, wish, states, &graph);
    let mut look = Look { declared, wish, states, now, graph: &graph, wanted: &wanted, wake: None };
    let mut due = Vec::new();
    // What runs and is not declared any more is stopped too.
    let removed = states.0.keys().filter(|item| !declared.has(item)).cloned();
    let all = graph.in_order().into_iter().chain(removed);
    for item in all.filter(|item| !elsewhere.contains(item)) {
        due.extend(look.change(&item).map(|change| Due { item, change }));
    }
    Next { due, wake: look.wake }
}

/// What is down and shall run, with the session it shall run for.
pub fn awaited(declared: &Automations, wish: &Wish, states: &States) -> BTreeMap<Item, String> {
    let wanted = wanted(declared, wish, states, &Graph::of(declared));
    let is_down = |item: &Item, want: &Want| {
        let state = states.of(item);
        let has_ended = match item {
            Item::Task(name) => wish.tasks.get(name).is_some_and(|task| task.ended.is_some()),
            Item::Service(_) => false,
        };
        let is_done = has_ended || !want.itself && state.phase == Phase::Succeeded;
        declared.has(item)
            && !is_done
            && !state.phase.is_alive()
            && (state.session != want.session || !state.phase.is_settled())
    };
    let down = wanted.into_iter().filter(|(item, want)| is_down(item, want));
    down.map(|(item, want)| (item, want.session)).collect()
}

/// Why something shall run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Want {
    session: String,
    /// Because it was asked for itself, and not because something needs it.
    itself: bool,
}

/// What shall run, also because something that shall needs it.
fn wanted(declared: &Automations, wish: &Wish, states: &States, graph: &Graph) -> BTreeMap<Item, Want> {
    let mut wanted = BTreeMap::new();
    for (name, service) in wish.services.iter().filter(|(_, service)| service.run) {
        let want = Want { session: service.session.clone(), itself: true };
        wanted.insert(Item::Service(name.clone()), want);
    }
    for (name, task) in wish.tasks.iter().filter(|(_, task)| task.run) {
        wanted.insert(Item::Task(name.clone()), Want { session: task.session.clone(), itself: true });
    }
    let mut order = graph.in_order();
    order.reverse();
    for item in order.iter().filter(|item| declared.has(item)) {
        let Some(want) = wanted.get(item).cloned() else { continue };
        let state = states.of(item);
        // What ended for this session needs nothing any more, nor does what is only needed and done.
        let is_remembered = wish.tasks.get(item.name()).is_some_and(|task| task.ended.is_some());
        let is_done =
            !want.itself && state.phase == Phase::Succeeded || matches!(item, Item::Task(_)) && is_remembered;
        if is_done || state.session == want.session && state.phase.is_settled() {
            continue;
        }
        for need in graph.needs(item) {
            let stopped_by_hand = match need {
                Item::Service(name) => wish.services.get(name).is_some_and(|service| !service.run),
                Item::Task(name) => wish.tasks.get(name).is_some_and(|task| !task.run),
            };
            if !stopped_by_hand && !wanted.contains_key(need) {
                let want = Want { session: want.session.clone(), itself: false };
                wanted.insert(need.clone(), want);
            }
        }
    }
    wanted
}

struct Look<'a> {
    declared: &'a Automations,
    wish: &'a Wish,
    states: &'a States,
    now: Millis,
    graph: &'a Graph,
    wanted: &'a BTreeMap<Item, Want>,
    wake: Option<Millis>,
}

/// How what something depends on stands.
enum Needs {
    There,
    Missing(String),
    Failed(String),
}

impl Look<'_> {
    fn change(&mut self, item: &Item) -> Option<Change> {
        let state = self.states.of(item);
        match state.phase {
            Phase::Starting | Phase::Running => self.while_alive(item, state),
            Phase::Stopping => self.while_stopping(state),
            Phase::Idle
            | Phase::Waiting
            | Phase::Pausing
            | Phase::Stopped
            | Phase::Succeeded
            | Phase::Failed => self.while_down(item, state),
        }
    }

    fn while_down(&mut self, item: &Item, state: &State) -> Option<Change> {
        if let Item::Task(name) = item
            && let Some(task) = self.wish.tasks.get(name)
            && let Some(outcome) = &task.ended
            && state.session != task.session
        {
            return Some(Change::Recall { session: task.session.clone(), outcome: outcome.clone() });
        }
        let is_open = matches!(state.phase, Phase::Waiting | Phase::Pausing);
        let want = self.wanted.get(item).filter(|_| self.declared.has(item));
        let Some(want) = want else {
            return is_open.then(|| Change::Rest { session: self.told_session(item, state) });
        };
        let is_new = state.session != want.session;
        // What is only needed is not run again once it is done.
        if !want.itself && state.phase == Phase::Succeeded {
            return None;
        }
        if !is_new && !is_open {
            return None;
        }
        if let Some(refusal) = self.declared.refused(item) {
            return Some(Change::Fail { session: want.session.clone(), message: refusal.reason.clone() });
        }
        if state.phase == Phase::Pausing && !is_new && state.pause_until > self.now {
            self.wake_at(state.pause_until);
            return None;
        }
        match self.needs(item) {
            Needs::There => Some(Change::Start {
                session: want.session.clone(),
                definition: self.declared.definition(item),
            }),
            Needs::Failed(message) => Some(Change::Fail { session: want.session.clone(), message }),
            Needs::Missing(message) => {
                let is_told = state.phase == Phase::Waiting
                    && !is_new
                    && state.message.as_deref() == Some(message.as_str());
                (!is_told).then(|| Change::Wait { session: want.session.clone(), message })
            }
        }
    }

    fn while_alive(&mut self, item: &Item, state: &State) -> Option<Change> {
        let stop = |reason: Option<String>, grace| {
            let session =
                if reason.is_some() { state.session.clone() } else { self.told_session(item, state) };
            Some(Change::Stop { reason, session, grace })
        };
        match item {
            Item::Service(name) => {
                let Some(service) = self.declared.services.get(name) else {
                    return stop(None, crate::model::STOP_TIMEOUT.0);
                };
                let wish = self.wish.services.get(name);
                let is_unwanted = wish.is_some_and(|wish| !wish.run);
                let is_again = wish.is_some_and(|wish| wish.run && wish.session != state.session)
                    && self.wanted.get(item).is_some_and(|want| want.itself);
                let is_changed = state.definition != self.declared.definition(item);
                if is_unwanted || is_again || is_changed {
                    let session = if is_unwanted { self.told_session(item, state) } else { String::new() };
                    return Some(Change::Stop { reason: None, session, grace: service.stop_timeout.0 });
                }
                if state.phase == Phase::Running {
                    return None;
                }
                if service.ready.is_none() {
                    return state.up.then_some(Change::Ready);
                }
                if let Some(limit) = service.ready_timeout {
                    let until = state.since.saturating_add(limit.0);
                    if until <= self.now {
                        let reason = format!("it could not be used within {limit}");
                        return stop(Some(reason), service.stop_timeout.0);
                    }
                    self.wake_at(until);
                }
                if state.probing || !state.up {
                    return None;
                }
                let again = state.probed_at.saturating_add(PROBE_PAUSE);
                if state.probed_at == 0 || again <= self.now {
                    return Some(Change::Probe);
                }
                self.wake_at(again);
                None
            }
            Item::Task(name) => {
                let is_unwanted = self.wish.tasks.get(name).is_some_and(|task| !task.run);
                if is_unwanted {
                    return stop(None, TASK_GRACE);
                }
                let limit = self.declared.tasks.get(name).and_then(|task| task.timeout)?;
                let until = state.since.saturating_add(limit.0);
                if until <= self.now {
                    return stop(Some(format!("it took longer than {limit}")), 0);
                }
                self.wake_at(until);
                None
            }
        }
    }

    fn while_stopping(&mut self, state: &State) -> Option<Change> {
        if state.killed {
            return None;
        }
        if state.kill_at <= self.now {
            return Some(Change::Kill);
        }
        self.wake_at(state.kill_at);
        None
    }

    fn needs(&self, item: &Item) -> Needs {
        for need in self.graph.needs(item) {
            let state = self.states.of(need);
            let is_there = match need {
                Item::Service(_) => state.phase == Phase::Running,
                Item::Task(_) => state.phase == Phase::Succeeded,
            };
            // One that is about to run again for a wish of its own is waited for.
            let want = self.wanted.get(need);
            let is_due = want.is_some_and(|want| {
                want.session != state.session && (want.itself || state.phase != Phase::Succeeded)
            });
            match state.phase {
                _ if is_there && !(is_due && want.is_some_and(|want| want.itself)) => {}
                Phase::Failed if !is_due => {
                    let why = state.message.as_deref().unwrap_or("it failed");
                    return Needs::Failed(format!("{need}, which it depends on, failed: {why}"));
                }
                Phase::Stopped if !is_due => {
                    return Needs::Missing(format!("waits for {need}, which does not run"));
                }
                _ => return Needs::Missing(format!("waits for {need}")),
            }
        }
        Needs::There
    }

    /// The session of a wish that it shall not run.
    fn told_session(&self, item: &Item, state: &State) -> String {
        let told = match item {
            Item::Service(name) => self.wish.services.get(name).map(|wish| &wish.session),
            Item::Task(name) => self.wish.tasks.get(name).map(|wish| &wish.session),
        };
        told.unwrap_or(&state.session).clone()
    }

    fn wake_at(&mut self, at: Millis) {
        self.wake = Some(self.wake.map_or(at, |earlier| earlier.min(at)));
    }
}

impl States {
    /// The variables of one, with what tasks left for it.
    ///
    /// `secret` gives the value of a secret.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn variables(
        &self,
        declared: &Automations,
        item: &Item,
        secret: impl Fn(&str) -> Option<String>,
    ) -> Result<BTreeMap<String, String>, String> {
        let value = |value: &Value| match value {
            Value::Text(text) => Ok(text.clone()),
            Value::Secret { name, .. } => secret(name).ok_or_else(|| format!("there is no secret `{name}`")),
            Value::Output { task, name } => {
                let left = self.of(&Item::Task(task.clone())).outputs.get(name);
                left.cloned().ok_or_else(|| format!("tasks/{task} left no `{name}`"))
            }
        };
        declared.env(item).map(|(name, of)| Ok((name.clone(), value(of)?))).collect()
    }
}
