//! That this computer belongs to a team's control plane, where it does.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::FieldConflict;
use crate::{EnvironmentId, Name, Problem};

/// Asks to become a runner of a control plane.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinRequest {
    /// Where the server is: `https://control.example.com:8443`.
    pub address: String,
    /// SHA-256 of its authority's certificate, in hex: the server is held to it from the first byte on.
    pub authority: String,
    /// The token that lets one computer in, once.
    pub token: String,
}

impl std::fmt::Debug for JoinRequest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("JoinRequest").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What this computer is to a control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Membership {
    /// Where the server is.
    pub address: String,
    /// The organization.
    pub organization: Name,
    /// The runner that this computer is there.
    pub runner: Name,
    /// SHA-256 of the server's authority, in hex.
    pub authority: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub joined_at: Timestamp,
    /// Until when the present certificate counts; it is renewed before that.
    #[schema(value_type = String, format = DateTime)]
    pub certificate_expires_at: Timestamp,
}

/// Answer of `GET /v1/control`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ControlReport {
    /// The control plane that this computer belongs to; absent where it belongs to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub membership: Option<Membership>,
    /// How far it is brought together with it.
    #[serde(default)]
    #[schema(required = true)]
    pub sync: SyncReport,
}

/// How the conversation with a control plane stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SyncReport {
    /// How far it is.
    #[schema(required = true)]
    pub phase: SyncPhase,
    /// What keeps it from going on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// When the server was last heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub heard_at: Option<Timestamp>,
    /// Environments that are shared.
    #[schema(required = true)]
    pub environments: Vec<SharedEnvironment>,
}

/// How far a runner is with its control plane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncPhase {
    /// This computer belongs to none, or it cannot be reached: everything here goes on.
    #[default]
    Away,
    /// Both hear of each other's changes at once.
    Connected,
    /// Another computer speaks as this runner.
    Superseded,
    /// One of both is too old for the other.
    Refused,
}

/// An environment that a control plane knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SharedEnvironment {
    /// Its id there.
    pub id: String,
    /// Its name there.
    pub name: String,
    /// The one of this computer; absent where it was not made here yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    /// It was moved to another runner. What is here is stopped, and stays for the work in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
    /// Fields that were changed on both sides, one not knowing of the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<FieldConflict>,
    /// What keeps it from what is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}
