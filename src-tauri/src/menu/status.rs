//! The icon, and the line that says what it means.

use api::{Environment, MachinePhase, Phase, Problem};

use crate::snapshot::{Daemon, Snapshot};

/// What the icon says at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// Nothing runs.
    Stopped,
    /// Something is on its way up.
    Starting,
    /// Something runs.
    Running,
    /// Something waits for a person.
    Attention,
}

/// What matters most comes first: a problem, then work under way, then what runs.
pub(super) fn status(known: &Snapshot) -> (Face, String) {
    match &known.daemon {
        Daemon::Starting => (Face::Starting, "Cove is starting…".to_owned()),
        Daemon::Ended => (Face::Stopped, "Stopped: the daemon was ended".to_owned()),
        Daemon::Failed(problem) => (Face::Attention, attention(problem)),
        Daemon::Answers => of_environments(known),
    }
}

/// What keeps an environment from what is wanted, unless it is being tried again this moment.
pub(super) fn standing_problem(environment: &Environment) -> Option<&Problem> {
    environment.status.problem.as_ref().filter(|_| environment.status.step.is_none())
}

fn of_environments(known: &Snapshot) -> (Face, String) {
    let machine = known.machine.as_ref().map(|reading| &reading.machine.status);
    let phase = machine.map(|status| status.phase).unwrap_or_default();
    let of_environments = || known.environments.iter().filter_map(standing_problem);
    // A machine that does not start is also what its environments complain of.
    let of_machine = machine.and_then(|status| status.problem.as_ref());
    if let Some(problem) = of_machine {
        return (Face::Attention, attention(problem));
    }
    match (of_environments().next(), of_environments().count()) {
        (Some(problem), 1) => return (Face::Attention, attention(problem)),
        (Some(_), count) => {
            return (Face::Attention, format!("Attention: {count} environments have problems"));
        }
        (None, _) => {}
    }
    match phase {
        MachinePhase::Starting => return (Face::Starting, "Machine is starting…".to_owned()),
        MachinePhase::Stopping => return (Face::Running, "Machine is stopping…".to_owned()),
        // Everything in it is halted too, whatever was last seen of that.
        MachinePhase::Paused => return (Face::Stopped, "Machine is paused".to_owned()),
        MachinePhase::Stopped | MachinePhase::Running => {}
    }
    let in_phase = |phases: &[Phase]| -> Vec<&Environment> {
        known.environments.iter().filter(|each| phases.contains(&each.status.phase)).collect()
    };
    let rising = in_phase(&[Phase::Creating, Phase::Starting, Phase::Updating]);
    let rising: Vec<_> =
        rising.into_iter().filter(|each| each.spec.desired_phase == api::DesiredPhase::Running).collect();
    match rising.as_slice() {
        [] => {}
        [one] => return (Face::Starting, format!("{} is starting…", one.metadata.name)),
        more => return (Face::Starting, format!("{} environments are starting…", more.len())),
    }
    match (in_phase(&[Phase::Running]).len(), phase) {
        (0, MachinePhase::Running) => (Face::Running, "Running — no environments".to_owned()),
        (0, _) => (Face::Stopped, "Stopped".to_owned()),
        (1, _) => (Face::Running, "Running — 1 environment".to_owned()),
        (count, _) => (Face::Running, format!("Running — {count} environments")),
    }
}

fn attention(problem: &Problem) -> String {
    format!("Attention: {}", problem.title)
}
