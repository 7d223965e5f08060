//! Decisions about who may do what, and why.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Kind, Subject, Verb};
use crate::Name;

/// Whether something may be done, and why: what `cove-control authz explain` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Decision {
    /// Whether it may.
    pub allowed: bool,
    /// What decided: `role NAME`, or another rule, or `deny by default`.
    pub because: Vec<String>,
    /// Roles of the organization that were looked at, by name. A decision of a request looks at no more than it must, and
    /// leaves this empty; one that is asked for by people looks at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub looked_at: Vec<LookedAt>,
}

/// A role, and what it does for a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LookedAt {
    /// The role.
    pub role: Name,
    /// Through whom the person has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub through: Vec<Subject>,
    /// Everything that keeps it from letting the person do it. It does if there is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why_not: Vec<WhyNot>,
}

/// What keeps a role from letting somebody do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum WhyNot {
    /// It is of others.
    Subject,
    /// It says nothing about this kind.
    Kind {
        /// The kind.
        kind: Kind,
    },
    /// It lets its subjects do other things with this kind.
    Verb {
        /// The kind.
        kind: Kind,
        /// What it lets them do.
        verbs: Vec<Verb>,
    },
    /// It is for some projects, and this belongs to another or to none.
    Project {
        /// Those it is for.
        projects: Vec<Name>,
        /// The one this belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        project: Option<Name>,
    },
    /// It is for what is a person's own, and this is not.
    Own {
        /// Whose it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<Name>,
    },
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject => f.write_str("it is of others"),
            Self::Kind { kind } => write!(f, "it says nothing about {kind}"),
            Self::Verb { kind, verbs } => write!(f, "with {kind} it allows {} alone", list(verbs)),
            Self::Project { projects, .. } if projects.is_empty() => {
                f.write_str("it is for no project at all")
            }
            Self::Project { projects, project: Some(project) } => {
                write!(f, "it is for {} alone, and this is of {project}", list(projects))
            }
            Self::Project { projects, project: None } => {
                write!(f, "it is for {} alone, and this is of no project", list(projects))
            }
            Self::Own { owner: Some(owner) } => write!(f, "it is for one's own, and this is {owner}'s"),
            Self::Own { owner: None } => f.write_str("it is for one's own, and this is nobody's"),
        }
    }
}

impl fmt::Display for LookedAt {
    /// One line, as people read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "role {}: ", self.role)?;
        for (index, why_not) in self.why_not.iter().enumerate() {
            write!(f, "{}{why_not}", if index == 0 { "" } else { "; " })?;
        }
        if self.why_not.is_empty() {
            f.write_str("it allows this")?;
        }
        f.write_str(&self.how())
    }
}

impl LookedAt {
    /// Through whom the person has it, where that is not the role's own list.
    fn how(&self) -> String {
        let groups: Vec<_> = self.through.iter().filter_map(Subject::group).collect();
        if self.through.iter().any(|subject| matches!(subject, Subject::User(_))) {
            String::new()
        } else if !groups.is_empty() {
            format!(" (through {} {})", if groups.len() == 1 { "group" } else { "groups" }, list(&groups))
        } else if self.through.is_empty() {
            String::new()
        } else {
            " (everybody has it)".to_owned()
        }
    }
}

impl Subject {
    const fn group(&self) -> Option<&Name> {
        match self {
            Self::Group(name) => Some(name),
            Self::User(_) | Self::Everybody => None,
        }
    }
}

/// `a, b and c`.
fn list<T: fmt::Display>(things: &[T]) -> String {
    let things: Vec<_> = things.iter().map(T::to_string).collect();
    match things.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}
