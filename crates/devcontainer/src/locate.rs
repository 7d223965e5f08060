//! Finds the devcontainer.json of a workspace.
//!
//! The places, in the specification's order of precedence: `.devcontainer/devcontainer.json`,
//! `.devcontainer.json`, and `.devcontainer/<folder>/devcontainer.json` one level deep. The first two are a
//! workspace's own configuration and win silently; several named folders are a choice for a person. The
//! reference looks only at the first two; the specification has all three.

use crate::sources::{SourceError, Sources};
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

/// The name a configuration file has in a folder.
const FILE_NAME: &str = "devcontainer.json";

/// Where a workspace's configuration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Located {
    /// This file, absolute.
    ConfigFile(Utf8PathBuf),
    /// The workspace has none: a container of the default image serves.
    None,
}

/// Why no configuration could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// The asked-for configuration does not exist.
    #[error("there is no dev container configuration `{wanted}` in `{workspace}`{}", listed(candidates))]
    Missing {
        /// As it was asked for.
        wanted: Utf8PathBuf,
        /// The workspace folder.
        workspace: Utf8PathBuf,
        /// The configurations that do exist, relative to the workspace.
        candidates: Vec<Utf8PathBuf>,
    },
    /// Several named configurations exist and none was asked for.
    #[error("`{workspace}` has several dev container configurations: choose one{}", listed(candidates))]
    Ambiguous {
        /// The workspace folder.
        workspace: Utf8PathBuf,
        /// The configurations to choose from, relative to the workspace.
        candidates: Vec<Utf8PathBuf>,
    },
    /// A folder could not be listed.
    #[error("could not look for a dev container configuration")]
    Source(#[from] SourceError),
}

fn listed(candidates: &[Utf8PathBuf]) -> String {
    if candidates.is_empty() {
        return String::new();
    }
    let names: Vec<String> = candidates.iter().map(|path| format!("`{path}`")).collect();
    format!(" (found {})", names.join(", "))
}

/// Chooses the configuration of `workspace`.
///
/// `wanted` is what a person asked for: a path, absolute or relative to the workspace, or the name of a
/// folder below `.devcontainer`.
pub fn locate(
    sources: &dyn Sources,
    workspace: &Utf8Path,
    wanted: Option<&Utf8Path>,
) -> Result<Located, LocateError> {
    if let Some(wanted) = wanted {
        return locate_wanted(sources, workspace, wanted);
    }
    let candidates = candidates(sources, workspace)?;
    match candidates.as_slice() {
        [] => Ok(Located::None),
        [first, rest @ ..] if rest.is_empty() || !is_named(first) => {
            Ok(Located::ConfigFile(workspace.join(first)))
        }
        _ => Err(LocateError::Ambiguous { workspace: workspace.to_owned(), candidates }),
    }
}

/// Every configuration of `workspace`, relative to it, in the order of precedence.
pub fn candidates(sources: &dyn Sources, workspace: &Utf8Path) -> Result<Vec<Utf8PathBuf>, SourceError> {
    let folder = Utf8Path::new(".devcontainer");
    let mut paths = vec![folder.join(FILE_NAME), Utf8PathBuf::from(".devcontainer.json")];
    let mut names = sources.list_dirs(&workspace.join(folder))?;
    names.sort();
    paths.extend(names.into_iter().map(|name| folder.join(name).join(FILE_NAME)));
    paths.retain(|path| sources.exists(&workspace.join(path)));
    Ok(paths)
}

fn locate_wanted(
    sources: &dyn Sources,
    workspace: &Utf8Path,
    wanted: &Utf8Path,
) -> Result<Located, LocateError> {
    let is_file = wanted.extension().is_some_and(|extension| extension == "json");
    let tried = if is_file {
        vec![workspace.join(wanted)]
    } else {
        vec![
            workspace.join(".devcontainer").join(wanted).join(FILE_NAME),
            workspace.join(wanted).join(FILE_NAME),
        ]
    };
    match tried.into_iter().find(|path| sources.exists(path)) {
        Some(path) => Ok(Located::ConfigFile(path)),
        None => Err(LocateError::Missing {
            wanted: wanted.to_owned(),
            workspace: workspace.to_owned(),
            candidates: candidates(sources, workspace)?,
        }),
    }
}

/// Whether a candidate lies in a folder of its own below `.devcontainer`.
fn is_named(candidate: &Utf8Path) -> bool {
    candidate.components().count() > 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Files;

    fn found(files: &Files, wanted: Option<&str>) -> Result<Located, String> {
        locate(files, "/src/app".into(), wanted.map(Utf8Path::new)).map_err(|error| error.to_string())
    }

    fn file(path: &str) -> Located {
        Located::ConfigFile(path.into())
    }

    #[test]
    fn own_configuration_wins_over_named_ones() {
        let named = Files::new().with("/src/app/.devcontainer/go/devcontainer.json", "{}");
        assert_eq!(found(&named, None), Ok(file("/src/app/.devcontainer/go/devcontainer.json")));
        let root = named.with("/src/app/.devcontainer.json", "{}");
        assert_eq!(found(&root, None), Ok(file("/src/app/.devcontainer.json")));
        let folder = root.with("/src/app/.devcontainer/devcontainer.json", "{}");
        assert_eq!(found(&folder, None), Ok(file("/src/app/.devcontainer/devcontainer.json")));
        assert_eq!(found(&folder, Some("go")), Ok(file("/src/app/.devcontainer/go/devcontainer.json")));
        assert_eq!(found(&folder, Some(".devcontainer.json")), Ok(file("/src/app/.devcontainer.json")));
    }

    #[test]
    fn several_named_ones_need_a_choice() {
        let files = Files::new()
            .with("/src/app/.devcontainer/rust/devcontainer.json", "{}")
            .with("/src/app/.devcontainer/go/devcontainer.json", "{}")
            .with("/src/app/.devcontainer/go/deeper/devcontainer.json", "{}");
        insta::assert_snapshot!(found(&files, None).unwrap_err(), @"`/src/app` has several dev container configurations: choose one (found `.devcontainer/go/devcontainer.json`, `.devcontainer/rust/devcontainer.json`)");
        insta::assert_snapshot!(found(&files, Some("python")).unwrap_err(), @"there is no dev container configuration `python` in `/src/app` (found `.devcontainer/go/devcontainer.json`, `.devcontainer/rust/devcontainer.json`)");
    }

    #[test]
    fn a_workspace_without_any_gets_the_default() {
        assert_eq!(found(&Files::new(), None), Ok(Located::None));
    }
}
