//! What clients ask a control plane for, beside the resources themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Document, Kind, Labels, PrincipalKind, Verb};
use crate::{Name, Problem};

/// A resource as people write it: `cove-control apply` sends these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// What it is.
    pub kind: Kind,
    /// Its name and where it lies.
    pub metadata: DraftMetadata,
    /// What is wanted, in the form of its kind.
    #[schema(value_type = Object)]
    pub spec: serde_json::Value,
}

/// What people say about a resource beside its spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DraftMetadata {
    /// The name.
    pub name: Name,
    /// The organization; that of the address if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Name>,
    /// What people sort it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// The version this change was made from: refused if it is not the present one. Whatever there is counts if absent; zero
    /// means that there must be none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<u64>,
}

impl DraftMetadata {
    /// Nothing but a name: whatever version there is is changed.
    pub fn named(name: Name) -> Self {
        Self { name, organization: None, labels: BTreeMap::new(), resource_version: None }
    }
}

/// One message of a watch. Clients read again what interests them: a change that came twice does no harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChangeMessage {
    /// Something changed.
    Changed(Change),
    /// All changes up to this version were told; repeated while nothing happens.
    Synced {
        /// Where to go on from.
        resource_version: u64,
    },
    /// Changes since the version that was asked for are not all kept: list again.
    Expired {
        /// Where to go on from after that.
        resource_version: u64,
    },
}

/// That a resource changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// The version the change made.
    pub resource_version: u64,
    /// What it is.
    pub kind: Kind,
    /// Which.
    pub id: String,
    /// Its name.
    pub name: Name,
    /// Whether it is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

/// What became of a draft, or would become of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppliedDraft {
    /// What changed by it.
    pub difference: Difference,
    /// The resource after that.
    pub resource: Document,
}

/// What applying a draft would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    /// What would happen.
    pub kind: DifferenceKind,
    /// By path in the spec: what it is and what it would be.
    pub fields: BTreeMap<String, [Option<serde_json::Value>; 2]>,
}

/// What would happen to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// It would be made.
    Create,
    /// It would be changed.
    Update,
    /// Nothing.
    Same,
}

/// Asks why somebody may do something, or may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// What they are: a user or a runner.
    pub principal: PrincipalKind,
    /// Their name.
    pub name: Name,
    /// What they would do.
    pub verb: Verb,
    /// With a resource of this kind.
    pub kind: Kind,
    /// With this one; with all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Name>,
}

/// What a server says about itself to everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerInfo {
    /// Its version.
    pub version: String,
    /// How people sign in; absent where only the host's own commands can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What keeps it from serving, where something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}
