//! What will happen next, and why: the reconciler's answer, as people see it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{HookStage, Problem};

/// What is left to do for one environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// The steps, in order. Later ones may change once earlier ones have run.
    pub steps: Vec<PlannedStep>,
    /// Why nothing is done though something is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Problem>,
}

/// One step and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedStep {
    /// What is done.
    pub step: StepKind,
    /// Why, in half a sentence.
    pub reason: String,
}

/// The steps there are. One file in the daemon carries out each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind", content = "stage")]
pub enum StepKind {
    /// Start the virtual machine and wait for its engine.
    StartMachine,
    /// Clone the repository to this computer, by its git.
    CloneRepository,
    /// Read devcontainer.json and what it refers to.
    ReadConfig,
    /// Run `initializeCommand` on this computer.
    Initialize,
    /// Load, pull or build the image.
    PrepareImage,
    /// Put the clone into a volume on the machine's disk.
    FillVolume,
    /// Take over the container that another tool made for the same folder and configuration.
    AdoptContainer,
    /// Make the container, or the compose project.
    CreateContainer,
    /// Start the container, or the compose project.
    StartContainer,
    /// Put the files of secrets into the container, and take away those that are gone.
    PlaceSecrets,
    /// Run a lifecycle hook in the container.
    RunHook(HookStage),
    /// Say what is wanted of tasks and services to who looks after them in the container.
    RunAutomations,
    /// Make an image of the container, push it where that is wanted, and let the environment go.
    CommitImage,
    /// Open the wanted ports on this computer.
    ForwardPorts,
    /// Close them.
    ClosePorts,
    /// Stop the container, or the compose project.
    StopContainer,
    /// Remove the container, or the compose project.
    RemoveContainer,
    /// Remove generated images and files, and forget the environment.
    Forget,
    /// Switch the virtual machine off.
    StopMachine,
    /// Halt the virtual machine.
    PauseMachine,
    /// Let the virtual machine go on, and set its clock.
    ResumeMachine,
    /// Share other folders with the running virtual machine.
    ChangeShares,
}

impl StepKind {
    /// The step as a person reads it while it runs.
    pub fn title(self) -> &'static str {
        match self {
            Self::StartMachine => "Starting the machine",
            Self::CloneRepository => "Cloning the repository",
            Self::ReadConfig => "Reading the configuration",
            Self::Initialize => "Running initializeCommand",
            Self::PrepareImage => "Preparing the image",
            Self::FillVolume => "Putting the sources on the machine's disk",
            Self::AdoptContainer => "Taking over the container of another tool",
            Self::CreateContainer => "Creating the container",
            Self::StartContainer => "Starting the container",
            Self::RunHook(HookStage::Initialize) => "Running initializeCommand",
            Self::RunHook(HookStage::OnCreate) => "Running onCreateCommand",
            Self::RunHook(HookStage::UpdateContent) => "Running updateContentCommand",
            Self::RunHook(HookStage::PostCreate) => "Running postCreateCommand",
            Self::RunHook(HookStage::Dotfiles) => "Installing dotfiles",
            Self::RunHook(HookStage::PostStart) => "Running postStartCommand",
            Self::RunHook(HookStage::PostAttach) => "Running postAttachCommand",
            Self::PlaceSecrets => "Placing secrets",
            Self::RunAutomations => "Starting automations",
            Self::CommitImage => "Making the prebuild",
            Self::ForwardPorts => "Forwarding ports",
            Self::ClosePorts => "Closing ports",
            Self::StopContainer => "Stopping the container",
            Self::RemoveContainer => "Removing the container",
            Self::Forget => "Cleaning up",
            Self::StopMachine => "Stopping the machine",
            Self::PauseMachine => "Pausing the machine",
            Self::ResumeMachine => "Resuming the machine",
            Self::ChangeShares => "Changing the shared folders",
        }
    }
}
