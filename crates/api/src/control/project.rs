//! Projects.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Name;

/// What environments are made of, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Where its files come from.
    pub repository: Repository,
    /// Which devcontainer.json, relative to the repository; found by the specification's rules if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub config: Option<Utf8PathBuf>,
    /// Which file of automations, relative to the repository; `.cove/automations.yaml` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub automations: Option<Utf8PathBuf>,
    /// Where its environments may run, the preferred first; anywhere if there are none. What is there when this changes goes
    /// on where it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassChoice>,
    /// Editors that are offered first, by the words of `cove open --editor`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub editors: Vec<String>,
}

/// A git repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// Where it is cloned from.
    pub url: String,
    /// A branch or tag; the repository's own choice if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// A place where environments may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClassChoice {
    /// The own computer of whoever makes one, without a class.
    MyComputer,
    /// A class that a runner offers.
    Class(Name),
}

/// How a project stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ProjectStatus {
    /// How many environments of it there are.
    pub environments: u64,
}
