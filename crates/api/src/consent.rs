//! What a repository wants of this computer that a person has to agree to first.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that needs a person's agreement, once for each content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Consent {
    /// What kind of thing.
    pub kind: ConsentKind,
    /// The thing itself, as a person reads it: the command, or the mount.
    pub text: String,
    /// SHA-256 of it in hex: what `consents` of an [`crate::UpRequest`] lists to agree.
    pub digest: String,
}

/// What a repository can want of this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsentKind {
    /// To run a command on it, outside of any container: `initializeCommand`.
    HostCommand,
    /// To see files of it, or of its machine, that lie outside of the workspace folder.
    HostMount,
}

/// What happens to a thing that nobody agreed to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unasked {
    /// It is left out, with a warning, and the rest comes up.
    #[default]
    LeaveOut,
    /// Work waits for the answer: somebody is there to be asked.
    Wait,
}
