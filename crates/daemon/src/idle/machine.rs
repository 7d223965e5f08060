//! The machine: what uses it, its stop, and what is scarce in it.

use std::time::Duration;

use api::{
    DEFAULT_MACHINE, DesiredPhase, Environment, EventKind, MachinePhase, ObjectReference, Phase, Problem,
    ProblemCode, UseKind,
};
use protocol::agent::{Metrics, Pressure};
use tokio::time::{Instant, timeout};

use super::judge::{self, Counters, Seen, Verdict, use_of};
use super::{Looked, Used, clock};
use crate::reconcile::Parts;

const PATIENCE: Duration = Duration::from_secs(20);

/// From this share of five minutes on something is scarce, in hundredths of a percent; below half of it no more.
/// Builds wait for processors: that is what they are for, and it is not told.
const SCARCE: (u32, u32) = (2_000, 6_000);

/// What is known of its use without asking anybody.
pub(super) fn at_hand(parts: &Parts) -> Seen {
    let (open, ended) = parts.machine.uses().of(|used| *used == Used::Machine);
    let count = parts.ports.running_containers();
    let words = if count == 1 { "one".to_owned() } else { count.to_string() };
    let containers = (count > 0).then(|| use_of(UseKind::Containers, words));
    Seen { now: Instant::now(), open, ended, also: containers.into_iter().collect() }
}

/// Looks at it, and stops it when it is due. Its limit, if it has one and runs.
pub(super) async fn look(parts: &Parts, environments: &[Environment]) -> Option<Duration> {
    let state = parts.machine.state();
    if !state.is_ready() {
        parts.idle.lock().machine = None;
        return None;
    }
    let spec = parts.store.machine().ok()?.spec;
    let asked = async { parts.machine.agent().ok()?.metrics().await.ok() };
    let Ok(Some(metrics)) = timeout(PATIENCE, asked).await else { return None };
    parts.machine.set_pressure_warnings(|before| scarce(metrics.pressure.unwrap_or_default(), before));
    // Who keeps it running says so, and who never stops it too.
    let Some(limit) = spec.idle.limit().filter(|_| !spec.keep_running) else {
        parts.idle.lock().machine = None;
        return None;
    };
    let before = parts.idle.lock().machine.clone().unwrap_or_default();
    let mut seen = with_work(at_hand(parts), environments);
    let counters = counters(&metrics);
    if let Some((at, earlier)) = before.counters {
        seen.also.extend(judge::load(earlier, counters, seen.now.saturating_duration_since(at)));
    }
    let judgement = judge::judge(limit, &seen, before.past);
    let looked = Looked { past: Some(judgement.past), counters: Some((seen.now, counters)), also: seen.also };
    parts.idle.lock().machine = Some(looked);
    match judgement.verdict {
        Verdict::Used | Verdict::Idle(_) => {}
        Verdict::Warn(left) => tell(parts, format!("the machine is not used, and stops at {}", clock(left))),
        Verdict::Stop => {
            // The look began before the environments were asked: somebody may have begun, or come and gone.
            let Ok(environments) = parts.store.environments() else { return Some(limit) };
            let again = with_work(at_hand(parts), &environments);
            let again = judge::judge(limit, &again, Some(judgement.past));
            if again.verdict == Verdict::Stop {
                stop(parts, &format!("the machine stops: nobody used it for {}", spec.idle)).await;
            } else if let Some(looked) = &mut parts.idle.lock().machine {
                looked.past = Some(again.past);
            }
        }
    }
    Some(limit)
}

/// With what is done for environments.
fn with_work(mut seen: Seen, environments: &[Environment]) -> Seen {
    let under_way = environments.iter().filter(|environment| is_under_way(environment));
    seen.also.extend(under_way.map(|it| use_of(UseKind::Work, it.metadata.name.to_string())));
    seen
}

/// Whether something is done for it, or it is on its way. One that ended by itself, or failed, waits for a person.
fn is_under_way(environment: &Environment) -> bool {
    let status = &environment.status;
    let is_heard = status.observed_generation == environment.metadata.generation;
    let is_settled = status.step.is_none() && matches!(status.phase, Phase::Running | Phase::Stopped);
    let rests = environment.spec.desired_phase == DesiredPhase::Stopped && status.phase == Phase::Creating;
    !(is_heard && (is_settled || status.problem.is_some() || rests))
}

fn counters(metrics: &Metrics) -> Counters {
    Counters { processor: Duration::from_millis(metrics.busy_ms), disk: 0 }
}

fn tell(parts: &Parts, title: String) {
    let problem = Problem::new(ProblemCode::MachineStopsIdle, title)
        .with_command("let it run", "cove machine set --idle never");
    parts.store.emit(ObjectReference::machine(DEFAULT_MACHINE), EventKind::Warning { problem });
}

async fn stop(parts: &Parts, title: &str) {
    tracing::info!("{title}");
    tell(parts, title.to_owned());
    parts.machine.note_idle_stop();
    if let Err(problem) = parts.machine.stop().await {
        // It runs on, or its end is told by its shim; nobody waits for it.
        tracing::warn!(%problem, "the machine that nobody uses does not stop");
    }
    if parts.machine.state().phase == MachinePhase::Stopped {
        parts.idle.lock().machine = None;
    }
}

/// What a person should know of what is scarce, given what was told before.
fn scarce(pressure: Pressure, before: &[Problem]) -> Vec<Problem> {
    let rows = [
        (pressure.memory.five_minutes, SCARCE.0, "memory", ("give it more", "cove machine set --memory 8G")),
        (pressure.io.five_minutes, SCARCE.1, "its disk", ("see who uses it", "docker --context cove stats")),
    ];
    let told = rows.into_iter().filter_map(|(share, limit, what, (text, command))| {
        let title = format!("programs in the machine wait for {what}");
        let was_told = before.iter().any(|problem| problem.title == title);
        let is_scarce = share >= if was_told { limit / 2 } else { limit };
        is_scarce.then(|| Problem::new(ProblemCode::UnderPressure, title).with_command(text, command))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use protocol::agent::Stall;

    use super::*;

    #[test]
    fn what_is_scarce_for_minutes_is_told_until_it_is_well_past() {
        let memory = |five_minutes| Pressure {
            memory: Stall { minute: 0, five_minutes },
            cpu: Stall { minute: 10_000, five_minutes: 10_000 },
            ..Pressure::default()
        };
        assert_eq!(scarce(memory(1_999), &[]), [], "a build that keeps the processors busy is no news");
        let told = scarce(memory(2_000), &[]);
        assert_eq!(told[0].title, "programs in the machine wait for memory");
        assert_eq!(scarce(memory(1_000), &told), told);
        assert_eq!(scarce(memory(999), &told), []);
    }
}
