//! Who may do what: users, groups, and the roles that they have.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Kind, Verb};
use crate::{Dotfiles, Name};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    /// Mail address: who signs in with it, verified by the identity provider, is this person from then on. Of an organization
    /// one person has it; several may have none.
    pub email: String,
    /// As they are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// May do nothing for the time being: tokens and sessions count no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspended: bool,
    /// Their own settings, for each new container of theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dotfiles: Option<Dotfiles>,
}

impl UserSpec {
    /// Whether this is their mail address, in whichever letters. What is empty is nobody's.
    pub fn has_address(&self, address: &str) -> bool {
        !address.is_empty() && self.email.eq_ignore_ascii_case(address)
    }
}

/// Who somebody is at an identity provider. Addresses change hands; this does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Who it is there.
    pub subject: String,
}

/// How a person stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UserStatus {
    /// Who it is, since they signed in first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

/// Some people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GroupSpec {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Names of users.
    #[schema(required = true)]
    pub members: Vec<Name>,
}

/// How a group stands: nothing is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupStatus {}

/// What some may do. Nobody may do anything that no role lets them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What they may do.
    pub permissions: Vec<Permission>,
    /// Who has it.
    #[serde(default)]
    #[schema(required = true)]
    pub subjects: Vec<Subject>,
    /// Only within these projects: their environments, executions and secrets, and themselves. Everywhere if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<Name>>,
    /// Only what they made themselves, where that can be said: environments, executions, their own secrets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
}

/// Things that may be done with some kinds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// What; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<Verb>,
    /// With what; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<Kind>,
}

/// Who has a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A person.
    User(Name),
    /// All of a group.
    Group(Name),
    /// Everybody in the organization.
    Everybody,
}

/// How a role stands: nothing is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleStatus {}
