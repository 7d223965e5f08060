//! Organizations.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What people want of an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OrganizationSpec {
    /// For people; its name is for programs.
    #[schema(required = true)]
    pub title: String,
    /// Ends of mail addresses, such as `example.com`: who signs in with one that the identity provider has verified becomes
    /// a member. Nobody else becomes one by signing in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
}

/// How an organization stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct OrganizationStatus {
    /// How many people are in it.
    pub users: u64,
}
