//! The decision: which steps lead from what is there to what is wanted.

use api::{
    Consent, DesiredPhase, EnvironmentSpec, HookStage, Plan, PlannedStep, Problem, ProblemCode, StepKind,
    Unasked,
};
use jiff::Timestamp;

use crate::observed::{ConfigFacts, LeftServices};
use crate::{ContainerFacts, MachineFacts, Observed, SourceFacts, TaskFacts, Trust, Verdict};

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Everything left to do as far as it can be seen, first step first.
    pub plan: Plan,
    /// The first step waits until then: it failed, and is tried again.
    pub wait_until: Option<Timestamp>,
}

/// Decides what to do for an environment with this spec, of this generation, seen like this, at this time.
pub fn plan(spec: &EnvironmentSpec, generation: u64, observed: &Observed, now: Timestamp) -> Decision {
    let mut steps = Steps::default();
    match spec.desired_phase {
        DesiredPhase::Running => steps.towards_running(spec, observed),
        DesiredPhase::Stopped => steps.towards_stopped(observed),
        DesiredPhase::Deleted => steps.towards_deleted(observed),
    }
    let mut decision =
        Decision { plan: Plan { steps: steps.planned, blocked: steps.blocked }, wait_until: None };
    let first = decision.plan.steps.first().map(|planned| planned.step);
    if let (Some(first), Some(failure)) = (first, &observed.failure)
        && failure.step == first
    {
        match failure.verdict(&spec.retry, generation, now) {
            Verdict::TryNow => {}
            Verdict::Wait { until } => decision.wait_until = Some(until),
            Verdict::GiveUp => {
                decision.plan = Plan { steps: Vec::new(), blocked: Some(failure.problem.clone()) };
            }
        }
    }
    decision
}

#[derive(Default)]
struct Steps {
    planned: Vec<PlannedStep>,
    /// Why nothing can be done until a person asks again.
    blocked: Option<Problem>,
}

impl Steps {
    fn add(&mut self, step: StepKind, reason: impl Into<String>) {
        self.planned.push(PlannedStep { step, reason: reason.into() });
    }

    fn towards_running(&mut self, spec: &EnvironmentSpec, observed: &Observed) {
        if observed.rests() {
            return;
        }
        if observed.sources == SourceFacts::Nowhere {
            self.add(StepKind::CloneRepository, "the repository was not cloned yet");
            return;
        }
        // Reading comes before the machine: a mistake in the file is told at once, not after a boot.
        let Some(config) = &observed.config else {
            self.add(StepKind::ReadConfig, "the configuration was not read yet");
            return;
        };
        if let Some(problem) = &observed.ended {
            if observed.any_port_open {
                self.add(StepKind::ClosePorts, "the container they lead to has ended");
            } else {
                self.blocked = Some((**problem).clone());
            }
            return;
        }
        // Asked before anything is done for it, and again when an image turns out to want more.
        let open = config.open_consents(makes_container(spec, observed));
        if spec.unasked == Unasked::Wait && !open.is_empty() {
            self.blocked = Some(consent_needed(open));
            return;
        }
        self.initialize(spec, observed, config);
        match observed.machine {
            MachineFacts::Off => self.add(StepKind::StartMachine, "the machine is off"),
            MachineFacts::Unready => self.add(StepKind::StartMachine, "the machine is not ready yet"),
            MachineFacts::Ready => {}
        }
        let run = self.container(spec, observed, config);
        if spec.prebuild.is_some() {
            self.towards_prebuild(observed, config, run.as_ref());
            return;
        }
        // Ports come before hooks: a hook that fails leaves an environment that can be reached and looked at.
        if run.is_none() || !observed.ports_in_place {
            self.add(StepKind::ForwardPorts, "wanted ports are not open on this computer");
        }
        if let Some(reason) = &observed.secrets {
            self.add(StepKind::PlaceSecrets, reason.clone());
        }
        self.hooks(observed, config, run.as_ref());
    }

    /// `initializeCommand` runs once for each time the environment is asked for, before anything is built.
    fn initialize(&mut self, spec: &EnvironmentSpec, observed: &Observed, config: &ConfigFacts) {
        let trusted = config.initialize.as_ref().is_some_and(|initialize| initialize.trust == Trust::Given);
        if trusted && !observed.has_run(HookStage::Initialize, &spec.retry.0) {
            self.add(StepKind::Initialize, "the configuration has one, and it is trusted");
        }
    }

    /// Plans the container; the run that hooks can count on, when nothing has to change for it.
    fn container<'a>(
        &mut self,
        spec: &EnvironmentSpec,
        observed: &'a Observed,
        config: &ConfigFacts,
    ) -> Option<Present<'a>> {
        let prepared = observed
            .image_prepared_for
            .as_ref()
            .is_some_and(|(digest, session)| *digest == config.digest && *session == spec.rebuild);
        let create = |steps: &mut Self, reason: &str| {
            if !prepared {
                steps.add(StepKind::PrepareImage, reason);
            }
            steps.fill_volume(observed);
            steps.add(StepKind::CreateContainer, reason);
            steps.add(StepKind::StartContainer, "a new container does not run yet");
        };
        match &observed.container {
            // Whether there is one shows once the machine is up; until then this is the likeliest course.
            ContainerFacts::Unseen => {
                self.add(StepKind::StartContainer, "the machine was off");
                None
            }
            ContainerFacts::Absent => {
                match &observed.prebuild {
                    Some(image) => create(
                        self,
                        &format!("there is no container yet; it begins from the prebuild `{image}`"),
                    ),
                    None => create(self, "there is no container yet"),
                }
                None
            }
            ContainerFacts::Foreign => {
                self.add(StepKind::AdoptContainer, "another tool made one for this folder and configuration");
                None
            }
            // The image is made before the old container goes: a build that fails leaves it as it is.
            ContainerFacts::Present { rebuild, .. } if *rebuild != spec.rebuild => {
                if !prepared {
                    self.add(StepKind::PrepareImage, "a rebuild was asked for");
                }
                self.fill_volume(observed);
                self.add(StepKind::RemoveContainer, "a rebuild was asked for");
                self.add(StepKind::CreateContainer, "a rebuild was asked for");
                self.add(StepKind::StartContainer, "a new container does not run yet");
                None
            }
            ContainerFacts::Present { id, run: Some(run), complete: true, .. } => Some(Present { id, run }),
            ContainerFacts::Present { .. } => {
                self.add(StepKind::StartContainer, "not all that belongs to it runs");
                None
            }
        }
    }

    /// Behind the image, which says who shall own the sources.
    fn fill_volume(&mut self, observed: &Observed) {
        if matches!(observed.sources, SourceFacts::Fetched | SourceFacts::Filling) {
            self.add(StepKind::FillVolume, "the clone is not on the machine's disk yet");
        }
    }

    fn hooks(&mut self, observed: &Observed, config: &ConfigFacts, present: Option<&Present<'_>>) {
        self.hooks_until(None, observed, config, present);
    }

    fn hooks_until(
        &mut self,
        last: Option<HookStage>,
        observed: &Observed,
        config: &ConfigFacts,
        present: Option<&Present<'_>>,
    ) {
        for stage in HookStage::ALL.into_iter().filter(|stage| last.is_none_or(|last| *stage <= last)) {
            // Before the hook that belongs to a person who comes, not to the environment.
            if stage == HookStage::PostAttach {
                self.automations(observed);
            }
            if stage == HookStage::Initialize || !config.hooks.contains(&stage) {
                continue;
            }
            let done = match (present, &observed.container) {
                (Some(_), _) if stage == HookStage::Dotfiles && observed.dotfiles_failed => true,
                (Some(present), _) if stage.once_per_container() => observed.has_run(stage, present.id),
                (Some(present), _) => observed.has_run(stage, present.run),
                // Who made it ran those that run once.
                (None, ContainerFacts::Foreign) => stage.once_per_container(),
                (None, ContainerFacts::Present { id, .. }) if self.keeps_container() => {
                    stage.once_per_container() && observed.has_run(stage, id)
                }
                (None, _) => false,
            };
            if !done {
                self.add(StepKind::RunHook(stage), format!("{} did not end well yet", stage.property()));
            }
        }
    }

    /// As far as `updateContentCommand`, then the tasks, then the image. Nobody works in it, so no ports are opened.
    fn towards_prebuild(&mut self, observed: &Observed, config: &ConfigFacts, run: Option<&Present<'_>>) {
        self.hooks_until(Some(HookStage::UpdateContent), observed, config, run);
        self.automations(observed);
        match &observed.prebuild_tasks {
            TaskFacts::Pending if run.is_some() && self.planned.is_empty() => {}
            TaskFacts::Failed(problem) if run.is_some() && self.planned.is_empty() => {
                self.blocked = Some((**problem).clone());
            }
            TaskFacts::Done | TaskFacts::Pending | TaskFacts::Failed(_) => {
                self.add(StepKind::CommitImage, "that is what it is for");
            }
        }
    }

    fn automations(&mut self, observed: &Observed) {
        if let Some(reason) = &observed.automations {
            self.add(StepKind::RunAutomations, reason.clone());
        }
    }

    fn keeps_container(&self) -> bool {
        !self.planned.iter().any(|planned| planned.step == StepKind::CreateContainer)
    }

    fn towards_stopped(&mut self, observed: &Observed) {
        if observed.any_port_open {
            self.add(StepKind::ClosePorts, "a stopped environment holds no ports");
        }
        // Also when only others of its containers run: a database without its application.
        if observed.is_active() && !observed.left_alone {
            self.add(StepKind::StopContainer, "it shall be stopped");
        }
    }

    fn towards_deleted(&mut self, observed: &Observed) {
        if observed.any_port_open {
            self.add(StepKind::ClosePorts, "it shall be deleted");
        }
        match &observed.container {
            ContainerFacts::Unseen => {
                self.add(StepKind::StartMachine, "its container is on the machine's disk");
                self.add(StepKind::RemoveContainer, "it shall be deleted");
            }
            ContainerFacts::Present { .. } => self.add(StepKind::RemoveContainer, "it shall be deleted"),
            ContainerFacts::Absent if observed.left != LeftServices::None => {
                self.add(StepKind::RemoveContainer, "other services of it are there");
            }
            // Forgetting takes the volume along, which only an engine can do.
            ContainerFacts::Absent | ContainerFacts::Foreign
                if matches!(observed.sources, SourceFacts::Filling | SourceFacts::InVolume)
                    && observed.machine != MachineFacts::Ready =>
            {
                self.add(StepKind::StartMachine, "its sources are on the machine's disk");
            }
            // What was never taken over is not ours to remove.
            ContainerFacts::Absent | ContainerFacts::Foreign => {}
        }
        self.add(StepKind::Forget, "nothing of it is left in the machine");
    }
}

/// Whether a container is to be made, as far as it can be seen.
fn makes_container(spec: &EnvironmentSpec, observed: &Observed) -> bool {
    match &observed.container {
        ContainerFacts::Absent => true,
        ContainerFacts::Present { rebuild, .. } => *rebuild != spec.rebuild,
        ContainerFacts::Foreign | ContainerFacts::Unseen => false,
    }
}

fn consent_needed(open: Vec<Consent>) -> Problem {
    let title = "the configuration wants things of this computer that nobody agreed to";
    Problem::new(ProblemCode::ConsentNeeded, title)
        .asking_consent(open)
        .with_command("agree to them as they are now", "cove up --trust")
        .with_command("or come up without them", "cove up")
}

/// A container that runs and stays.
struct Present<'a> {
    id: &'a str,
    run: &'a str,
}

impl Observed {
    /// Whether anything of the environment runs.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.container, ContainerFacts::Present { active: true, .. })
            || self.left == LeftServices::Running
    }

    pub(crate) fn has_run(&self, stage: HookStage, subject: &str) -> bool {
        self.hooks.iter().any(|record| record.stage == stage && record.subject == subject)
    }
}
