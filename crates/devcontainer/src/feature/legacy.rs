//! Features that were once named by a word alone, and what became of them.

use crate::near;
use serde_json::{Map, Value};

/// What is done with the ids of the time before registries, such as `node`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LegacyIds {
    /// They stand for their successors.
    #[default]
    Mapped,
    /// They name nothing.
    Refused,
}

const COLLECTION: &str = "ghcr.io/devcontainers/features";

/// Kept their names when they moved to the collection.
const MOVED: &[&str] = &[
    "aws-cli",
    "azure-cli",
    "desktop-lite",
    "docker-from-docker",
    "docker-in-docker",
    "dotnet",
    "git",
    "git-lfs",
    "github-cli",
    "java",
    "kubectl-helm-minikube",
    "node",
    "powershell",
    "python",
    "ruby",
    "rust",
    "sshd",
    "terraform",
];

/// Got other names.
const RENAMED: &[(&str, &str)] = &[("common", "common-utils"), ("golang", "go")];

/// Became an option of another feature.
const ABSORBED: &[(&str, &str, &str)] = &[
    ("gradle", "java", "installGradle"),
    ("jupyterlab", "python", "installJupyterlab"),
    ("maven", "java", "installMaven"),
];

/// The reference that a bare word stands for today: the last version that behaves as the word once did.
pub(super) fn successor(word: &str) -> Option<String> {
    let renamed = RENAMED.iter().find(|(old, _)| *old == word).map(|(_, new)| *new);
    let name = renamed.or_else(|| MOVED.contains(&word).then_some(word))?;
    Some(format!("{COLLECTION}/{name}:1"))
}

/// A feature of the collection whose name is like the word.
pub(super) fn nearest(word: &str) -> Option<String> {
    let current = ["common-utils", "conda", "docker-outside-of-docker", "go", "nix", "nvidia-cuda", "php"];
    near::closest(word, MOVED.iter().chain(&current).copied()).map(|name| format!("{name}:1"))
}

/// Replaces each feature that became an option by that option of the other feature, which is added where it
/// is not asked for yet. Returns what was replaced by what.
pub(super) fn absorb(features: &mut Vec<(String, Value)>) -> Vec<(String, String)> {
    let mut replaced = Vec::new();
    for (old, target, option) in ABSORBED {
        let Some(index) = features.iter().position(|(written, _)| written == old) else { continue };
        features.remove(index);
        let qualified = format!("{COLLECTION}/{target}");
        let is_target = |written: &str| {
            written == *target
                || written
                    .strip_prefix(&qualified)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        };
        let index = features.iter().position(|(written, _)| is_target(written)).unwrap_or_else(|| {
            features.push((format!("{qualified}:1"), Value::Object(Map::new())));
            features.len() - 1
        });
        let (written, value) = &mut features[index];
        let mut options = match value.take() {
            Value::Object(options) => options,
            Value::String(version) => Map::from_iter([("version".to_owned(), Value::String(version))]),
            _ => Map::new(),
        };
        options.insert((*option).to_owned(), Value::Bool(true));
        *value = Value::Object(options);
        replaced.push(((*old).to_owned(), written.clone()));
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_stand_for_their_successors() {
        let cases = [
            ("node", Some("ghcr.io/devcontainers/features/node:1")),
            ("docker-from-docker", Some("ghcr.io/devcontainers/features/docker-from-docker:1")),
            ("golang", Some("ghcr.io/devcontainers/features/go:1")),
            ("common", Some("ghcr.io/devcontainers/features/common-utils:1")),
            ("gradle", None),
            ("fish", None),
            ("ghcr.io/devcontainers/features/node", None),
        ];
        for (word, expected) in cases {
            assert_eq!(successor(word).as_deref(), expected, "{word}");
        }
    }

    #[test]
    fn absorbed_features_become_options() {
        let java = "ghcr.io/devcontainers/features/java:1";
        let cases = [
            (json!({"maven": "latest"}), json!({ java: {"installMaven": true} })),
            (
                json!({"maven": "latest", "gradle": "latest", java: "17"}),
                json!({ java: {"version": "17", "installMaven": true, "installGradle": true} }),
            ),
            (
                json!({"java": {"jdkDistro": "ms"}, "maven": {}}),
                json!({"java": {"jdkDistro": "ms", "installMaven": true}}),
            ),
            (
                json!({"jupyterlab": "latest", "ghcr.io/devcontainers/features/python": true}),
                json!({"ghcr.io/devcontainers/features/python": {"installJupyterlab": true}}),
            ),
        ];
        for (before, after) in cases {
            let mut features: Vec<(String, Value)> =
                before.as_object().unwrap().clone().into_iter().collect();
            absorb(&mut features);
            assert_eq!(Value::Object(features.into_iter().collect()), after);
        }
    }
}
