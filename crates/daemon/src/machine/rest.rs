//! The machine at rest: halted by a person's wish or for this computer's sleep, and how it goes on.
//!
//! ```text
//! Running --wanted--> no new streams, data written to the disk, processors halted --> Paused
//! Paused --not wanted any more--> processors go on, agent answers, clock set --> Running: streams, ports, all else
//! ```
//! One loop compares what is wanted with how the machine stands. What was halted by a daemon that is gone, and is
//! wanted by nobody, goes on for that reason alone.

use std::sync::Arc;
use std::time::Duration;

use api::{DEFAULT_MACHINE, EventKind, MachinePhase, Problem, ProblemCode, StepKind};
use protocol::shim::State;
use tokio::time::{Instant, sleep, timeout};

use super::session::Session;
use super::{Inner, MachineHost, lock, millis, problems, session};
use crate::agent_client::AgentClient;

/// How long the guest may take to write its data to the disk before it is halted: a battery may end while it is.
const SYNC_TIME: Duration = Duration::from_secs(3);

/// How long somebody who uses a halted machine waits until it goes on.
const WAKING_TIME: Duration = Duration::from_secs(30);

/// First and longest pause before what failed is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// What this computer does, as far as the machine must know it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HostSleep {
    /// It sleeps, or is about to.
    pub(super) asleep: bool,
    /// How often it woke in the life of this process.
    pub(super) wakes: u64,
}

impl MachineHost {
    /// Returns once a machine that is paused goes on, because somebody uses it. One that is off stays off.
    ///
    /// # Errors
    /// It does not go on in time.
    pub async fn awake(&self) -> Result<(), Problem> {
        if self.state().phase == MachinePhase::Paused {
            awaken(&self.inner).await?;
            self.heard().await;
        }
        Ok(())
    }

    /// Halts the machine and lets it go on as the spec and this computer's sleep want it. Never returns.
    pub(crate) async fn keep_rest(&self) {
        keep(&self.inner).await;
    }

    /// This computer is about to sleep. Returns once the machine is at rest, or will not come to it by being waited for.
    pub(crate) async fn host_will_sleep(&self) {
        self.inner.host.send_modify(|host| host.asleep = true);
        let mut changed = self.changed();
        // The sender lives in `self`.
        let _ = changed.wait_for(|state| state.phase != MachinePhase::Running).await;
        // Held back from streams, it is perhaps not halted yet: that is told by the shim.
        if let Some(session) = self.inner.session()
            && self.state().phase == MachinePhase::Paused
        {
            session.halted().await;
        }
    }

    /// This computer slept, and is awake.
    pub(crate) fn host_woke(&self) {
        self.inner.host.send_modify(|host| {
            host.asleep = false;
            host.wakes += 1;
        });
    }

    /// The network of this computer is another one: what the guest is told of it is read again.
    pub(crate) fn host_network_changed(&self) {
        self.inner.network.send_modify(|changes| *changes += 1);
    }
}

/// Keeps the machine halted or running, as is wanted. Never returns.
async fn keep(inner: &Inner) {
    let mut changes = inner.store.subscribe();
    let mut state = inner.state.subscribe();
    let mut host = inner.host.subscribe();
    let mut wakes = host.borrow().wakes;
    let mut pause = PAUSE.0;
    loop {
        let now = *host.borrow_and_update();
        let phase = state.borrow_and_update().phase;
        let wanted = now.asleep || is_wanted(inner);
        let outcome = match phase {
            MachinePhase::Running if wanted => halt(inner).await,
            // It ran, or slept, along with this computer: its clock stood still.
            MachinePhase::Running if now.wakes != wakes => go_on(inner).await,
            MachinePhase::Paused if !wanted => go_on(inner).await,
            _ => Ok(()),
        };
        match outcome {
            Ok(()) => {
                wakes = now.wakes;
                pause = PAUSE.0;
            }
            Err(problem) => {
                tracing::warn!(%problem, causes = ?problem.causes, "the machine was not halted, or does not go on");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
                continue;
            }
        }
        // The senders live as long as what is borrowed here.
        tokio::select! {
            () = session::spec_may_differ(&mut changes) => {}
            _ = state.changed() => {}
            _ = host.changed() => {}
        }
    }
}

fn is_wanted(inner: &Inner) -> bool {
    inner.store.machine().is_ok_and(|machine| machine.spec.paused)
}

async fn halt(inner: &Inner) -> Result<(), Problem> {
    let Some(session) = inner.session() else { return Ok(()) };
    let step = StepKind::PauseMachine;
    let began = Instant::now();
    inner.emit(EventKind::StepStarted { step, detail: DEFAULT_MACHINE.to_owned() });
    // From here on new streams wait: one that is begun now would be cut off in its first words.
    enter(inner, MachinePhase::Running, MachinePhase::Paused);
    let agent = AgentClient::new(session.shim.clone());
    if !matches!(timeout(SYNC_TIME, agent.sync()).await, Ok(Ok(()))) {
        tracing::warn!("the guest did not write its data to the disk before it was halted");
    }
    match session.shim.pause().await {
        Ok(()) => {
            inner.emit(EventKind::StepFinished { step, millis: millis(began) });
            Ok(())
        }
        Err(error) => {
            let problem =
                Problem::new(ProblemCode::MachineFailed, "the machine could not be paused").caused_by(&error);
            // A wish that cannot be fulfilled is given up; a sleep comes anyway.
            take_back(inner)?;
            enter(inner, MachinePhase::Paused, MachinePhase::Running);
            inner.emit(EventKind::StepFailed { step, problem: problem.clone() });
            Err(problem)
        }
    }
}

async fn go_on(inner: &Inner) -> Result<(), Problem> {
    let Some(session) = inner.session() else { return Ok(()) };
    let step = StepKind::ResumeMachine;
    let began = Instant::now();
    inner.emit(EventKind::StepStarted { step, detail: DEFAULT_MACHINE.to_owned() });
    enter(inner, MachinePhase::Running, MachinePhase::Paused);
    match wake(&session).await {
        Ok(()) => {
            enter(inner, MachinePhase::Paused, MachinePhase::Running);
            inner.emit(EventKind::StepFinished { step, millis: millis(began) });
            Ok(())
        }
        Err(problem) => {
            inner.update(|machine| {
                if machine.phase == MachinePhase::Paused {
                    machine.problem = Some(problem.clone());
                }
            });
            inner.emit(EventKind::StepFailed { step, problem: problem.clone() });
            Err(problem)
        }
    }
}

/// The order of a waking: processors, agent, clock. What follows waits for the phase.
async fn wake(session: &Session) -> Result<(), Problem> {
    // After a sleep that nobody told of, it was not halted.
    if session.shim.status().await?.state == State::Paused {
        session.shim.resume().await?;
    }
    let agent = AgentClient::new(session.shim.clone());
    agent.hello().await?;
    agent.set_clock().await?;
    Ok(())
}

/// From one phase to another; a machine that is in a third one stays there.
fn enter(inner: &Inner, from: MachinePhase, to: MachinePhase) {
    inner.update(|machine| {
        if machine.phase != from {
            return;
        }
        machine.phase = to;
        if machine.problem.as_ref().is_some_and(|problem| problem.code == ProblemCode::MachinePaused) {
            machine.problem = None;
        }
    });
}

/// Whoever uses the machine takes back that it shall be halted.
pub(super) fn take_back(inner: &Inner) -> Result<(), Problem> {
    if is_wanted(inner) {
        tracing::info!("the machine is used: it shall not be paused any more");
        let changed = inner.store.change_machine_spec(None, |spec| spec.paused = false);
        changed.map_err(|error| problems::store_failed(&error))?;
    }
    Ok(())
}

/// Returns once a machine that is halted goes on, because somebody uses it now.
pub(super) async fn awaken(inner: &Arc<Inner>) -> Result<(), Problem> {
    take_back(inner)?;
    let mut state = inner.state.subscribe();
    let gone_on = state.wait_for(|state| state.phase != MachinePhase::Paused);
    if timeout(WAKING_TIME, gone_on).await.is_ok() {
        return Ok(());
    }
    let mut problem = problems::paused();
    problem.causes.push(format!("waited for {} s until it goes on", WAKING_TIME.as_secs()));
    let known = lock(&inner.status).problem.clone();
    problem.causes.extend(known.into_iter().flat_map(|known| [vec![known.title], known.causes].concat()));
    Err(problem)
}

#[cfg(test)]
mod tests;
