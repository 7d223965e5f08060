//! How people sign in, who they are then, and tokens that say where a program runs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Kind, Principal, TokenMade, TokenScope, Verb};
use crate::Name;

/// Who asks, as the server knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// Who.
    pub principal: Principal,
    /// Their organization; the host has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Name>,
    /// What their token can be used for, where it was one that asked and where it is narrower than they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<TokenScope>,
    /// When the session or the token ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// What they may do with at least some of a kind. Whether that is so for one of them is decided with each request.
    pub permits: BTreeMap<Kind, Vec<Verb>>,
}

/// Begins to sign in on a device that has no browser: `cove-control login`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceRequest {
    /// Where to sign in, for people who are in several organizations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<Name>,
    /// What the token is to be called, for people: the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// What a person does to sign in on such a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceCode {
    /// What the device asks with. A secret: who has it gets the token.
    pub device: String,
    /// What the person types there.
    pub user_code: String,
    /// Where, in a browser anywhere.
    pub verification_uri: String,
    /// The same with the code in it, where the provider has that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_uri_complete: Option<String>,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// How often to ask, in seconds.
    pub interval: u64,
}

/// Asks whether the person signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DevicePoll {
    /// The `device` of [`DeviceCode`].
    pub device: String,
}

/// Whether the person signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DeviceAnswer {
    /// Not yet.
    Pending {
        /// How often to ask from now on, in seconds.
        interval: u64,
    },
    /// They did. Told once.
    SignedIn {
        /// Their organization.
        organization: Name,
        /// What the device sends from now on.
        #[serde(flatten)]
        made: Box<TokenMade>,
    },
}

/// A runner asks for a token for a program in one of its environments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkloadTokenRequest {
    /// The environment, by name or by id.
    pub environment: String,
    /// Whom the token is to be shown to: nobody else should take it.
    pub audience: String,
    /// Seconds until it ends: from a minute to an hour; a quarter of an hour if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<u64>,
}

/// Another key signs such tokens from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkloadKeyRotated {
    /// The new key, as tokens and `/.well-known/jwks.json` name it (`kid`).
    pub id: String,
    /// Until when the former one is published: no token of it counts any more then.
    #[schema(value_type = String, format = DateTime)]
    pub former_until: Timestamp,
}

/// A token that says in which environment a program runs: a JWT that anybody can verify by the server's
/// `/.well-known/jwks.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkloadToken {
    /// What the program shows.
    pub token: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}
