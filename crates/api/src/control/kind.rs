//! What kinds of resources there are, and what can be done with them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum Kind {
    /// Who shares everything below.
    Organization,
    /// A person.
    User,
    /// Some people.
    Group,
    /// What its subjects may do.
    Role,
    /// Limits that hold for all.
    Policy,
    /// A repository or several, and how environments of it are made.
    Project,
    /// A computer that runs environments.
    Runner,
    /// A size or place that a runner offers.
    EnvironmentClass,
    /// A dev environment.
    Environment,
    /// One run of a task, or of a service, of an environment.
    Execution,
    /// Something that environments get and nobody reads here.
    Secret,
}

/// A word is no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no kind `{0}`")]
pub struct UnknownKind(pub String);

impl Kind {
    /// All of them, those that others need first.
    pub const ALL: [Self; 11] = [
        Self::Organization,
        Self::User,
        Self::Group,
        Self::Role,
        Self::Policy,
        Self::Project,
        Self::Runner,
        Self::EnvironmentClass,
        Self::Environment,
        Self::Execution,
        Self::Secret,
    ];

    /// As it is written in a file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "Organization",
            Self::User => "User",
            Self::Group => "Group",
            Self::Role => "Role",
            Self::Policy => "Policy",
            Self::Project => "Project",
            Self::Runner => "Runner",
            Self::EnvironmentClass => "EnvironmentClass",
            Self::Environment => "Environment",
            Self::Execution => "Execution",
            Self::Secret => "Secret",
        }
    }

    /// As it is written in an address.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Organization => "organizations",
            Self::User => "users",
            Self::Group => "groups",
            Self::Role => "roles",
            Self::Policy => "policies",
            Self::Project => "projects",
            Self::Runner => "runners",
            Self::EnvironmentClass => "environment-classes",
            Self::Environment => "environments",
            Self::Execution => "executions",
            Self::Secret => "secrets",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    /// As in a file, as in an address, or in lower case, as people type it.
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let typed = text.to_ascii_lowercase().replace('-', "");
        let is_it = |kind: &Self| {
            let (one, many) = (kind.as_str().to_ascii_lowercase(), kind.plural().replace('-', ""));
            typed == one || typed == many
        };
        Self::ALL.into_iter().find(is_it).ok_or_else(|| UnknownKind(text.to_owned()))
    }
}

/// What can be done with a resource. Every request is one of these on one kind, and is decided as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// See one.
    Get,
    /// See all, and hear of changes.
    List,
    /// Make one.
    Create,
    /// Change its spec.
    Update,
    /// Take it away.
    Delete,
    /// Report its status: what runners do.
    Report,
    /// Use it: start an environment of a class or of a project.
    Use,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Get, Self::List, Self::Create, Self::Update, Self::Delete, Self::Report, Self::Use];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Report => "report",
            Self::Use => "use",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_each_of_its_words() {
        for kind in Kind::ALL {
            for word in
                [kind.as_str().to_owned(), kind.plural().to_owned(), kind.as_str().to_ascii_lowercase()]
            {
                assert_eq!(word.parse(), Ok(kind), "{word}");
            }
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
        assert_eq!("environmentclasses".parse(), Ok(Kind::EnvironmentClass));
        assert_eq!("box".parse::<Kind>(), Err(UnknownKind("box".to_owned())));
    }
}
