//! The audit log: who was let do what with an environment, line by line, each bound to the one before.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{EnvironmentId, GrantKind};

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// Rises by one a line.
    pub sequence: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// SHA-256 of the line before, without its end, in hex; zeros for the first.
    pub previous: String,
    /// Which environment, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<AuditEnvironment>,
    /// In whose name a client asked; absent for a person's own commands, and for what happens inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What.
    pub event: AuditEvent,
}

/// An environment as it was called then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEnvironment {
    /// Its id.
    pub id: EnvironmentId,
    /// Its name.
    pub name: String,
}

/// What happened. No secret is ever in it: neither tokens nor arguments of programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AuditEvent {
    /// A person granted something.
    Granted {
        /// What.
        kind: GrantKind,
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// Until when.
        #[schema(value_type = String, format = DateTime)]
        expires_at: Timestamp,
    },
    /// A person took it back.
    Revoked {
        /// What.
        kind: GrantKind,
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
    /// Its time was over.
    Expired {
        /// What.
        kind: GrantKind,
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
    },
    /// Something inside used a credential.
    Used {
        /// Which.
        kind: GrantKind,
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// For what.
        purpose: String,
    },
    /// Something inside asked for a credential, and did not get it.
    Refused {
        /// Which.
        kind: GrantKind,
        /// Where.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// For what.
        purpose: String,
        /// Why not.
        reason: String,
    },
    /// Something inside asked so often that it was refused without a line each.
    Flooded {
        /// How many times within the last minute.
        refused: u64,
    },
    /// A program was started in it, or in the machine where there is no environment.
    Exec {
        /// The program, without its arguments.
        program: String,
        /// As whom, where that was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
    /// An ssh connection was opened to it.
    Ssh,
    /// Something inside was given a token of the control plane, by which it shows others which environment it is in.
    Identified {
        /// Whom the token is for.
        audience: String,
    },
    /// The last line was not whole, as after a loss of power, and was taken away.
    Healed {
        /// Its bytes.
        bytes: u64,
    },
}

/// What a look at the whole chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditCheck {
    /// Lines that were looked at.
    pub records: u64,
    /// Sequence of the first that is kept.
    pub first: u64,
    /// Sequence of the last.
    pub last: u64,
    /// SHA-256 of the last line, in hex: whoever notes it can tell later that nothing before it was changed.
    pub head: String,
    /// Where the chain is broken, and how; absent where it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<AuditBreak>,
}

/// A place where the chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditBreak {
    /// The file, in the folder of the log.
    pub file: String,
    /// The line in it, from 1.
    pub line: u64,
    /// What is wrong there.
    pub reason: String,
}
