//! One environment's task.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use api::{
    Condition, ConditionKind, Environment, EnvironmentId, EnvironmentStatus, EventKind, Problem, StepKind,
};
use jiff::Timestamp;
use reconciler::{ContainerFacts, Decision, Failure, Verdict};

use super::{Bell, Memory, Parts, Report};
use crate::execute::{self, Turn};
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
        loop {
            if self.bell.asked.swap(false, Ordering::AcqRel) {
                self.memory.config = None;
                self.memory.image = None;
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
        let Some(environment) = self.parts.store.environment(&self.id)? else { return Ok(Next::Gone) };
        let observation = observe::observe(&self.parts, &environment, &mut self.memory).await?;
        let decision = decide(&environment, &observation);
        self.parts
            .store
            .write_status(&self.id, status_of(&environment, &observation, &decision, &self.memory, None))?;
        let Some(first) = decision.plan.steps.first().map(|planned| planned.step) else {
            return Ok(Next::Sleep(None));
        };
        if let Some(until) = decision.wait_until {
            return Ok(Next::Sleep(Some(until)));
        }
        let status = status_of(&environment, &observation, &decision, &self.memory, Some(first));
        self.parts.store.write_status(&self.id, status)?;
        self.take(&environment, &observation, first).await;
        Ok(Next::Again)
    }

    /// Takes a step, unless a change of the spec makes it pointless while it runs.
    async fn take(&mut self, environment: &Environment, observation: &Observation, step: StepKind) {
        let report = Report::new(self.parts.store.clone(), &self.id, step);
        report.emit(EventKind::StepStarted { step, detail: environment.metadata.name.to_string() });
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
                self.memory.failure = None;
                report.emit(EventKind::StepFinished { step, millis });
            }
            Some(Err(problem)) => self.failed(environment, step, problem, &report),
            None => {
                report.line("interrupted: something else is wanted now");
                report.emit(EventKind::StepFinished { step, millis });
            }
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
        self.memory.failure = Some(failure);
    }
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
        let first = decide(&now, observation).plan.steps.first().map(|planned| planned.step);
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
    let config = memory.config.as_ref().map(|(_, config)| config);
    let problem = decision.plan.blocked.clone();
    let mut warnings =
        observation.facts.config.as_ref().map_or_else(Vec::new, |config| config.warnings.clone());
    warnings.extend(memory.ports.iter().flat_map(|ports| ports.warnings.clone()));
    let mut status = EnvironmentStatus {
        phase: if before.phase.can_become(phase) { phase } else { before.phase },
        observed_generation: environment.metadata.generation,
        step,
        problem: problem.clone(),
        retry: environment.spec.retry.clone(),
        rebuild: before.rebuild.clone(),
        conditions: Vec::new(),
        warnings,
        title: config.map_or_else(|| before.title.clone(), |config| config.name.clone()),
        config_file: config.map_or_else(|| before.config_file.clone(), |config| config.file.clone()),
        container: observation.container.clone().or_else(|| kept(before, observation)),
        services: observation.services.clone(),
        hooks: observation.hooks.clone(),
        ports: observation.ports.clone(),
        started_at: observation.started_at,
    };
    status.conditions = conditions(environment, observation, decision, problem.as_ref());
    status
}

/// The container as it was seen last, while the machine is down and nothing can be seen.
fn kept(before: &EnvironmentStatus, observation: &Observation) -> Option<api::ContainerStatus> {
    let unseen = observation.facts.container == ContainerFacts::Unseen;
    before
        .container
        .clone()
        .filter(|_| unseen)
        .map(|container| api::ContainerStatus { running: false, ..container })
}

fn conditions(
    environment: &Environment,
    observation: &Observation,
    decision: &Decision,
    problem: Option<&Problem>,
) -> Vec<Condition> {
    let facts = &observation.facts;
    let running = matches!(facts.container, ContainerFacts::Present { run: Some(_), .. });
    let pending = |step: fn(StepKind) -> bool| decision.plan.steps.iter().any(|planned| step(planned.step));
    let in_sync = match (&facts.container, &facts.config) {
        (ContainerFacts::Present { digest, .. }, Some(config)) => *digest == config.digest,
        _ => true,
    };
    let facts = [
        (ConditionKind::Ready, running && decision.plan.steps.is_empty() && problem.is_none()),
        (ConditionKind::ConfigRead, facts.config.is_some()),
        (ConditionKind::ConfigInSync, in_sync),
        (
            ConditionKind::HooksDone,
            running && problem.is_none() && !pending(|step| matches!(step, StepKind::RunHook(_))),
        ),
        (ConditionKind::PortsForwarded, facts.ports_in_place),
    ];
    facts
        .into_iter()
        .map(|(kind, holds)| {
            let before = environment.status.conditions.iter().find(|condition| condition.kind == kind);
            let since = before
                .filter(|condition| condition.holds == holds)
                .map_or_else(Timestamp::now, |same| same.since);
            let problem = problem.filter(|_| !holds && kind == ConditionKind::Ready).cloned();
            Condition { kind, holds, since, problem }
        })
        .collect()
}
