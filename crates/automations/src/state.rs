//! How everything stands, and how that changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Automations, Policy};
use crate::next::Change;
use crate::{Item, Outcome};

/// A moment, in milliseconds of a clock that only goes forward.
pub type Millis = u64;

/// Where a service or task is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It never ran.
    #[default]
    Idle,
    /// It waits for what it depends on.
    Waiting,
    /// A service runs and cannot be used yet.
    Starting,
    /// It runs.
    Running,
    /// It was asked to end, and has not yet.
    Stopping,
    /// A service ended by itself, and is started again after a pause.
    Pausing,
    /// It was stopped, or a service ended well.
    Stopped,
    /// A task did what it should.
    Succeeded,
    /// It failed.
    Failed,
}

impl Phase {
    /// Whether processes of it may be there.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Stopping)
    }

    /// Whether nothing happens to it by itself any more.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Idle | Self::Stopped | Self::Succeeded | Self::Failed)
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody saw it.
    Unknown,
}

impl Exit {
    /// As a shell tells it.
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(code),
            Self::Signal(signal) => Some(128 + signal),
            Self::Unknown => None,
        }
    }

    /// In words, after "it ended".
    pub fn in_words(self) -> String {
        match self {
            Self::Code(code) => format!("with status {code}"),
            Self::Signal(signal) => format!("by signal {signal}"),
            Self::Unknown => "and nobody saw how".to_owned(),
        }
    }
}

/// How one service or task stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub since: Millis,
    /// The session of the wish that it acted on last.
    pub session: String,
    /// The definition that it was last started with.
    pub definition: String,
    /// How often it was started again in a row.
    pub restarts: u32,
    /// When the pause ends.
    pub pause_until: Millis,
    /// When it is killed, while it is stopping.
    pub kill_at: Millis,
    /// Whether that was done.
    pub killed: bool,
    /// Why it is stopping, where that is a failure.
    pub ends_for: Option<String>,
    /// Whether its command is known to run.
    pub up: bool,
    /// When it was last asked whether it can be used; 0 for never.
    pub probed_at: Millis,
    /// Whether that question is under way.
    pub probing: bool,
    /// How it ended last.
    pub exit: Option<Exit>,
    /// What is wrong, or what it waits for.
    pub message: Option<String>,
    /// How long it last took: a task to its end, a service until it could be used.
    pub took: Option<Millis>,
    /// When it was last started.
    pub started_at: Millis,
    /// What a task left for others.
    pub outputs: BTreeMap<String, String>,
}

impl State {
    fn enter(&mut self, phase: Phase, now: Millis) {
        (self.phase, self.since, self.message) = (phase, now, None);
    }

    fn fail(&mut self, message: String, now: Millis) {
        self.enter(Phase::Failed, now);
        self.message = Some(message);
    }
}

/// How everything stands, by item. What is not there is idle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct States(pub BTreeMap<Item, State>);

static IDLE: State = State {
    phase: Phase::Idle,
    since: 0,
    session: String::new(),
    definition: String::new(),
    restarts: 0,
    pause_until: 0,
    kill_at: 0,
    killed: false,
    ends_for: None,
    up: false,
    probed_at: 0,
    probing: false,
    exit: None,
    message: None,
    took: None,
    started_at: 0,
    outputs: BTreeMap::new(),
};

impl States {
    /// How one stands.
    pub fn of(&self, item: &Item) -> &State {
        self.0.get(item).unwrap_or(&IDLE)
    }

    fn at(&mut self, item: &Item) -> &mut State {
        self.0.entry(item.clone()).or_default()
    }

    /// Notes a change that [`next`](crate::next) decided. Its effect on processes is the caller's.
    pub fn apply(&mut self, item: &Item, change: &Change, now: Millis) {
        let state = self.at(item);
        match change {
            Change::Wait { session, message } => {
                if state.phase != Phase::Waiting {
                    state.enter(Phase::Waiting, now);
                    // Asked for anew, it has all its attempts again.
                    if state.session != *session {
                        state.restarts = 0;
                    }
                }
                state.session.clone_from(session);
                state.message = Some(message.clone());
            }
            Change::Start { session, definition } => {
                if state.session != *session {
                    state.restarts = 0;
                }
                let phase = if matches!(item, Item::Service(_)) { Phase::Starting } else { Phase::Running };
                state.enter(phase, now);
                state.session.clone_from(session);
                state.definition.clone_from(definition);
                (state.probed_at, state.probing, state.killed, state.up) = (0, false, false, false);
                (state.exit, state.ends_for) = (None, None);
                state.started_at = now;
                if matches!(item, Item::Task(_)) {
                    state.outputs.clear();
                }
            }
            Change::Probe => (state.probed_at, state.probing) = (now.max(1), true),
            Change::Ready => {
                state.took = Some(now.saturating_sub(state.started_at));
                state.enter(Phase::Running, now);
            }
            Change::Stop { reason, session, grace } => {
                state.enter(Phase::Stopping, now);
                state.session.clone_from(session);
                state.kill_at = now.saturating_add(*grace);
                state.ends_for.clone_from(reason);
                state.killed = false;
            }
            Change::Kill => state.killed = true,
            Change::Fail { session, message } => {
                state.session.clone_from(session);
                state.fail(message.clone(), now);
            }
            Change::Rest { session } => {
                state.session.clone_from(session);
                state.enter(Phase::Stopped, now);
            }
            Change::Recall { session, outcome } => {
                state.session.clone_from(session);
                state.recall(outcome, now);
            }
        }
    }

    /// A process could not be started, or its state is not known: it counts as one that ended like this.
    ///
    /// What follows for a service is its restart policy's.
    pub fn ended(&mut self, declared: &Automations, item: &Item, exit: Exit, now: Millis) {
        let state = self.at(item);
        if !state.phase.is_alive() {
            return;
        }
        state.exit = Some(exit);
        state.probing = false;
        let (was_running, since) = (state.phase == Phase::Running, state.since);
        let reason = state.ends_for.take();
        if state.phase == Phase::Stopping && reason.is_none() {
            return state.enter(Phase::Stopped, now);
        }
        let failed = reason.is_some() || exit != Exit::Code(0);
        let message = reason.unwrap_or_else(|| format!("it ended {}", exit.in_words()));
        match item {
            Item::Task(_) if failed => state.fail(message, now),
            Item::Task(_) => {
                state.took = Some(now.saturating_sub(state.started_at));
                state.enter(Phase::Succeeded, now);
            }
            Item::Service(name) => {
                let restart = declared.services.get(name).map(|service| service.restart).unwrap_or_default();
                if was_running && now.saturating_sub(since) >= restart.max_delay.0 {
                    state.restarts = 0;
                }
                let again = match restart.policy {
                    Policy::Never => false,
                    Policy::OnFailure => failed,
                    Policy::Always => true,
                };
                if again && restart.attempts.is_none_or(|most| state.restarts < most) {
                    let factor = 2_u64.saturating_pow(state.restarts.min(32));
                    let pause = restart.delay.0.saturating_mul(factor).min(restart.max_delay.0);
                    state.restarts += 1;
                    state.enter(Phase::Pausing, now);
                    state.pause_until = now.saturating_add(pause);
                    state.message = Some(message);
                } else if again {
                    let times = state.restarts;
                    state.fail(format!("{message}, after {times} restarts"), now);
                } else if failed {
                    state.fail(message, now);
                } else {
                    state.enter(Phase::Stopped, now);
                }
            }
        }
    }

    /// It was to be started and never was: it is started as soon as that can be.
    pub fn never_began(&mut self, item: &Item, now: Millis) {
        let state = self.at(item);
        if state.phase.is_alive() {
            state.enter(Phase::Waiting, now);
        }
    }

    /// Its command runs.
    pub fn came_up(&mut self, item: &Item) {
        let state = self.at(item);
        state.up = state.phase.is_alive();
    }

    /// The question whether a service can be used was answered.
    pub fn probed(&mut self, item: &Item, ready: bool, now: Millis) {
        let state = self.at(item);
        state.probing = false;
        if ready && state.phase == Phase::Starting {
            self.apply(item, &Change::Ready, now);
        }
    }

    /// A task that succeeded left these values, or not all that it should.
    pub fn left(&mut self, item: &Item, outputs: Result<BTreeMap<String, String>, String>, now: Millis) {
        let state = self.at(item);
        match outputs {
            Ok(outputs) => state.outputs = outputs,
            Err(missing) => {
                state.fail(format!("it did not write its output `{missing}` to the file $COVE_OUTPUT"), now);
            }
        }
    }

    /// Everything ended with the container that it ran in; what a task did stays done.
    pub fn container_ended(&mut self, now: Millis) {
        for state in self.0.values_mut() {
            if matches!(state.phase, Phase::Succeeded | Phase::Failed | Phase::Stopped) {
                continue;
            }
            let cut_off = state.phase != Phase::Idle;
            state.enter(if cut_off { Phase::Stopped } else { Phase::Idle }, now);
            (state.session, state.restarts) = (String::new(), 0);
        }
    }

    /// What is not declared any more and does not run is forgotten.
    pub fn forget(&mut self, declared: &Automations) {
        self.0.retain(|item, state| declared.has(item) || state.phase.is_alive());
    }
}

impl State {
    fn recall(&mut self, outcome: &Outcome, now: Millis) {
        if outcome.succeeded {
            self.enter(Phase::Succeeded, now);
            self.outputs.clone_from(&outcome.outputs);
        } else {
            self.fail("it failed before".to_owned(), now);
        }
    }
}
