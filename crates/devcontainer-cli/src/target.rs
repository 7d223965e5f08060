//! Which configuration and which container a command is about.

use std::collections::BTreeMap;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use devcontainer::reference::Scheme;
use devcontainer::{Config, Located, Mounting, ReadOptions};
use engine::{ContainerState, Engine, EngineError};
use provision::{Disk, container};

use crate::Surroundings;
use crate::arguments::{Consistency, Lookup, Pair};
use crate::outcome::Failure;

/// What a person says about it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// The workspace folder.
    pub(crate) workspace: Option<Utf8PathBuf>,
    /// The configuration.
    pub(crate) config: Option<Utf8PathBuf>,
    /// What to read in its place.
    pub(crate) override_config: Option<Utf8PathBuf>,
    /// The container.
    pub(crate) container_id: Option<String>,
    /// The labels by which the container is found; `None` for the usual ones.
    pub(crate) id_labels: Option<BTreeMap<String, String>>,
    /// Whether the whole repository is mounted.
    pub(crate) git_root: bool,
    /// Whether what a worktree has in common with its repository is mounted.
    pub(crate) worktree_common_dir: bool,
    /// How mounts may lag behind.
    pub(crate) consistency: Option<Consistency>,
    /// Whether a container is to be made of it.
    pub(crate) must_be_complete: bool,
}

/// What was found.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The configuration; `None` for a container that is named by other means.
    pub(crate) config: Option<Config>,
    /// How it was come by.
    pub(crate) scheme: Scheme,
    /// The container, if a person names it.
    container_id: Option<String>,
    /// The labels that a person names.
    id_labels: Option<BTreeMap<String, String>>,
}

impl Asked {
    /// What a command with the usual options asks for.
    pub(crate) fn of(lookup: &Lookup, surroundings: &Surroundings<'_>) -> Self {
        let named = lookup.container_id.is_some() || !lookup.id_label.is_empty();
        let here = (!named && lookup.workspace_folder.is_none()).then(|| surroundings.folder.clone());
        let path =
            |path: &Option<Utf8PathBuf>| path.as_deref().map(|path| absolute(&surroundings.folder, path));
        Self {
            workspace: path(&lookup.workspace_folder).or(here),
            config: path(&lookup.config),
            override_config: path(&lookup.override_config),
            container_id: lookup.container_id.clone(),
            id_labels: labels_of(&lookup.id_label),
            git_root: lookup.mount_workspace_git_root,
            worktree_common_dir: lookup.mount_git_worktree_common_dir,
            consistency: None,
            must_be_complete: false,
        }
    }

    /// Reads the configuration. `failing` is what is said to fail.
    pub(crate) fn read(&self, failing: &str) -> Result<Target, Failure> {
        let workspace = self.workspace.as_deref();
        let usual = workspace.map(|folder| folder.join(".devcontainer/devcontainer.json"));
        let (file, scheme) = match (&self.config, workspace) {
            (Some(file), _) => (Some(file.clone()), Scheme::Given),
            (None, Some(folder)) => {
                let located = devcontainer::locate(&Disk, folder, None);
                match located.map_err(|error| Failure::caused(failing, &error))? {
                    Located::ConfigFile(file) => (Some(file), Scheme::Found),
                    Located::None => {
                        (usual.clone().filter(|_| self.override_config.is_some()), Scheme::Found)
                    }
                }
            }
            (None, None) => (self.override_config.clone(), Scheme::Given),
        };
        let not_found = |file: Option<&Utf8PathBuf>| {
            let file = file.map(|file| file.as_str()).unwrap_or_default();
            Failure::plain(format!("Dev container config ({file}) not found."))
        };
        let Some(file) = file else {
            return match workspace {
                Some(_) => Err(not_found(usual.as_ref())),
                None => Ok(Target {
                    config: None,
                    scheme,
                    container_id: self.container_id.clone(),
                    id_labels: self.id_labels.clone(),
                }),
            };
        };
        let options = ReadOptions {
            workspace,
            file: Some(&file),
            text_from: self.override_config.as_deref(),
            default_image: "",
            mounting: Mounting {
                git_root: self.git_root,
                worktree_common_dir: self.worktree_common_dir,
                consistency: self.consistency_word(),
            },
            id_labels: self.id_labels.as_ref(),
            must_be_complete: self.must_be_complete,
        };
        let config = devcontainer::read_with(&Disk, &options).map_err(|error| match error {
            devcontainer::ReadError::Gone { file } => not_found(Some(&file)),
            error => Failure::caused(failing, &error),
        })?;
        let (container_id, id_labels) = (self.container_id.clone(), self.id_labels.clone());
        Ok(Target { config: Some(config), scheme, container_id, id_labels })
    }

    /// The hint for the workspace's mount. It means nothing on Linux, where some engines even refuse it.
    fn consistency_word(&self) -> Option<&'static str> {
        let word = match self.consistency? {
            Consistency::Consistent => "consistent",
            Consistency::Cached => "cached",
            Consistency::Delegated => "delegated",
        };
        (!cfg!(target_os = "linux")).then_some(word)
    }
}

impl Target {
    /// Looks for the container, running or not, and gives the labels it goes by.
    pub(crate) async fn find(
        &self,
        engine: &Engine,
    ) -> Result<(Option<ContainerState>, BTreeMap<String, String>), FindError> {
        if let Some(id) = &self.container_id {
            let labels = self.labels().unwrap_or_default();
            return Ok((engine.container(id).await?, labels));
        }
        match (&self.id_labels, &self.config) {
            (Some(labels), _) => Ok((container::find(engine, labels).await?, labels.clone())),
            (None, Some(config)) => Ok(container::find_of(engine, config).await?),
            (None, None) => Err(FindError::Nameless),
        }
    }

    /// Whether a person names the container itself.
    pub(crate) fn names_container(&self) -> bool {
        self.container_id.is_some()
    }

    /// The labels that a person or the configuration says.
    pub(crate) fn labels(&self) -> Option<BTreeMap<String, String>> {
        self.id_labels.clone().or_else(|| self.config.as_ref().map(Config::labels))
    }
}

/// The container could not be looked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FindError {
    /// Nothing says which one.
    #[error("Either containerId or workspaceFolder and configFile must be provided.")]
    Nameless,
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Labels as a person gives them.
pub(crate) fn labels_of(pairs: &[Pair]) -> Option<BTreeMap<String, String>> {
    let labels = pairs.iter().map(|pair| (pair.name.clone(), pair.value.clone()));
    (!pairs.is_empty()).then(|| labels.collect())
}

/// The path from the root, without `.` and `..`. Links are left as they are: labels hold what a person wrote.
pub(crate) fn absolute(folder: &Utf8Path, path: &Utf8Path) -> Utf8PathBuf {
    let mut whole = Utf8PathBuf::new();
    for component in folder.join(path).components() {
        match component {
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir => {
                whole.pop();
            }
            component => whole.push(component.as_str()),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_absolute_without_following_links() {
        for (path, expected) in
            [(".", "/work/app"), ("../b/./c/", "/work/b/c"), ("/x/../y", "/y"), ("../../..", "/")]
        {
            assert_eq!(absolute("/work/app".into(), path.into()), expected);
        }
    }
}
