//! Images of environments that are almost ready: a later `up` goes on from one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an environment is for that exists to be made an image of, and goes after that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrebuildWish {
    /// One more name for the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// A name in a registry, to which it is pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<String>,
}

/// A prebuild that the machine's engine has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Prebuild {
    /// Its name as an image.
    pub image: String,
    /// Its other names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The environment it was made as.
    pub name: String,
    /// The commit of the sources that it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// When, RFC 3339.
    pub created: String,
    /// Bytes of all its layers, those it shares too.
    pub size: u64,
}
