//! One environment's task.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use api::{
    Condition, ConditionKind, DesiredPhase, Environment, EnvironmentId, EnvironmentStatus, EventKind,
    MachinePhase, Phase, Problem, ProblemCode, StepKind,
};
use jiff::Timestamp;
use reconciler::{ContainerFacts, Decision, Failure, Verdict};

use super::memory::is_answered;
use super::{Bell, Memory, Parts, Report, all_open};
use crate::execute::{self, Turn};
use crate::files::Hearing;
use crate::grants::GrantPlace;
use crate::masks;
use crate::observe::{self, Observation};

pub(super) struct Worker {
    parts: Parts,
    id: EnvironmentId,
    bell: Arc<Bell>,
    memory: Memory,
}

/// What a pass leads to.
enum Next {
    /// The world has changed: look again.
    Again,
    /// Nothing to do until woken, or until then.
    Sleep(Option<Timestamp>),
    /// The environment is gone.
    Gone,
}

impl Worker {
    pub(super) fn new(parts: Parts, id: EnvironmentId, bell: Arc<Bell>) -> Self {
        Self { parts, id, bell, memory: Memory::default() }
    }

    pub(super) async fn run(mut self) {
        // A store that cannot be read now says so in the passes below.
        if let Ok(Some(environment)) = self.parts.store.environment(&self.id) {
            self.memory = Memory::of(&environment);
        }
        loop {
            if self.bell.asked.swap(false, Ordering::AcqRel) {
                self.memory.doubt();
            }
            let next = self.pass().await.unwrap_or_else(|problem| {
                tracing::error!(environment = %self.id, %problem, "could not look after an environment");
                Next::Sleep(Timestamp::now().checked_add(jiff::SignedDuration::from_secs(5)).ok())
            });
            match next {
                Next::Again => {}
                Next::Gone => return,
                Next::Sleep(None) => self.bell.notify.notified().await,
                Next::Sleep(Some(until)) => {
                    let pause = until.duration_since(Timestamp::now());
                    let pause = Duration::try_from(pause).unwrap_or(Duration::ZERO);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.bell.notify.notified() => {}
                    }
                }
            }
        }
    }

    /// Observes, plans, and takes the first step.
    async fn pass(&mut self) -> Result<Next, Problem> {
        let Some(environment) = self.parts.store.environment(&self.id)? else {
            self.parts.files.set(&self.id, Vec::new());
            self.parts.grants.forget(&self.id);
            return Ok(Next::Gone);
        };
        // Nothing in a halted machine changes, and looking would let it go on: only a wish may.
        if self.parts.machine.state().phase == MachinePhase::Paused && is_answered(&environment) {
            return Ok(Next::Sleep(None));
        }
        self.parts.secrets.settled().await;
        let observation = observe::observe(&self.parts, &environment, &mut self.memory).await?;
        self.parts.files.set(&self.id, observation.seen_folders.clone());
        self.parts.grants.saw(&observation.seen_folders);
        self.parts.grants.set(&self.id, grant_place(&observation));
        let decision = decide(&environment, &observation);
        self.keep_failure(None, &observation, &decision);
        *self.bell.known.lock().unwrap_or_else(PoisonError::into_inner) = self.memory.clone();
        let first = decision.plan.steps.first().map(|planned| planned.step);
        let due = first.filter(|_| decision.wait_until.is_none());
        self.drop_caller_variables(&environment, &observation, &decision);
        let status = status_of(&environment, &observation, &decision, &self.memory, due);
        self.parts.store.write_status(&self.id, status)?;
        let Some(step) = due else {
            let again = self.memory.untold.as_ref().map(|untold| untold.again);
            let again = again.filter(|at| *at > Timestamp::now());
            return Ok(Next::Sleep(decision.wait_until.into_iter().chain(again).min()));
        };
        if self.take(&environment, &observation, step).await {
            self.keep_failure(Some(step), &observation, &decision);
        }
        Ok(Next::Again)
    }

    /// The variables of who asked serve `initializeCommand` alone: once it is behind, or will not run, they go.
    fn drop_caller_variables(&self, environment: &Environment, seen: &Observation, decision: &Decision) {
        let is_decided = seen.facts.config.is_some() && decision.plan.blocked.is_none();
        let is_ahead = decision.plan.steps.iter().any(|planned| planned.step == StepKind::Initialize);
        if is_decided && !is_ahead {
            self.parts.callers.forget(&environment.spec.retry);
        }
    }

    /// Forgets the last failure once it is overcome.
    fn keep_failure(&mut self, succeeded: Option<StepKind>, observation: &Observation, decision: &Decision) {
        let machine = observation.facts.machine;
        self.memory.failure =
            self.memory.failure.take().filter(|failure| failure.counts(succeeded, machine, decision));
    }

    /// Takes a step, unless a change of the spec makes it pointless while it runs. Whether it ended well.
    async fn take(&mut self, environment: &Environment, observation: &Observation, step: StepKind) -> bool {
        // Secrets that cannot be read reach nobody who could tell them.
        let secrets = self.parts.secrets_of(environment).unwrap_or_default();
        let masks = secrets.masks();
        let report = Report::new(self.parts.store.clone(), &self.id, step, masks.clone());
        report.emit(EventKind::StepStarted { step, detail: self.detail(environment, step) });
        let begun = Instant::now();
        let (parts, bell, id) = (self.parts.clone(), Arc::clone(&self.bell), self.id.clone());
        let mut turn =
            Turn { parts: &parts, environment, observation, memory: &mut self.memory, report: &report };
        let outcome = tokio::select! {
            outcome = execute::execute(step, &mut turn) => Some(outcome),
            () = superseded(&parts, &bell, &id, environment, observation, step) => None,
        };
        let millis = begun.elapsed().as_millis() as u64;
        match outcome {
            Some(Ok(())) => {
                report.emit(EventKind::StepFinished { step, millis });
                self.memory.overcome(step);
                return true;
            }
            Some(Err(problem)) => self.failed(environment, step, masks::problem(&masks, problem), &report),
            None => {
                report.line("interrupted: something else is wanted now");
                report.emit(EventKind::StepFinished { step, millis });
            }
        }
        false
    }

    /// On what a step works, for people.
    fn detail(&self, environment: &Environment, step: StepKind) -> String {
        match step {
            StepKind::RunHook(stage) if self.memory.failed_hook == Some(stage) => {
                format!("{} failed before; running it again from there", stage.property())
            }
            _ => environment.metadata.name.to_string(),
        }
    }

    fn failed(&mut self, environment: &Environment, step: StepKind, problem: Problem, report: &Report) {
        let before = self.memory.failure.take().filter(|failure| failure.step == step);
        let now = Timestamp::now();
        let failure = Failure {
            step,
            problem: problem.clone(),
            attempts: before.map_or(0, |failure| failure.attempts) + 1,
            at: now,
            retry: environment.spec.retry.clone(),
            generation: environment.metadata.generation,
        };
        let verdict = failure.verdict(&environment.spec.retry, environment.metadata.generation, now);
        tracing::warn!(environment = %environment.metadata.name, ?step, %problem, ?verdict, "a step failed");
        report.emit(match verdict {
            Verdict::GiveUp => EventKind::StepFailed { step, problem },
            Verdict::TryNow | Verdict::Wait { .. } => {
                EventKind::Warning { problem: problem.with_hint("it is tried again by itself") }
            }
        });
        self.memory.note_failure(failure);
    }
}

/// Where what is granted can be used: in the container as it runs, once it is known who works there.
fn grant_place(observation: &Observation) -> Option<GrantPlace> {
    let (state, resolved) = (observation.state.as_ref()?, observation.resolved.as_ref());
    let run = observe::run_of(state)?;
    let user = resolved.map_or(state.user.as_str(), |resolved| resolved.effective_user(&state.user));
    Some(GrantPlace { container: state.id.clone(), run, user: user.to_owned() })
}

fn decide(environment: &Environment, observation: &Observation) -> Decision {
    reconciler::plan(&environment.spec, environment.metadata.generation, &observation.facts, Timestamp::now())
}

/// Ends when the spec has changed so that the running step is no longer the first one.
async fn superseded(
    parts: &Parts,
    bell: &Bell,
    id: &EnvironmentId,
    environment: &Environment,
    observation: &Observation,
    step: StepKind,
) {
    loop {
        bell.notify.notified().await;
        let Ok(Some(now)) = parts.store.environment(id) else { return };
        if now.spec == environment.spec {
            continue;
        }
        let plan = decide(&now, observation).plan;
        // Asked for again, its turn comes for `initializeCommand` once more: that can wait until the step has ended.
        let mut steps = plan.steps.iter().map(|planned| planned.step);
        let first = steps.find(|&first| first == step || first != StepKind::Initialize);
        if first != Some(step) {
            // The pass that follows sees the change; this keeps it from sleeping over it.
            bell.notify.notify_one();
            return;
        }
    }
}

/// The status people see.
fn status_of(
    environment: &Environment,
    observation: &Observation,
    decision: &Decision,
    memory: &Memory,
    step: Option<StepKind>,
) -> EnvironmentStatus {
    let before = &environment.status;
    let phase = reconciler::phase_of(&environment.spec, &observation.facts, decision);
    let config = memory.reading.as_ref().map(|reading| &reading.config);
    // Who rests has the problem it came to rest with.
    let rests = observation.facts.rests() && environment.spec.desired_phase == DesiredPhase::Running;
    let problem = decision.plan.blocked.clone().or_else(|| before.problem.clone().filter(|_| rests));
    let is_there = matches!(observation.facts.container, ContainerFacts::Present { .. });
    let unseen = observation.facts.container == ContainerFacts::Unseen;
    let mut warnings =
        observation.facts.config.as_ref().map_or_else(Vec::new, |config| config.warnings.clone());
    warnings.extend(memory.dotfiles.iter().filter(|_| is_there).map(|failed| failed.problem.clone()));
    warnings.extend(observation.port_problems.clone());
    warnings.extend(observation.unpublished.clone());
    if let Hearing::Not(problem) = &observation.hearing {
        warnings.push((**problem).clone());
    }
    warnings.extend(observation.automations.warnings.clone());
    warnings.extend(observation.secrets.warnings.clone());
    let mut status = EnvironmentStatus {
        phase: next_phase(before.phase, phase),
        observed_generation: environment.metadata.generation,
        step,
        problem: problem.clone(),
        retry: environment.spec.retry.clone(),
        rebuild: match &observation.facts.container {
            ContainerFacts::Present { rebuild, .. } => rebuild.clone(),
            ContainerFacts::Absent | ContainerFacts::Foreign | ContainerFacts::Unseen => {
                before.rebuild.clone()
            }
        },
        conditions: Vec::new(),
        warnings,
        title: config.map_or_else(|| before.title.clone(), |config| config.name.clone()),
        config_file: config.map_or_else(|| before.config_file.clone(), |config| config.file.clone()),
        container: observation.container.clone().or_else(|| kept(before).filter(|_| unseen)),
        services: observation.services.clone(),
        hooks: observation.hooks.clone(),
        ports: observation.ports.clone(),
        automations: observation.automations.status.clone(),
        activity: None,
        limits: None,
        secrets: observation.secrets.status.clone(),
        // Kept for good: what ran once may have left something in a machine that is off.
        started_at: observation.started_at.or(before.started_at),
    };
    let all_ports = all_open(&observation.port_problems);
    status.conditions = conditions(environment, observation, decision, problem.as_ref(), all_ports);
    status
}

/// The phase that follows. What once ran is not created but made anew.
fn next_phase(before: Phase, next: Phase) -> Phase {
    match next {
        next if before.can_become(next) => next,
        Phase::Creating if before.can_become(Phase::Updating) => Phase::Updating,
        _ => before,
    }
}

/// The container as it was seen last, while the machine is down and nothing can be seen.
fn kept(before: &EnvironmentStatus) -> Option<api::ContainerStatus> {
    before.container.clone().map(|container| api::ContainerStatus { running: false, ..container })
}

fn conditions(
    environment: &Environment,
    observation: &Observation,
    decision: &Decision,
    problem: Option<&Problem>,
    all_ports: bool,
) -> Vec<Condition> {
    let facts = &observation.facts;
    let running = matches!(facts.container, ContainerFacts::Present { run: Some(_), .. });
    let pending = |step: fn(StepKind) -> bool| decision.plan.steps.iter().any(|planned| step(planned.step));
    let mut warnings = facts.config.iter().flat_map(|config| &config.warnings);
    let in_sync = warnings.all(|warning| warning.code != ProblemCode::ConfigChanged);
    let facts = [
        (ConditionKind::Ready, running && decision.plan.steps.is_empty() && problem.is_none()),
        (ConditionKind::Usable, reconciler::is_usable(facts)),
        (ConditionKind::ConfigRead, facts.config.is_some()),
        (ConditionKind::ConfigInSync, in_sync),
        (
            ConditionKind::HooksDone,
            running
                && problem.is_none()
                && !facts.dotfiles_failed
                && !pending(|step| matches!(step, StepKind::RunHook(_))),
        ),
        (
            ConditionKind::PortsForwarded,
            facts.ports_in_place && all_ports && observation.unpublished.is_empty(),
        ),
        (ConditionKind::FilesFollowed, running && observation.hearing == Hearing::All),
        (
            ConditionKind::SecretsInSync,
            running && facts.secrets.is_none() && observation.secrets.warnings.is_empty(),
        ),
        (ConditionKind::AutomationsWell, observation.automations.is_well),
    ];
    facts
        .into_iter()
        .map(|(kind, holds)| {
            let before = environment.status.conditions.iter().find(|condition| condition.kind == kind);
            let since = before
                .filter(|condition| condition.holds == holds)
                .map_or_else(Timestamp::now, |same| same.since);
            let failed = observation.automations.status.items.iter().find_map(|item| item.problem.as_ref());
            let problem = match kind {
                ConditionKind::Ready => problem,
                ConditionKind::SecretsInSync => observation.secrets.warnings.first(),
                ConditionKind::AutomationsWell => failed.or(observation.automations.warnings.first()),
                _ => None,
            };
            let problem = problem.filter(|_| !holds).cloned();
            Condition { kind, holds, since, problem }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_once_ran_is_made_anew_and_not_created() {
        assert_eq!(next_phase(Phase::Creating, Phase::Creating), Phase::Creating);
        // Somebody removed the container, or the first try had failed: "running" or "stopped" would be untrue.
        assert_eq!(next_phase(Phase::Running, Phase::Creating), Phase::Updating);
        assert_eq!(next_phase(Phase::Stopped, Phase::Creating), Phase::Updating);
        assert_eq!(next_phase(Phase::Deleting, Phase::Running), Phase::Deleting);
    }
}
