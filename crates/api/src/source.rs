//! Where the files of an environment come from.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Session;

/// Where the files of an environment come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Source {
    /// A folder of this computer, shared with the machine at the same path.
    Folder {
        /// Absolute path.
        #[schema(value_type = String)]
        path: Utf8PathBuf,
    },
    /// A git worktree of this computer, shared like a folder, with what it has in common with its repository.
    Worktree {
        /// Absolute path.
        #[schema(value_type = String)]
        path: Utf8PathBuf,
        /// The repository's git folder, which the worktree's `.git` file leads into. Absolute path.
        #[schema(value_type = String)]
        common: Utf8PathBuf,
    },
    /// A clone of a git repository, in a volume on the machine's own disk.
    Clone {
        /// Where it is cloned from.
        url: String,
        /// The branch or tag that was asked for; the repository's own choice if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        branch: Option<String>,
        /// A folder of this computer with a copy of its configuration files alone, as of the last `up`. Absolute path.
        #[schema(value_type = String)]
        folder: Utf8PathBuf,
        /// The retry session in which git may use this computer's credentials. It serves the one clone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        granted: Option<Session>,
    },
}

impl Source {
    /// The folder on this computer with its configuration.
    pub fn folder(&self) -> &Utf8PathBuf {
        match self {
            Self::Folder { path } | Self::Worktree { path, .. } => path,
            Self::Clone { folder, .. } => folder,
        }
    }

    /// Whether its files are on this computer, and not in the machine alone.
    pub fn is_here(&self) -> bool {
        !matches!(self, Self::Clone { .. })
    }

    /// What a person knows it by: a path, or the URL of a repository.
    pub fn shown(&self) -> String {
        match self {
            Self::Folder { path } | Self::Worktree { path, .. } => path.to_string(),
            Self::Clone { url, branch: Some(branch), .. } => format!("{url}#{branch}"),
            Self::Clone { url, branch: None, .. } => url.clone(),
        }
    }
}
