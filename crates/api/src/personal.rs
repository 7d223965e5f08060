//! What a person brings into an environment: secrets and dotfiles.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Secret variables by name. They are never printed: `Debug` shows the names alone.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Secrets(pub BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A repository with a person's own settings, installed into every new container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Dotfiles {
    /// A URL for `git clone`, or `owner/name` of a repository on GitHub.
    pub repository: String,
    /// What installs them; absent: the first of the usual scripts that is there, else links are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_command: Option<String>,
    /// Where they are cloned to; absent: `~/dotfiles`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_path: Option<String>,
}
