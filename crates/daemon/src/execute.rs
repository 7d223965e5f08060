//! The steps, one file each. A step may be run at any time and again: it looks whether its effect is there, and
//! leaves nothing half done that the next run could not finish.

mod adopt;
mod automations;
mod clone;
mod compose;
mod container;
mod forget;
mod gate;
mod hook;
mod image;
mod initialize;
mod ports;
mod prebuild;
mod secrets;
mod start_machine;

pub(crate) use image::provide_base;

use std::sync::Arc;

use api::{Environment, Problem, ProblemCode, StepKind};
use devcontainer::Config;

pub(crate) use self::compose::left_of;
pub(crate) use self::container::ended;
pub(crate) use self::gate::not_agreed;
use crate::configuration::Reading;
use crate::observe::Observation;
use crate::reconcile::{Memory, Parts, Report};

/// What a step works with.
pub(crate) struct Turn<'a> {
    /// Store, machine, ports.
    pub(crate) parts: &'a Parts,
    /// The environment as it was when the step was decided.
    pub(crate) environment: &'a Environment,
    /// What was seen then.
    pub(crate) observation: &'a Observation,
    /// What the environment's task remembers.
    pub(crate) memory: &'a mut Memory,
    /// Where the step tells how it goes.
    pub(crate) report: &'a Report,
}

impl Turn<'_> {
    /// The configuration; steps that need it are planned only once it is read.
    ///
    /// # Errors
    /// It is not there: a fault of the planner.
    fn config(&self) -> Result<Arc<Config>, Problem> {
        self.reading().map(|reading| Arc::clone(&reading.config))
    }

    /// The configuration and what of it was left out.
    ///
    /// # Errors
    /// As [`config`](Self::config).
    fn reading(&self) -> Result<&Reading, Problem> {
        self.memory.reading.as_ref().ok_or_else(|| {
            Problem::new(api::ProblemCode::Internal, "a step came before the configuration was read")
        })
    }
}

/// Takes one step.
///
/// # Errors
/// Why it failed, for people; whether it is tried again is the planner's decision.
pub(crate) async fn execute(step: StepKind, turn: &mut Turn<'_>) -> Result<(), Problem> {
    match step {
        StepKind::CloneRepository => Box::pin(crate::clone::fetch(turn)).await,
        StepKind::ReadConfig => clone::read_config(turn).await,
        StepKind::FillVolume => Box::pin(clone::fill_volume(turn)).await,
        StepKind::StartMachine => start_machine::run(turn).await,
        StepKind::Initialize => initialize::run(turn).await,
        StepKind::PrepareImage => image::run(turn).await,
        StepKind::AdoptContainer => adopt::run(turn).await,
        StepKind::CreateContainer => container::create(turn).await,
        StepKind::StartContainer => container::start(turn).await,
        StepKind::StopContainer => container::stop(turn).await,
        StepKind::RemoveContainer => container::remove(turn).await,
        StepKind::RunHook(stage) => hook::run(turn, stage).await,
        StepKind::PlaceSecrets => Box::pin(secrets::run(turn)).await,
        StepKind::RunAutomations => Box::pin(automations::run(turn)).await,
        StepKind::CommitImage => Box::pin(prebuild::commit(turn)).await,
        StepKind::ForwardPorts => ports::open(turn).await,
        StepKind::ClosePorts => {
            turn.memory.ports = None;
            turn.parts.ports.close(&turn.environment.id).await;
            Ok(())
        }
        StepKind::StopMachine => turn.parts.machine.stop().await,
        StepKind::Forget => forget::run(turn).await,
        StepKind::PauseMachine | StepKind::ResumeMachine | StepKind::ChangeShares => {
            Err(Problem::new(ProblemCode::Internal, "a step of the machine was planned for an environment"))
        }
    }
}
