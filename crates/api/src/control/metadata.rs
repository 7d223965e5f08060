//! What every resource of a control plane says about itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Name;

/// What people sort resources by: names and values of their own.
pub type Labels = BTreeMap<String, String>;

/// Identity, versions, and what keeps it from being gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Metadata {
    /// Identity across renames and moves; never used again.
    pub id: String,
    /// The name people use; one of its kind in its organization.
    pub name: Name,
    /// The organization it lies in; an organization lies in itself.
    pub organization: Name,
    /// What people sort it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// Rises with every change of the spec.
    pub generation: u64,
    /// Rises with every change of anything, across all resources; a write that names an older one is refused.
    pub resource_version: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When anything of it changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Since when it is to go. It stays until nobody is named in `finalizers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deleted_at: Option<Timestamp>,
    /// Who still has something to do before it may be gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
}
