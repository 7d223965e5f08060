//! What a person starts: a folder, its configuration, and the containers that come of them.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::Limits;
use crate::{
    Activity, AutomationWish, AutomationsStatus, Condition, Dotfiles, EnvironmentId, Grant, IdlePolicy,
    Metadata, Name, PortStatus, PortWish, PrebuildWish, Problem, SecretsStatus, Session, Source, StepKind,
    Unasked,
};

/// A dev environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Environment {
    /// Identity across renames.
    pub id: EnvironmentId,
    /// Name and versions.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: EnvironmentSpec,
    /// What was observed.
    pub status: EnvironmentStatus,
}

/// What a person wants of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentSpec {
    /// Whether it shall run.
    pub desired_phase: DesiredPhase,
    /// Where its files are.
    pub source: Source,
    /// Which devcontainer.json, relative to the folder; found by the specification's rules if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub config: Option<Utf8PathBuf>,
    /// The machine it runs in.
    pub machine: Name,
    /// A new one makes the container anew.
    #[serde(default)]
    #[schema(required = true)]
    pub rebuild: Session,
    /// A new one tries again what failed.
    #[serde(default)]
    #[schema(required = true)]
    pub retry: Session,
    /// SHA-256 digests, in hex, of what a person agreed to: see [`crate::Consent`].
    #[serde(default, alias = "trusted_commands", skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<String>,
    /// What happens to things that nobody agreed to.
    #[serde(default)]
    #[schema(required = true)]
    pub unasked: Unasked,
    /// The person's own settings, installed into each new container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dotfiles: Option<Dotfiles>,
    /// That it goes no further than a prebuild, is made an image of, and goes after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prebuild: Option<PrebuildWish>,
    /// Ports to forward beside those of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortWish>,
    /// What is wanted of tasks and services (`services/NAME`, `tasks/NAME`) beside what starts them by themselves. Each
    /// has a session of its own, so a change here alone does not raise the generation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub automations: BTreeMap<String, AutomationWish>,
    /// What it may use of the person's credentials. Beside the generation as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// When it stops by itself.
    #[serde(default)]
    #[schema(required = true)]
    pub idle: IdlePolicy,
    /// Since when nobody had used it, where that is why it shall be stopped: the next use starts it again. Written by
    /// the daemon as `idle` wants it, and taken away by whoever says anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub idle_since: Option<Timestamp>,
}

impl EnvironmentSpec {
    /// Whether it was stopped because nobody used it, so that the next use starts it.
    pub fn starts_on_use(&self) -> bool {
        self.desired_phase == DesiredPhase::Stopped && self.idle_since.is_some()
    }
}

/// What a person can wish for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DesiredPhase {
    /// Up, with its hooks run.
    Running,
    /// Down, with its container kept.
    Stopped,
    /// Gone, with its container, generated images and the volume of a clone; a folder is never touched.
    Deleted,
}

/// What the daemon saw last.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct EnvironmentStatus {
    /// Where it is on its way.
    #[schema(required = true)]
    pub phase: Phase,
    /// The generation of the spec this status speaks of.
    #[schema(required = true)]
    pub observed_generation: u64,
    /// The step being taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepKind>,
    /// What keeps it from what is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// The `retry` session at the time of that problem.
    #[schema(required = true)]
    pub retry: Session,
    /// The `rebuild` session the container was made with.
    #[schema(required = true)]
    pub rebuild: Session,
    /// Facts side by side.
    #[schema(required = true)]
    pub conditions: Vec<Condition>,
    /// What a person should know though it works.
    #[schema(required = true)]
    pub warnings: Vec<Problem>,
    /// Name of the configuration, for display.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The configuration file that was read; absent with the default image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub config_file: Option<Utf8PathBuf>,
    /// The main container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerStatus>,
    /// Other containers of a compose project.
    #[schema(required = true)]
    pub services: Vec<ServiceStatus>,
    /// Lifecycle hooks of the present container.
    #[schema(required = true)]
    pub hooks: Vec<HookStatus>,
    /// Ports of the environment on this computer.
    #[schema(required = true)]
    pub ports: Vec<PortStatus>,
    /// Its tasks and services.
    #[serde(skip_serializing_if = "AutomationsStatus::is_empty")]
    pub automations: AutomationsStatus,
    /// Whether it is in use; told to who asks for one environment, and only while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<Activity>,
    /// What policies of the control plane allow it; told to who asks for one environment, and only where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Box<Limits>>,
    /// Its secrets.
    #[serde(skip_serializing_if = "SecretsStatus::is_empty")]
    pub secrets: SecretsStatus,
    /// When it last came to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
}

/// Where an environment is on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Never ran yet.
    #[default]
    Creating,
    /// Its container is being started.
    Starting,
    /// Up.
    Running,
    /// Up or down, and being made anew.
    Updating,
    /// On its way down.
    Stopping,
    /// Down.
    Stopped,
    /// Being removed.
    Deleting,
    /// Gone; a watcher sees it once.
    Deleted,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Creating,
        Self::Starting,
        Self::Running,
        Self::Updating,
        Self::Stopping,
        Self::Stopped,
        Self::Deleting,
        Self::Deleted,
    ];

    /// Whether the one can follow the other. Deleted is the end; deleting cannot be turned back.
    pub fn can_become(self, next: Self) -> bool {
        match self {
            Self::Deleted => false,
            Self::Deleting => matches!(next, Self::Deleting | Self::Deleted),
            Self::Creating => next != Self::Deleted,
            Self::Starting | Self::Running | Self::Updating | Self::Stopping | Self::Stopped => {
                !matches!(next, Self::Creating | Self::Deleted)
            }
        }
    }

    /// The word people see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Updating => "updating",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
}

/// The container a person works in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContainerStatus {
    /// Docker's id.
    pub id: String,
    /// Docker's name, without the slash.
    pub name: String,
    /// Image it was made from.
    pub image: String,
    /// Whether it runs.
    pub running: bool,
    /// User for shells and hooks.
    pub remote_user: String,
    /// Folder that opens, in the container.
    pub workspace_folder: String,
    /// Digest of the configuration it was made from.
    pub config_digest: String,
    /// When it last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
}

/// Another container of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// The compose service.
    pub name: String,
    /// Docker's id of its container.
    pub container: String,
    /// Whether it runs.
    pub running: bool,
    /// Docker's word on its health, where the image checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
}

/// A stage of the Dev Container lifecycle, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HookStage {
    /// `initializeCommand`, on this computer.
    Initialize,
    /// `onCreateCommand`
    OnCreate,
    /// `updateContentCommand`
    UpdateContent,
    /// `postCreateCommand`
    PostCreate,
    /// The person's dotfiles, which no property of devcontainer.json names.
    Dotfiles,
    /// `postStartCommand`
    PostStart,
    /// `postAttachCommand`
    PostAttach,
}

impl HookStage {
    /// All of them, in the order of the specification.
    pub const ALL: [Self; 7] = [
        Self::Initialize,
        Self::OnCreate,
        Self::UpdateContent,
        Self::PostCreate,
        Self::Dotfiles,
        Self::PostStart,
        Self::PostAttach,
    ];

    /// The property in devcontainer.json, or `dotfiles`.
    pub fn property(self) -> &'static str {
        match self {
            Self::Initialize => "initializeCommand",
            Self::OnCreate => "onCreateCommand",
            Self::UpdateContent => "updateContentCommand",
            Self::PostCreate => "postCreateCommand",
            Self::Dotfiles => "dotfiles",
            Self::PostStart => "postStartCommand",
            Self::PostAttach => "postAttachCommand",
        }
    }

    /// Whether it runs once for a container's life rather than once for each start of it.
    pub fn once_per_container(self) -> bool {
        matches!(self, Self::OnCreate | Self::UpdateContent | Self::PostCreate | Self::Dotfiles)
    }
}

/// How a hook stage of the present container stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HookStatus {
    /// Which stage.
    pub stage: HookStage,
    /// Whether it ended well. A stage that failed is run again by the next `up`.
    pub succeeded: bool,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_deleted_and_only_deleted_follows_deleting() {
        for next in Phase::ALL {
            assert!(!Phase::Deleted.can_become(next));
            assert_eq!(Phase::Deleting.can_become(next), matches!(next, Phase::Deleting | Phase::Deleted));
        }
        for from in Phase::ALL {
            assert!(from == Phase::Deleting || !from.can_become(Phase::Deleted), "{from:?} skips deleting");
        }
    }
}
