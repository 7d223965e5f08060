//! Secrets of a person: what they are called, for whom they count, and where they go. Values come in, and never out.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::EnvironmentId;

/// For which environments a secret counts. Of secrets with one name the narrowest counts: that of the environment before
/// that of a project, a folder further down before one further up, and those before the person's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SecretScope {
    /// All of the person's environments.
    User,
    /// Those of a folder of this computer and of the folders in it, also ones made later.
    Project {
        /// Absolute path, without links in it.
        #[schema(value_type = String)]
        folder: Utf8PathBuf,
    },
    /// One environment; goes with it.
    Environment {
        /// Its id.
        id: EnvironmentId,
    },
}

impl SecretScope {
    /// How narrow it is for an environment with this id and folder, wider ones first; `None` where it does not count.
    pub fn rank(&self, id: &EnvironmentId, folder: &Utf8Path) -> Option<usize> {
        match self {
            Self::User => Some(0),
            Self::Project { folder: project } => {
                folder.starts_with(project).then(|| project.components().count())
            }
            Self::Environment { id: of } => (of == id).then_some(usize::MAX),
        }
    }
}

/// Where a secret goes in the environments it counts for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SecretTarget {
    /// A variable of hooks, shells and everything else that is started by Cove.
    Variable {
        /// Its name.
        name: String,
    },
    /// A file, which the person in the container alone can read.
    File {
        /// Absolute path in the container.
        #[schema(value_type = String)]
        path: Utf8PathBuf,
    },
}

/// Where files of secrets are, unless a person says otherwise.
pub const SECRETS_FOLDER: &str = "/run/secrets";

/// Longest value of a secret, in bytes: a variable of a process can have no more than twice that.
pub const MOST_SECRET_BYTES: usize = 64 << 10;

/// Shorter values are not taken out of what is printed, in characters: they would make every log unreadable.
pub const SHORTEST_MASKED: usize = 4;

/// The value of a secret. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct SecretValue(pub String);

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

/// What a person wants a secret to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretWish {
    /// Its name: letters, digits and `_`.
    pub name: String,
    /// For whom it counts.
    pub scope: SecretScope,
    /// Its value; absent: there shall be no such secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<SecretValue>,
    /// Where it goes; absent: where it went before, or the variable of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<SecretTarget>,
}

/// A secret that is kept, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretStatus {
    /// Its name.
    pub name: String,
    /// For whom it counts.
    pub scope: SecretScope,
    /// Where it goes.
    pub target: SecretTarget,
    /// When its value or its place last changed.
    #[schema(value_type = String, format = DateTime)]
    pub changed: Timestamp,
    /// Whether it came with `cove up --secrets-file`: the next such file replaces it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given: bool,
    /// Whether it is taken out of what is printed: one of a few characters is not.
    pub masked: bool,
    /// The narrower one that counts in its place, where it was asked for one environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yields_to: Option<SecretScope>,
}

/// How the secrets of an environment stand in its container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SecretsStatus {
    /// Paths in the container that Cove made for secrets, or is about to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub files: Vec<Utf8PathBuf>,
}

impl SecretsStatus {
    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_scope_is_the_narrower() {
        let id = EnvironmentId("aa11".into());
        let rank = |scope: SecretScope| scope.rank(&id, Utf8Path::new("/srv/shop/api"));
        let project = |folder: &str| rank(SecretScope::Project { folder: folder.into() });
        let own = rank(SecretScope::Environment { id: id.clone() });
        assert!(rank(SecretScope::User) < project("/srv"));
        assert!(project("/") < project("/srv") && project("/srv/shop") < project("/srv/shop/api"));
        assert!(project("/srv/shop/api") < own);
        for elsewhere in ["/srv/sho", "/srv/shop/api/web", "/srv/shop/ap"] {
            assert_eq!(project(elsewhere), None, "{elsewhere}");
        }
        assert_eq!(rank(SecretScope::Environment { id: EnvironmentId("aa1".into()) }), None);
        let shown = format!("{:?}", SecretValue("s3cret".into()));
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
