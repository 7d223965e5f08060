//! That this computer belongs to a team's control plane, where it does.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Name;

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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ControlReport {
    /// The control plane that this computer belongs to; absent where it belongs to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub membership: Option<Membership>,
}
