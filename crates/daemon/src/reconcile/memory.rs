//! What one environment's task holds while it lives. All of it can be found out again.

use api::{DesiredPhase, Environment, HookStage, Phase, Problem, ProblemCode, Session, StepKind};
use provision::image::PreparedImage;
use reconciler::Failure;

use crate::automations::{DeclaredFile, Sidecars, Untold};
use crate::configuration::Reading;
use crate::consent::Withheld;
use crate::prebuild::Initialized;
use crate::secrets::place::Placed;

/// Saved work.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    /// The configuration.
    pub(crate) reading: Option<Reading>,
    /// The image that was made ready.
    pub(crate) image: Option<Prepared>,
    /// The step that failed last.
    pub(crate) failure: Option<Failure>,
    /// The hook that failed at its last run, until it ends well. Kept apart from `failure`, which is forgotten once a
    /// person asks again.
    pub(crate) failed_hook: Option<HookStage>,
    /// The dotfiles that could not be installed into the container that is there.
    pub(crate) dotfiles: Option<DotfilesFailed>,
    /// The run of the container that ports were opened for.
    pub(crate) ports: Option<OpenPorts>,
    /// The container that was started last.
    pub(crate) started: Option<Started>,
    /// The container that was seen running last, by whomever it was started.
    pub(crate) ran: Option<Started>,
    /// The generation of the spec that was answered when the task began: the environment ran then as it was wanted,
    /// or its work had ended in a problem.
    pub(crate) answered: Option<u64>,
    /// The generation of the spec for which it was seen down, as it was told to be.
    pub(crate) stopped_for: Option<u64>,
    /// The problem that the container had ended with when the task began, for the generation that was answered by it.
    /// Until the container runs again or the machine was off, it still has.
    pub(crate) ended_with: Option<Box<Problem>>,
    /// The file of tasks and services.
    pub(crate) automations: Option<DeclaredFile>,
    /// What could not be said to who looks after them in the container.
    pub(crate) untold: Option<Untold>,
    /// The containers beside the dev container.
    pub(crate) sidecars: Sidecars,
    /// The files of secrets that the container was told of.
    pub(crate) placed: Option<Placed>,
    /// What `initializeCommand` had, for a prebuild.
    pub(crate) initialized: Option<Initialized>,
    /// Whether the machine was seen on since.
    pub(crate) machine_seen: bool,
}

impl Memory {
    /// What the task of an environment knows when it begins.
    pub(crate) fn of(environment: &Environment) -> Self {
        let status = &environment.status;
        let answered = is_answered(environment).then_some(status.observed_generation);
        let failed = |dotfiles: bool| {
            let mut failed = status.hooks.iter().filter(|hook| !hook.succeeded);
            failed.find(|hook| (hook.stage == HookStage::Dotfiles) == dotfiles)
        };
        // The one warning of this code.
        let told = status.warnings.iter().find(|warning| warning.code == ProblemCode::HookFailed);
        let dotfiles = failed(true)
            .and(told)
            .map(|problem| DotfilesFailed { retry: status.retry.clone(), problem: problem.clone() });
        let ended_with = status.problem.as_ref().filter(|problem| {
            let wants_it = environment.spec.desired_phase == DesiredPhase::Running;
            wants_it && status.phase == Phase::Stopped && problem.code == ProblemCode::ContainerFailed
        });
        Self {
            answered,
            ended_with: ended_with.filter(|_| answered.is_some()).cloned().map(Box::new),
            stopped_for: answered.filter(|_| environment.spec.desired_phase == DesiredPhase::Stopped),
            failed_hook: failed(false).map(|hook| hook.stage),
            dotfiles,
            ..Self::default()
        }
    }

    /// The container that was started or seen running for this generation, if the engine ran on since.
    pub(crate) fn ran_last(&self, generation: u64, engine_starts: u64) -> Option<&str> {
        let mut known = [&self.ran, &self.started].into_iter().flatten();
        let last = known.find(|it| it.generation == generation && it.engine_starts == engine_starts);
        last.map(|last| last.container.as_str())
    }

    /// The configuration as it was read for this generation. The copy of a clone's that was read while the machine was off
    /// is forgotten once that is on: what was edited in the container is not in it.
    pub(crate) fn reading_for(&mut self, generation: u64, is_machine_ready: bool) -> Option<Reading> {
        if is_machine_ready && self.reading.as_ref().is_some_and(|reading| reading.is_older_copy) {
            self.reading = None;
        }
        self.reading.clone().filter(|reading| reading.generation == generation)
    }

    /// Whether dotfiles could not be installed for this wish.
    pub(crate) fn dotfiles_failed_for(&self, retry: &Session) -> bool {
        self.dotfiles.as_ref().is_some_and(|failed| failed.retry == *retry)
    }

    /// A step failed.
    pub(crate) fn note_failure(&mut self, failure: Failure) {
        if let StepKind::RunHook(stage) = failure.step {
            self.failed_hook = Some(stage);
        }
        self.failure = Some(failure);
    }

    /// A step ended well: what was known of an earlier failure may be past.
    pub(crate) fn overcome(&mut self, step: StepKind) {
        let is_past = match step {
            StepKind::RunHook(stage) => self.failed_hook == Some(stage),
            StepKind::CreateContainer | StepKind::AdoptContainer => true,
            _ => false,
        };
        if is_past {
            self.failed_hook = None;
        }
        if matches!(step, StepKind::CreateContainer | StepKind::AdoptContainer) {
            self.dotfiles = None;
        }
    }

    /// A person asked: what may have changed without a sign of it is found out again.
    pub(crate) fn doubt(&mut self) {
        self.reading = None;
        self.image = None;
        // Open ports stay open when they are wanted still; one that was taken may be free by now.
        self.ports = None;
        self.automations = None;
        self.untold = None;
        self.sidecars.doubt();
        self.placed = None;
    }
}

/// Whether an environment is as it was wanted last, or its work has ended in a problem.
pub(super) fn is_answered(environment: &Environment) -> bool {
    let status = &environment.status;
    status.observed_generation == environment.metadata.generation
        && status.step.is_none()
        && matches!(status.phase, Phase::Running | Phase::Stopped)
}

/// Dotfiles that could not be installed.
#[derive(Clone)]
pub(crate) struct DotfilesFailed {
    /// The session that tried.
    pub(crate) retry: Session,
    /// Why not.
    pub(crate) problem: Problem,
}

/// A container that ran, and for what.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Started {
    /// Docker's id.
    pub(crate) container: String,
    /// The generation of the spec it ran for.
    pub(crate) generation: u64,
    /// How often the engine had come to answer by then.
    pub(crate) engine_starts: u64,
}

/// An image that is ready to make a container from.
#[derive(Clone)]
pub(crate) struct Prepared {
    /// The configuration it was made for.
    pub(crate) digest: String,
    /// The rebuild session it was made for.
    pub(crate) rebuild: Session,
    /// The image, and what it and the features say of themselves.
    pub(crate) image: PreparedImage,
    /// Mounts of the image, of features and of compose services that nobody agreed to.
    pub(crate) withheld: Withheld,
    /// The prebuild that it is, by name.
    pub(crate) began_from: Option<String>,
    /// What a person should know of its features.
    pub(crate) feature_warnings: Vec<Problem>,
}

/// Ports that were opened.
#[derive(Clone)]
pub(crate) struct OpenPorts {
    /// The run of the container.
    pub(crate) run: String,
}

/// Whether every wanted port is open, if perhaps under another number, by what is to be known of them.
pub(crate) fn all_open(problems: &[Problem]) -> bool {
    let keeps_shut = [ProblemCode::PortTaken, ProblemCode::PortPrivileged, ProblemCode::ServiceUnknown];
    problems.iter().all(|problem| !keeps_shut.contains(&problem.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(change: impl FnOnce(&mut Environment)) -> Environment {
        let mut environment: Environment = serde_json::from_value(serde_json::json!({
            "id": "aa11",
            "metadata": {
                "name": "web", "created_at": "2026-01-01T00:00:00Z", "generation": 3, "resource_version": 9
            },
            "spec": {
                "desired_phase": "running", "source": {"type": "folder", "path": "/srv/web"}, "machine": "default"
            },
            "status": { "phase": "running", "observed_generation": 3 },
        }))
        .unwrap();
        change(&mut environment);
        environment
    }

    #[test]
    fn only_a_wish_whose_end_was_told_is_answered() {
        let answered = |change: fn(&mut Environment)| Memory::of(&environment(change)).answered;
        assert_eq!(answered(|_| {}), Some(3));
        assert_eq!(answered(|it| it.status.phase = Phase::Stopped), Some(3), "with a problem, or at rest");
        assert_eq!(answered(|it| it.metadata.generation = 4), None, "nothing was done for it yet");
        assert_eq!(answered(|it| it.status.step = Some(StepKind::ForwardPorts)), None, "cut off");
        assert_eq!(answered(|it| it.status.phase = Phase::Starting), None, "cut off between two tries");
    }

    #[test]
    fn a_new_daemon_knows_of_a_container_that_ended() {
        let known = |change: fn(&mut Environment)| {
            let memory = Memory::of(&environment(|it| {
                it.status.phase = Phase::Stopped;
                it.status.problem = Some(Problem::new(ProblemCode::ContainerFailed, "removed by others"));
                change(it);
            }));
            memory.ended_with.is_some()
        };
        assert!(known(|_| {}));
        assert!(!known(|it| it.metadata.generation = 4), "asked for since");
        assert!(!known(|it| it.spec.desired_phase = DesiredPhase::Stopped), "it shall be down");
        assert!(!known(|it| it.status.problem = None), "at rest");
    }

    #[test]
    fn a_new_daemon_knows_of_dotfiles_that_failed() {
        let memory = Memory::of(&environment(|it| {
            it.status.retry = Session("try-2".to_owned());
            it.status.hooks =
                vec![api::HookStatus { stage: HookStage::Dotfiles, succeeded: false, millis: 0 }];
            it.status.warnings = vec![Problem::new(ProblemCode::HookFailed, "no dotfiles")];
        }));
        let failed = memory.dotfiles.expect("they failed");
        assert_eq!((failed.retry.0.as_str(), failed.problem.title.as_str()), ("try-2", "no dotfiles"));
        assert_eq!(memory.failed_hook, None);
    }

    #[test]
    fn asking_again_looks_again_at_ports_that_were_taken() {
        let problem = |code| Problem::new(code, "a port");
        assert!(!all_open(&[problem(ProblemCode::PortMoved), problem(ProblemCode::PortTaken)]));
        assert!(all_open(&[problem(ProblemCode::PortMoved)]));
        let mut memory = Memory { ports: Some(OpenPorts { run: "r1".into() }), ..Memory::default() };
        memory.doubt();
        assert!(memory.ports.is_none());
    }
}
