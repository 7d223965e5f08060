//! The audit log of a control plane: each line bound to the one before.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Kind;
use crate::Name;

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub struct Principal {
    /// What they are.
    pub kind: PrincipalKind,
    /// Their name; for somebody unknown what they called themselves.
    pub name: String,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// What asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A runner.
    Runner,
    /// A program inside of an environment.
    Environment,
    /// Whoever can use the server's own computer.
    Host,
    /// The server by itself.
    Server,
    /// Nobody that is known.
    Nobody,
}

impl PrincipalKind {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Runner => "runner",
            Self::Environment => "environment",
            Self::Host => "host",
            Self::Server => "server",
            Self::Nobody => "nobody",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Rises by one a line.
    pub sequence: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// SHA-256 of the line before, in hex; zeros for the first.
    pub previous: String,
    /// Which organization; absent for what concerns the whole server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Name>,
    /// Who.
    pub principal: Principal,
    /// What: a verb on a kind, or `sign_in`, `enrol`, `export`, ….
    pub action: String,
    /// With a resource of this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its version after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<u64>,
    /// Whether it was let, and by which rule.
    pub allowed: bool,
    /// Rules that decided: names of roles, or `deny by default`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// What else is to be known: no secret, and nothing of a spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a look at the whole chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditVerdict {
    /// Lines that were looked at.
    pub entries: u64,
    /// Hash of the last, to be kept elsewhere.
    pub head: String,
    /// The first line that does not fit the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<BrokenLine>,
}

/// A line of the audit log that does not fit the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokenLine {
    /// Its sequence.
    pub sequence: u64,
    /// What is wrong.
    pub why: String,
}
