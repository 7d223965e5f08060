//! Environments as a control plane knows them.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Admission, Repository};
use crate::{AutomationWish, DesiredPhase, IdlePolicy, Name, Phase, PortWish, Problem, Session};

/// What is wanted of an environment, wherever it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentSpec {
    /// Whether it shall run.
    pub desired_phase: DesiredPhase,
    /// The project it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Name>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Name>,
    /// The runner that has it. Another one moves it there.
    pub runner: Name,
    /// The class it has there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Name>,
    /// Where its files come from.
    pub source: EnvironmentSource,
    /// Which devcontainer.json, relative to the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub config: Option<Utf8PathBuf>,
    /// A new one makes the container anew.
    #[serde(default)]
    #[schema(required = true)]
    pub rebuild: Session,
    /// Ports to forward beside those of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ForwardedPort>,
    /// What is wanted of tasks and services (`services/NAME`, `tasks/NAME`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub automations: BTreeMap<String, AutomationWish>,
    /// When it stops by itself.
    #[serde(default)]
    #[schema(required = true)]
    pub idle: IdlePolicy,
}

/// A port that is forwarded, and who may reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForwardedPort {
    /// The port.
    #[serde(flatten)]
    pub wish: PortWish,
    /// Who may reach it, beside the computer that it is forwarded on.
    #[serde(default, skip_serializing_if = "Admission::is_owner")]
    pub admission: Admission,
}

impl From<PortWish> for ForwardedPort {
    /// One that its owner alone reaches.
    fn from(wish: PortWish) -> Self {
        Self { wish, admission: Admission::Owner }
    }
}

/// Where the files of an environment come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EnvironmentSource {
    /// A clone of a repository: it can be made on any runner.
    Repository(Repository),
    /// A folder of one runner, which nobody else has: it cannot be moved.
    Folder {
        /// Its path there.
        #[schema(value_type = String)]
        path: Utf8PathBuf,
    },
}

/// What its runner reported last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct EnvironmentStatus {
    /// Where it is on its way.
    #[schema(required = true)]
    pub phase: Phase,
    /// The runner that said so; another than the spec's while it is moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runner: Option<Name>,
    /// The generation of the spec that the runner had then.
    #[schema(required = true)]
    pub observed_generation: u64,
    /// What keeps it from what is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Files with changes that no commit has, and commits that no other repository has, where the runner could see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsaved: Option<u64>,
    /// When it was last used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub used_at: Option<Timestamp>,
    /// Fields that two sides changed without knowing of each other, and nobody has settled yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<FieldConflict>,
}

/// Somebody settles a conflict: the field gets this value, whatever else was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// The field, as the conflict has it.
    pub field: String,
    /// The value: one of those that were said, or another. Null takes the field away.
    pub value: serde_json::Value,
}

/// A field that two sides changed without knowing of each other. Where somebody deleted the environment who did not know of
/// edits, it is `desired_phase`, and each rival is an edit: `{ "field": …, "value": … }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldConflict {
    /// The field: `desired_phase`, `automations/services/web`, ….
    pub field: String,
    /// What counts meanwhile: that of the side whose field it is.
    pub value: serde_json::Value,
    /// What else was said.
    pub rivals: Vec<Rival>,
}

/// A value that does not count until somebody chooses it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rival {
    /// The value.
    pub value: serde_json::Value,
    /// The side that said it: a runner's name, or `control plane`.
    pub author: String,
}
