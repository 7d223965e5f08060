//! Limits of an organization.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Name;

/// Limits. What is absent is not limited. Where several policies hold for an environment, the narrowest of each counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicySpec {
    /// Only for environments of these projects; for all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<Name>>,
    /// Editors that environments may be opened in, by the words of `cove open --editor`: `code`, `zed`, …. A rule that
    /// `cove` and the app keep: whoever comes by ssh can attach anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub editors: Option<Vec<String>>,
    /// Images that containers may be made of: patterns such as `registry.example.com/team/*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<String>>,
    /// Most environments of one person that run at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_per_user: Option<u32>,
    /// Most environments of one person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environments_per_user: Option<u32>,
    /// Longest time without use, in seconds, after which an environment stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<u64>,
    /// Longest time, in seconds, after which an environment that nobody uses is to be deleted. Never one with work that was
    /// not pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_after: Option<u64>,
    /// Who may reach forwarded ports, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Admission>,
    /// Hosts that environments may always reach, whatever else is closed: patterns such as `*.example.com`. Nothing in Cove
    /// closes a host yet, so this holds by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<String>>,
    /// Whether configurations may mount folders of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_mounts: Option<bool>,
    /// Whether configurations may run `initializeCommand` on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initialize_command: Option<bool>,
}

/// Who may reach a port, from the fewest to the most.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// Whose environment it is.
    #[default]
    Owner,
    /// Everybody in the organization.
    Organization,
    /// Everybody.
    Everybody,
}

impl Admission {
    /// Whether it is the least there is.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    pub(crate) fn is_owner(&self) -> bool {
        *self == Self::Owner
    }
}

impl fmt::Display for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "its owner",
            Self::Organization => "the organization",
            Self::Everybody => "everybody",
        })
    }
}

/// How a policy stands: nothing is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyStatus {}
