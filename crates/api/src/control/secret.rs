//! Secrets: sealed on the computer of whoever gives them, opened on that of whoever uses them, and never in between.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Name, Session};

/// A secret, as it is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretSpec {
    /// Whose environments get it. Of several with one use the person's counts before the project's, and that before the
    /// organization's.
    pub scope: SecretScope,
    /// How environments get it.
    pub used_as: SecretUse,
    /// A new one: the value was changed.
    #[serde(default)]
    #[schema(required = true)]
    pub session: Session,
    /// The value, once for each runner that may open it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<Sealed>,
}

/// Whose environments get a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretScope {
    /// All of the organization.
    Organization,
    /// Those of a project.
    Project(Name),
    /// Those of a person.
    User(Name),
}

/// How environments get a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretUse {
    /// In a variable.
    Variable(String),
    /// In a file, at this path inside.
    File(String),
    /// For git, at this host.
    Git(String),
    /// For a registry, at this host.
    Registry(String),
}

/// A value that one runner can open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The runner.
    pub runner: Name,
    /// What it was sealed to: that of the runner at that time.
    pub recipient: String,
    /// An age file, in Base64.
    pub value: String,
}

/// How a secret stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SecretStatus {
    /// Runners with an environment that gets it, and that cannot open it: it is to be sealed to them too, by somebody who
    /// knows it.
    #[schema(required = true)]
    pub missing: Vec<Name>,
}

/// A runner that a secret can be sealed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Recipient {
    /// The runner.
    pub runner: Name,
    /// Its age recipient; absent while no computer is let in as this runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
}
