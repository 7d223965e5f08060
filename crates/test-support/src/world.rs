//! A world small enough to hold in a test: one environment, one machine, and steps that do what they say.
//!
//! It stands in for everything the daemon observes and does, so that the planner can be driven through whole
//! stories and through random faults, in memory.

use std::collections::BTreeMap;

use api::{
    Consent, ConsentKind, DesiredPhase, EnvironmentSpec, HookStage, Name, Phase, Problem, ProblemCode,
    Session, Source, StepKind, Unasked,
};
use jiff::{SignedDuration, Timestamp};
use reconciler::{
    ConfigFacts, ContainerFacts, Decision, Failure, HookRecord, InitializeFacts, LeftServices, MachineFacts,
    Observed, Properties, SourceFacts, TaskFacts, Trust,
};

use crate::FakeMachine;

/// One environment and all that concerns it.
pub struct World {
    /// What is wanted.
    pub spec: EnvironmentSpec,
    /// Its generation.
    pub generation: u64,
    /// The time.
    pub now: Timestamp,
    /// The machine, on a hypervisor in memory.
    pub machine: FakeMachine,
    /// The container on the machine's disk, seen or not.
    pub container: Option<Container>,
    /// What is there of its compose project without the main container.
    pub left: LeftServices,
    /// Where its sources are.
    pub sources: SourceFacts,
    /// Digest of the configuration as the files are now.
    pub config_digest: String,
    /// Hook stages the configuration has.
    pub config_hooks: Vec<HookStage>,
    /// The configuration, property by property, for stories of what changed.
    pub properties: Properties,
    /// Whether it has an `initializeCommand`, and how that stands.
    pub initialize: Option<Trust>,
    /// Targets of mounts from outside of the folder, and whether a person agreed to each.
    pub mounts: BTreeMap<String, bool>,
    /// The stage after which the environment can be worked in.
    pub wait_for: HookStage,
    /// A container that another tool made for the folder, and whether it runs.
    pub foreign: Option<bool>,
    /// Whether tasks and services are declared.
    pub automations: bool,
    /// Whether secrets are wanted as files.
    pub secrets: bool,
    /// Problems that the next run of a step meets, one each time.
    pub faults: BTreeMap<StepKind, Vec<ProblemCode>>,
    /// Hooks in the order they really ran, with what they ran for.
    pub ran: Vec<(HookStage, String)>,
    /// The container that a prebuild was made of.
    pub committed: Option<String>,
    /// Whether nothing of it is left.
    pub forgotten: bool,
    store_hooks: Vec<HookRecord>,
    memory: Memory,
    made: u32,
}

/// The container of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its present run.
    pub run: Option<String>,
    /// Configuration it was made from.
    pub digest: String,
    /// Rebuild session it was made for.
    pub rebuild: Session,
    /// The configuration it was made from, property by property.
    pub made_from: Properties,
    /// The mounts it has from outside of the folder.
    pub mounts: Vec<String>,
}

/// What the daemon only holds while it lives.
#[derive(Debug, Clone, Default)]
struct Memory {
    config_read_for: Option<u64>,
    image_prepared_for: Option<(String, Session)>,
    ports_open_for: Option<String>,
    automations_told_for: Option<String>,
    secrets_placed_for: Option<String>,
    failure: Option<Failure>,
    /// The container that ran last, and the generation it ran for.
    ran: Option<(String, u64)>,
    /// The generation that was answered before the daemon started.
    answered: Option<u64>,
    /// The generation for which it was seen down that shall be down.
    stopped_for: Option<u64>,
}

impl Default for World {
    fn default() -> Self {
        let spec = EnvironmentSpec {
            desired_phase: DesiredPhase::Stopped,
            source: Source::Folder { path: "/home/sam/web".into() },
            config: None,
            machine: Name::from_text(api::DEFAULT_MACHINE),
            rebuild: Session("build-1".into()),
            retry: Session("try-1".into()),
            consents: Vec::new(),
            unasked: Unasked::LeaveOut,
            dotfiles: None,
            prebuild: None,
            ports: Vec::new(),
            automations: BTreeMap::new(),
            grants: Vec::new(),
            idle: api::IdlePolicy::NEVER,
            idle_since: None,
        };
        Self {
            spec,
            generation: 1,
            now: Timestamp::UNIX_EPOCH,
            machine: FakeMachine::default(),
            container: None,
            left: LeftServices::None,
            sources: SourceFacts::Folder,
            config_digest: "config-1".into(),
            config_hooks: vec![HookStage::OnCreate, HookStage::PostCreate, HookStage::PostStart],
            properties: Properties::new(),
            initialize: None,
            mounts: BTreeMap::new(),
            wait_for: HookStage::UpdateContent,
            foreign: None,
            automations: false,
            secrets: false,
            faults: BTreeMap::new(),
            ran: Vec::new(),
            committed: None,
            forgotten: false,
            store_hooks: Vec::new(),
            memory: Memory::default(),
            made: 0,
        }
    }
}

impl World {
    /// What the daemon sees.
    pub fn observe(&self) -> Observed {
        let container = match (&self.container, self.machine.is_on()) {
            (None, true) if self.foreign.is_some() => ContainerFacts::Foreign,
            (None, true) => ContainerFacts::Absent,
            // The store remembers whether a container was ever made.
            (None, false) if self.made == 0 => ContainerFacts::Absent,
            (_, false) => ContainerFacts::Unseen,
            (Some(container), true) => ContainerFacts::Present {
                id: container.id.clone(),
                run: container.run.clone(),
                digest: container.digest.clone(),
                rebuild: container.rebuild.clone(),
                complete: container.run.is_some(),
                active: container.run.is_some(),
            },
        };
        let run = self
            .container
            .as_ref()
            .filter(|_| self.machine.is_on())
            .and_then(|container| container.run.clone());
        Observed {
            machine: if self.machine.is_on() { MachineFacts::Ready } else { MachineFacts::Off },
            answered: self.memory.answered == Some(self.generation),
            left_alone: self.memory.stopped_for == Some(self.generation),
            sources: self.sources,
            config: (self.memory.config_read_for == Some(self.generation)).then(|| ConfigFacts {
                digest: self.config_digest.clone(),
                hooks: self.config_hooks.clone(),
                initialize: self.initialize.map(|trust| InitializeFacts {
                    trust,
                    consent: consent(ConsentKind::HostCommand, "initializeCommand"),
                }),
                open_mounts: self
                    .mounts
                    .iter()
                    .filter(|(_, agreed)| !**agreed)
                    .map(|(target, _)| consent(ConsentKind::HostMount, target))
                    .collect(),
                wait_for: self.wait_for,
                warnings: Vec::new(),
            }),
            container,
            ended: self.ended(),
            left: if self.machine.is_on() { self.left } else { LeftServices::None },
            image_prepared_for: self.memory.image_prepared_for.clone(),
            hooks: self.store_hooks.clone(),
            dotfiles_failed: false,
            ports_in_place: run.is_some() && self.memory.ports_open_for == run,
            automations: (self.automations && (run.is_none() || self.memory.automations_told_for != run))
                .then(|| "services are declared".to_owned()),
            secrets: (self.secrets && (run.is_none() || self.memory.secrets_placed_for != run))
                .then(|| "secrets are files".to_owned()),
            prebuild_tasks: TaskFacts::Done,
            prebuild: None,
            any_port_open: self.memory.ports_open_for.is_some(),
            failure: self.memory.failure.clone(),
        }
    }

    /// There is another secret that is a file.
    pub fn change_secret(&mut self) {
        self.secrets = true;
        self.memory.secrets_placed_for = None;
    }

    /// What the planner decides now.
    pub fn decide(&self) -> Decision {
        reconciler::plan(&self.spec, self.generation, &self.observe(), self.now)
    }

    /// Takes the first step of the plan, waiting for its time; `None` when there is nothing to do.
    pub fn tick(&mut self) -> Option<(StepKind, Result<(), Problem>)> {
        if self.forgotten {
            return None;
        }
        if self.machine.is_on() {
            self.memory.answered = None;
            let running = self.container.as_ref().filter(|container| container.run.is_some());
            let runs = running.is_some();
            let is_wanted = |it: &&Container| {
                self.spec.desired_phase == DesiredPhase::Running && it.rebuild == self.spec.rebuild
            };
            if let Some(container) = running.filter(is_wanted) {
                self.memory.ran = Some((container.id.clone(), self.generation));
            }
            if self.spec.desired_phase == DesiredPhase::Stopped && !runs && self.left != LeftServices::Running
            {
                self.memory.stopped_for = Some(self.generation);
            }
        }
        let decision = self.decide();
        let machine = self.observe().machine;
        self.memory.failure = self.memory.failure.take().filter(|it| it.counts(None, machine, &decision));
        let step = decision.plan.steps.first()?.step;
        if let Some(until) = decision.wait_until {
            self.now = until;
        }
        let outcome = self.take(step);
        self.memory.failure = match &outcome {
            Ok(()) => self.memory.failure.take().filter(|it| it.counts(Some(step), machine, &decision)),
            Err(problem) => Some(self.failed(step, problem.clone())),
        };
        Some((step, outcome))
    }

    /// Takes steps until there is nothing to do; how many.
    ///
    /// # Panics
    /// When that takes more than two hundred steps: the planner goes in circles.
    pub fn settle(&mut self) -> usize {
        for taken in 0..200 {
            if self.tick().is_none() {
                return taken;
            }
        }
        panic!("the planner goes in circles: {:?}", self.decide());
    }

    /// Changes what is wanted.
    pub fn change(&mut self, change: impl FnOnce(&mut EnvironmentSpec)) {
        change(&mut self.spec);
        self.generation += 1;
    }

    /// The daemon is killed and started again: what only it held is gone.
    pub fn crash_daemon(&mut self) {
        let decision = self.decide();
        let phase = reconciler::phase_of(&self.spec, &self.observe(), &decision);
        let settled = decision.plan.steps.is_empty() && matches!(phase, Phase::Running | Phase::Stopped);
        let answered = settled.then_some(self.generation);
        let stopped_for = answered.filter(|_| self.spec.desired_phase == DesiredPhase::Stopped);
        self.memory = Memory { answered, stopped_for, ..Memory::default() };
    }

    /// The computer loses its power, and the daemon is started again on the next one.
    pub fn crash_computer(&mut self) {
        self.crash_daemon();
        self.crash_machine();
    }

    /// The first process of the container ends, by itself or by somebody's `docker stop`.
    pub fn end_container(&mut self) {
        if let Some(container) = &mut self.container {
            container.run = None;
        }
    }

    /// Somebody starts the container by other means, such as `docker start`.
    pub fn start_container_elsewhere(&mut self) {
        if let Some(container) = &mut self.container {
            container.run = Some("elsewhere".to_owned());
        }
    }

    /// The machine loses its power.
    pub fn crash_machine(&mut self) {
        self.machine.crash();
        self.memory.ran = None;
        self.end_container();
    }

    /// Somebody removes the container, and what belongs to it.
    pub fn remove_container_elsewhere(&mut self) {
        self.container = None;
    }

    /// Somebody removes the main container of a compose project.
    pub fn remove_main_container(&mut self) {
        self.container = None;
        self.left = LeftServices::Running;
    }

    fn ended(&self) -> Option<Box<Problem>> {
        let (id, generation) = self.memory.ran.as_ref()?;
        let is_down = self.container.as_ref().is_none_or(|it| it.id == *id && it.run.is_none());
        (is_down && self.machine.is_on() && *generation == self.generation)
            .then(|| Problem::new(ProblemCode::ContainerFailed, "the container ended").into())
    }

    fn failed(&self, step: StepKind, problem: Problem) -> Failure {
        let before = self.memory.failure.as_ref().filter(|failure| failure.step == step);
        let attempts = before.map_or(0, |failure| failure.attempts) + 1;
        Failure {
            step,
            problem,
            attempts,
            at: self.now,
            retry: self.spec.retry.clone(),
            generation: self.generation,
        }
    }

    fn take(&mut self, step: StepKind) -> Result<(), Problem> {
        self.now = self.now.saturating_add(SignedDuration::from_secs(1)).expect("stories are short");
        if let Some(code) = self.faults.get_mut(&step).and_then(Vec::pop) {
            if step == StepKind::FillVolume {
                self.sources = SourceFacts::Filling;
            }
            return Err(Problem::new(code, "a fault of the story"));
        }
        match step {
            StepKind::CloneRepository => self.sources = SourceFacts::Fetched,
            StepKind::FillVolume => {
                assert!(
                    self.machine.is_on() && self.container.is_none(),
                    "sources come before what uses them"
                );
                self.sources = SourceFacts::InVolume;
            }
            StepKind::ReadConfig => self.memory.config_read_for = Some(self.generation),
            StepKind::Initialize => self.record(HookStage::Initialize, self.spec.retry.0.clone()),
            StepKind::StartMachine => self.machine.start()?,
            StepKind::StopMachine => self.crash_machine(),
            StepKind::PauseMachine | StepKind::ResumeMachine | StepKind::ChangeShares => {
                panic!("{step:?} belongs to no environment")
            }
            StepKind::PrepareImage => {
                self.memory.image_prepared_for =
                    Some((self.config_digest.clone(), self.spec.rebuild.clone()));
            }
            StepKind::CreateContainer => {
                assert!(self.machine.is_on() && self.container.is_none(), "a second container");
                self.made += 1;
                self.left = LeftServices::None;
                self.container = Some(self.new_container(None));
            }
            StepKind::AdoptContainer => {
                assert!(self.machine.is_on() && self.container.is_none(), "a second container");
                let runs = self.foreign.take().expect("only what is there is taken over");
                self.made += 1;
                let container = self.new_container(runs.then(|| "r0".to_owned()));
                for stage in HookStage::ALL.into_iter().filter(|stage| stage.once_per_container()) {
                    self.store_hooks.push(HookRecord { stage, subject: container.id.clone() });
                }
                self.container = Some(container);
            }
            StepKind::StartContainer => {
                let run = format!("r{}", self.now.as_second());
                match &mut self.container {
                    Some(container) => {
                        container.run = Some(run);
                        self.memory.ran = Some((container.id.clone(), self.generation));
                    }
                    None => return Err(Problem::new(ProblemCode::ContainerFailed, "there is none")),
                }
            }
            StepKind::RunHook(stage) => {
                let container = self.container.as_ref().expect("hooks run in a container");
                let run = container.run.clone().expect("hooks run in a running container");
                let subject = if stage.once_per_container() { container.id.clone() } else { run };
                self.record(stage, subject);
            }
            StepKind::ForwardPorts => {
                self.memory.ports_open_for =
                    self.container.as_ref().and_then(|container| container.run.clone());
            }
            StepKind::PlaceSecrets => {
                self.memory.secrets_placed_for =
                    self.container.as_ref().and_then(|container| container.run.clone());
            }
            StepKind::RunAutomations => {
                self.memory.automations_told_for =
                    self.container.as_ref().and_then(|container| container.run.clone());
            }
            StepKind::CommitImage => {
                self.committed = self.container.as_ref().map(|container| container.id.clone());
                self.change(|spec| spec.desired_phase = DesiredPhase::Deleted);
            }
            StepKind::ClosePorts => self.memory.ports_open_for = None,
            StepKind::StopContainer => {
                if self.left == LeftServices::Running {
                    self.left = LeftServices::Stopped;
                }
                if let Some(container) = &mut self.container {
                    container.run = None;
                }
            }
            StepKind::RemoveContainer => {
                self.container = None;
                self.left = LeftServices::None;
            }
            StepKind::Forget => {
                let has_volume = matches!(self.sources, SourceFacts::Filling | SourceFacts::InVolume);
                let is_reached = !has_volume || self.machine.is_on();
                assert!(is_reached, "the volume would stay behind");
                self.forgotten = true;
            }
        }
        Ok(())
    }

    fn new_container(&self, run: Option<String>) -> Container {
        Container {
            id: format!("c{}", self.made),
            run,
            digest: self.config_digest.clone(),
            rebuild: self.spec.rebuild.clone(),
            made_from: self.properties.clone(),
            mounts: self
                .mounts
                .iter()
                .filter(|(_, agreed)| **agreed)
                .map(|(target, _)| target.clone())
                .collect(),
        }
    }

    fn record(&mut self, stage: HookStage, subject: String) {
        self.ran.push((stage, subject.clone()));
        self.store_hooks.push(HookRecord { stage, subject });
    }
}

fn consent(kind: ConsentKind, text: &str) -> Consent {
    Consent { kind, text: text.to_owned(), digest: format!("digest of {text}") }
}
