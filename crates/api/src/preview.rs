//! What `cove up` would do with a folder, and what it would cost.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{Consent, Name, Plan, PlannedStep, Problem};

/// What would happen if the environment of a folder were asked for now. Nothing is done or kept for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// The environment of the folder; absent if it has none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Name>,
    /// The folder.
    #[schema(value_type = String)]
    pub folder: Utf8PathBuf,
    /// The configuration file that counts; absent with the default image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub config_file: Option<Utf8PathBuf>,
    /// The steps of a `cove up` that keeps a container that is there.
    #[serde(flatten)]
    pub plan: Plan,
    /// What changed in the configuration since the container was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<PropertyChange>,
    /// What making the container anew would mean; absent without a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuild: Option<RebuildPreview>,
    /// What the configuration wants of this computer and nobody agreed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<Consent>,
    /// What a person should know though it works.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Problem>,
}

impl Preview {
    /// Whether the container differs from what the configuration would make now.
    pub fn needs_rebuild(&self) -> bool {
        self.changes.iter().any(|change| change.effect == ChangeEffect::NewContainer)
    }
}

/// One property of the configuration that changed since a container was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PropertyChange {
    /// The property, for instance `image` or `containerEnv.PATH`.
    pub property: String,
    /// What the container was made from; absent if the property is new. Secrets are masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    /// What the configuration says now; absent if the property is gone. Secrets are masked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
    /// What it takes for the change to count.
    pub effect: ChangeEffect,
}

/// What it takes for a change of the configuration to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeEffect {
    /// A new container.
    NewContainer,
    /// The next `up` or start; the container stays.
    NextStart,
    /// Nothing: it counts for the next process or hook, or is for other tools.
    AtOnce,
}

/// What making a container anew means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RebuildPreview {
    /// The steps of `cove up --rebuild`.
    pub steps: Vec<PlannedStep>,
    /// What would be gone.
    pub lost: Vec<String>,
    /// What would stay.
    pub kept: Vec<String>,
}
