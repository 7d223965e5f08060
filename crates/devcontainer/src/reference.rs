//! What the reference command line prints about a configuration, as data: tools that call it read these
//! objects, so they have its names, its plurals and its order of keys.
//!
//! Nothing of ours is made from them; see [`merge`](crate::merge) for what holds. Where the reference prints
//! something that cannot be meant, we do not: without any metadata it asks for `-Infinity` bytes of memory.

mod merged;

use crate::config::{Config, IN_LABEL, Properties};
use crate::substitute::{Known, expand_container_env, for_each_text};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How the reference names the place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// The file was named by the caller.
    Given,
    /// The file was found in the workspace.
    Found,
}

/// One configuration, seen with the reference's eyes.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// How it was come by.
    pub scheme: Scheme,
    /// The environment of the container where there is one. The variables `${containerEnv:…}` and
    /// `${devcontainerId}` are replaced only then.
    pub container_env: Option<&'a BTreeMap<String, String>>,
}

impl View<'_> {
    /// `configuration`: the file with its variables replaced, and where it is.
    pub fn configuration(&self) -> Map<String, Value> {
        let mut map = self.config.substituted.clone();
        map.values_mut().for_each(|value| self.replace_late(value));
        if let Some(file) = &self.config.file {
            let scheme = match self.scheme {
                Scheme::Given => "file",
                Scheme::Found => "vscode-fileHost",
            };
            let place = json!({"$mid": 1, "fsPath": file, "path": file, "scheme": scheme});
            map.insert("configFilePath".to_owned(), place);
        }
        map
    }

    /// `workspace`: the folder in the container and the mounts, each as one string.
    pub fn workspace(&self) -> Map<String, Value> {
        let config = self.config;
        let mut map = Map::new();
        let folder = match config.substituted.get("workspaceFolder") {
            Some(Value::String(folder)) => Some(folder.clone()),
            _ => Some(config.workspace_folder.clone()).filter(|folder| !folder.is_empty()),
        };
        let mount = match config.substituted.get("workspaceMount") {
            Some(written) => Some(written.clone()),
            None => config.workspace_mount.as_ref().map(|mount| Value::from(mount.to_string())),
        };
        let additional = config.additional_mount.as_ref().map(|mount| Value::from(mount.to_string()));
        map.extend(folder.map(|folder| ("workspaceFolder".to_owned(), Value::from(folder))));
        map.extend(mount.map(|mount| ("workspaceMount".to_owned(), mount)));
        map.extend(additional.map(|mount| ("additionalMountString".to_owned(), mount)));
        map
    }

    /// `mergedConfiguration` for a container of an image that says `image`, with these features on top.
    pub fn merged_for_image(&self, image: &[Properties], features: &[Properties]) -> Map<String, Value> {
        let own: Map<String, Value> = self.own_entry(IN_LABEL);
        let entries = image.iter().chain(features).map(|entry| self.replaced(entry.to_entry()));
        merged::merge(self.configuration(), &entries.chain([own]).collect::<Vec<_>>())
    }

    /// `mergedConfiguration` for a container whose label already holds the configuration: of a changed file
    /// only what can still change counts.
    pub fn merged_for_container(&self, label: &[Properties]) -> Map<String, Value> {
        let own = self.own_entry(Properties::UPDATABLE);
        let entries = label.iter().map(|entry| self.replaced(entry.to_entry()));
        merged::merge(self.configuration(), &entries.chain([own]).collect::<Vec<_>>())
    }

    /// The configuration's own entry, of these properties.
    fn own_entry(&self, names: &[&str]) -> Map<String, Value> {
        let entries = names.iter().filter_map(|name| {
            let mut value = self.config.substituted.get(*name)?.clone();
            self.replace_late(&mut value);
            Some(((*name).to_owned(), value))
        });
        entries.collect()
    }

    /// An entry of a label with the variables replaced that are known. Those of the host's environment are
    /// the caller's decision; see [`substitute_local_env`](crate::substitute_local_env).
    fn replaced(&self, mut entry: Map<String, Value>) -> Map<String, Value> {
        let known = Known { id: None, ..Known::of(self.config) };
        for value in entry.values_mut() {
            for_each_text(value, &mut |text| *text = known.expand(text));
            self.replace_late(value);
        }
        entry
    }

    /// Replaces what is known only once there is a container.
    fn replace_late(&self, value: &mut Value) {
        let Some(env) = self.container_env else { return };
        let known = Known { id: Some(self.config.id.as_str()), ..Known::nothing() };
        for_each_text(value, &mut |text| *text = expand_container_env(&known.expand(text), env));
    }
}

#[cfg(test)]
mod tests;
