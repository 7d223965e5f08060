//! Environments: what uses them, and their stop.

use std::time::Duration;

use api::{
    DesiredPhase, Environment, EventKind, InUse, ObjectReference, Phase, Problem, ProblemCode, UseKind,
};
use engine::{Engine, ExecSpec};
use futures::StreamExt;
use jiff::Timestamp;
use protocol::inside::{KEPT_ALIVE, PROGRAM};
use provision::workplace::program_of;
use tokio::time::{Instant, timeout};

use super::judge::{self, Counters, Seen, Verdict, use_of};
use super::{Looked, Used, clock, key_of};
use crate::automations::sidecar;
use crate::reconcile::{Parts, Reconciler};

/// How long the engine, and a program in a container, may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether an environment can be used at all.
pub(super) fn runs(parts: &Parts, environment: &Environment) -> bool {
    let runs = environment.status.container.as_ref().is_some_and(|container| container.running);
    runs && environment.spec.desired_phase == DesiredPhase::Running && parts.machine.state().is_ready()
}

/// What is known of its use without asking anybody.
pub(super) fn at_hand(parts: &Parts, environment: &Environment) -> Seen {
    let containers = containers(environment);
    let (open, ended) = parts.machine.uses().of(|used| match used {
        Used::Environment(id) => *id == environment.id,
        Used::Container(id) => containers.contains(&id.as_str()),
        Used::Machine => false,
    });
    let status = &environment.status;
    let is_settled = status.step.is_none()
        && status.phase == Phase::Running
        && status.observed_generation == environment.metadata.generation;
    let step = status.step.map(|step| step.title().to_owned()).unwrap_or_default();
    let work = (!is_settled).then(|| use_of(UseKind::Work, step));
    let tasks = status.automations.items.iter().filter(|item| {
        item.name.starts_with("tasks/") && (item.phase.is_alive() || !item.phase.is_settled())
    });
    let tasks = tasks.map(|task| InUse { since: task.since, ..use_of(UseKind::Task, task.name.clone()) });
    Seen { now: Instant::now(), open, ended, also: work.into_iter().chain(tasks).collect() }
}

/// Its containers that run.
fn containers(environment: &Environment) -> Vec<&str> {
    let status = &environment.status;
    let main = status.container.iter().filter(|it| it.running).map(|it| it.id.as_str());
    let services = status.services.iter().filter(|it| it.running).map(|it| it.container.as_str());
    main.chain(services).collect()
}

/// Looks at one that has a limit, and stops it when it is due.
pub(super) async fn environment(reconciler: &Reconciler, environment: &Environment, limit: Duration) {
    let parts = reconciler.parts();
    if !runs(parts, environment) {
        // Halted or down is no time without use: it counts anew.
        parts.idle.lock().environments.remove(&key_of(environment));
        return;
    }
    let before = parts.idle.lock().environments.get(&key_of(environment)).cloned().unwrap_or_default();
    let mut seen = at_hand(parts, environment);
    let (also, counters) = asked(&parts.machine.engine(), environment, &seen, before.counters).await;
    seen.also.extend(also);
    if judge::uses(&seen).is_empty() {
        seen.also.extend(kept_alive(&parts.machine.engine(), environment).await);
    }
    let judgement = judge::judge(limit, &seen, before.past);
    let looked = Looked { past: Some(judgement.past), counters, also: seen.also };
    parts.idle.lock().environments.insert(key_of(environment), looked);
    match judgement.verdict {
        Verdict::Used | Verdict::Idle(_) => {}
        Verdict::Warn(left) => tell(parts, environment, announced(environment, left)),
        Verdict::Stop => {
            // Asking took a while: somebody may have begun, or come and gone.
            let again = judge::judge(limit, &at_hand(parts, environment), Some(judgement.past));
            if again.verdict == Verdict::Stop {
                return stop(reconciler, environment, seen.now.saturating_duration_since(again.past.used));
            }
            if let Some(looked) = parts.idle.lock().environments.get_mut(&key_of(environment)) {
                looked.past = Some(again.past);
            }
        }
    }
}

/// What the engine tells of its use, and the counters for the next time.
async fn asked(
    engine: &Engine,
    environment: &Environment,
    seen: &Seen,
    before: Option<(Instant, Counters)>,
) -> (Vec<InUse>, Option<(Instant, Counters)>) {
    let asking = async {
        let mut counters = Counters::default();
        let mut programs = Vec::new();
        let beside = engine.find_containers(&sidecar::labels_of(environment)).await?;
        let beside = beside.iter().filter(|it| it.running).map(|it| it.id.as_str());
        let mut all: Vec<&str> = containers(environment).into_iter().chain(beside).collect();
        all.sort_unstable();
        all.dedup();
        for container in all {
            let usage = engine.usage(container).await?;
            counters.processor += usage.processor;
            counters.disk = counters.disk.saturating_add(usage.disk);
            programs.extend(engine.running_execs(container).await?);
        }
        Ok::<_, engine::EngineError>((counters, programs))
    };
    let (counters, programs) = match timeout(PATIENCE, asking).await {
        Ok(Ok(answer)) => answer,
        // What cannot be seen is taken for used: one look later is early enough.
        failed => {
            tracing::debug!(?failed, environment = %environment.metadata.name, "its use was not told");
            return (vec![use_of(UseKind::Processor, "not known just now")], None);
        }
    };
    // Sessions are counted where they are carried. What else runs our own program is no session: links for automations
    // and grants, secrets on their way. The rest is somebody's `docker exec`, or an editor that came that way.
    let ours =
        seen.open.iter().filter(|open| matches!(open.what.kind, UseKind::Shell | UseKind::Command)).count();
    let others = programs.iter().filter(|argv| program_of(argv) != PROGRAM).count();
    let is_at_work = seen.also.iter().any(|it| it.kind == UseKind::Work);
    let foreign = (others > ours && !is_at_work).then(|| use_of(UseKind::Command, "by the Docker socket"));
    let load =
        before.map(|(at, before)| judge::load(before, counters, seen.now.saturating_duration_since(at)));
    (foreign.into_iter().chain(load.into_iter().flatten()).collect(), Some((seen.now, counters)))
}

/// Whether `cove-inside keep-alive` runs in one of the containers. It is a hold by being there.
async fn kept_alive(engine: &Engine, environment: &Environment) -> Option<InUse> {
    for container in containers(environment) {
        let hold = timeout(PATIENCE, asked_for_hold(engine, container)).await;
        let detail = match hold.ok().flatten() {
            Some(0) => "inside",
            // It says so, or is not there, or may not be run.
            Some(1 | 126 | 127) => continue,
            _ => "not known just now",
        };
        return Some(use_of(UseKind::KeepAlive, detail));
    }
    None
}

/// What the program that looks for holds ended with; `None` if it cannot be asked.
async fn asked_for_hold(engine: &Engine, container: &str) -> Option<i32> {
    let argv = [PROGRAM, KEPT_ALIVE].map(str::to_owned).to_vec();
    let spec = ExecSpec { argv, user: Some("0".to_owned()), ..ExecSpec::default() };
    let mut session = engine.exec(container, &spec).await.ok()?;
    while session.output.next().await.is_some() {}
    session.control.exit_code().await.ok()
}

fn announced(environment: &Environment, left: Duration) -> Problem {
    let name = &environment.metadata.name;
    let idle = environment.spec.idle;
    Problem::new(ProblemCode::StopsIdle, format!("`{name}` is not used, and stops at {}", clock(left)))
        .with_hint(format!("it stops after {idle} without use, and starts with the next"))
        .with_command("let it run", format!("cove up --idle never {}", environment.spec.source.folder()))
}

fn tell(parts: &Parts, environment: &Environment, problem: Problem) {
    parts.store.emit(ObjectReference::environment(&environment.id), EventKind::Warning { problem });
}

/// Wishes it stopped, unless somebody wished anything since it was looked at.
fn stop(reconciler: &Reconciler, environment: &Environment, idle: Duration) {
    let parts = reconciler.parts();
    let now = Timestamp::now();
    let since = idle.try_into().ok().and_then(|idle: jiff::SignedDuration| now.checked_sub(idle).ok());
    let version = Some(environment.metadata.resource_version);
    let stopped = parts.store.change_spec(&environment.id, version, |spec| {
        spec.desired_phase = DesiredPhase::Stopped;
        spec.idle_since = Some(since.unwrap_or(now));
    });
    if let Err(error) = stopped {
        return tracing::debug!(%error, "an environment was not stopped: it changed");
    }
    let name = &environment.metadata.name;
    tracing::info!(environment = %name, "stops: nobody uses it");
    let title = format!("`{name}` stops: nobody used it for {}", environment.spec.idle);
    tell(parts, environment, Problem::new(ProblemCode::StopsIdle, title));
    reconciler.wake(&environment.id);
}
