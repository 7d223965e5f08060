//! What a configuration asks of tools such as editors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// `customizations`, by tool. Answer of `GET /v1/environments/{environment}/customizations`.
///
/// Of each tool: what the image says, what each feature says, and last what the configuration says as it is now. How
/// they add up is the tool's own matter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Customizations(pub BTreeMap<String, Vec<Value>>);
