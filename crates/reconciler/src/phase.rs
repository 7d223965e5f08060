//! The phase people see, from what is wanted and what is there.

use api::{DesiredPhase, EnvironmentSpec, HookStage, Phase};

use crate::{ContainerFacts, Decision, Observed};

/// The phase of an environment whose next steps were decided as given.
pub fn phase_of(spec: &EnvironmentSpec, observed: &Observed, decision: &Decision) -> Phase {
    if spec.desired_phase == DesiredPhase::Running && observed.rests() {
        return Phase::Stopped;
    }
    let running = matches!(&observed.container, ContainerFacts::Present { run: Some(_), .. });
    let done = decision.plan.steps.is_empty() && decision.plan.blocked.is_none();
    match spec.desired_phase {
        DesiredPhase::Deleted if done => Phase::Deleted,
        DesiredPhase::Deleted => Phase::Deleting,
        DesiredPhase::Stopped if running && observed.left_alone => Phase::Running,
        DesiredPhase::Stopped if observed.is_active() && !observed.left_alone => Phase::Stopping,
        DesiredPhase::Stopped => Phase::Stopped,
        // With a failed hook the container is up and can be used: that is running, with a problem.
        DesiredPhase::Running if running && (done || decision.plan.blocked.is_some()) => Phase::Running,
        DesiredPhase::Running if decision.plan.blocked.is_some() => Phase::Stopped,
        DesiredPhase::Running => match &observed.container {
            ContainerFacts::Present { rebuild, .. } if *rebuild != spec.rebuild => Phase::Updating,
            ContainerFacts::Present { .. } | ContainerFacts::Unseen => Phase::Starting,
            ContainerFacts::Absent | ContainerFacts::Foreign => Phase::Creating,
        },
    }
}

/// Whether an environment can be worked in: its container runs, and every hook up to the one that its configuration
/// waits for ended well. Dotfiles are none of the configuration's.
pub fn is_usable(observed: &Observed) -> bool {
    let (ContainerFacts::Present { id, run: Some(run), .. }, Some(config)) =
        (&observed.container, &observed.config)
    else {
        return false;
    };
    let waited_for = |stage: &HookStage| {
        !matches!(stage, HookStage::Initialize | HookStage::Dotfiles) && *stage <= config.wait_for
    };
    config
        .hooks
        .iter()
        .copied()
        .filter(|stage| waited_for(stage))
        .all(|stage| observed.has_run(stage, if stage.once_per_container() { id } else { run }))
}
