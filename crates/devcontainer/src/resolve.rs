//! Reads a located configuration: text, legacy properties, variables, types, in this order.

use crate::config::{self, Config, ContainerSource, Properties, Secret, decode_container, modernise};
use crate::decode::{Fields, Mistake, Mistakes, Problem, Spot};
use crate::digest;
use crate::id::{self, DevcontainerId};
use crate::jsonc::{self, Node, NodeKind, SyntaxError, to_map};
use crate::lifecycle::Command;
use crate::locate::Located;
use crate::mount::Mount;
use crate::ports::decode_app_ports;
use crate::sources::{SourceError, Sources};
use crate::substitute::{Known, nameless};
use crate::workspace;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Why a configuration could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file was there when it was located and is not any more.
    #[error("there is no file `{file}`")]
    Gone {
        /// The configuration file.
        file: Utf8PathBuf,
    },
    /// The file could not be read.
    #[error("could not read the dev container configuration")]
    Source(#[from] SourceError),
    /// The file is not JSON with comments. Shown as `file:line:column: reason`.
    #[error("{file}:{error}")]
    Syntax {
        /// The configuration file.
        file: Utf8PathBuf,
        /// Where and why.
        error: SyntaxError,
    },
    /// The file says things that cannot be. Shown one to a line, as `file:line:column: "property": problem`.
    #[error("{}", one_to_a_line(file, mistakes))]
    Invalid {
        /// The configuration file.
        file: Utf8PathBuf,
        /// Every mistake, in the order of the text; never empty.
        mistakes: Vec<Mistake>,
    },
}

fn one_to_a_line(file: &Utf8Path, mistakes: &[Mistake]) -> String {
    let lines: Vec<String> = mistakes.iter().map(|mistake| format!("{file}:{mistake}")).collect();
    lines.join("\n")
}

/// Reads the configuration of `workspace` and replaces the variables that are known before there is a
/// container. Without a file the result describes a container of `default_image`.
pub fn read(
    sources: &dyn Sources,
    workspace: &Utf8Path,
    located: &Located,
    default_image: &str,
) -> Result<Config, ReadError> {
    let Located::ConfigFile(file) = located else {
        return Ok(without_file(sources, workspace, default_image));
    };
    let bytes = sources.read(file)?.ok_or_else(|| ReadError::Gone { file: file.clone() })?;
    let root = jsonc::parse(&bytes).map_err(|error| ReadError::Syntax { file: file.clone(), error })?;
    let mut mistakes = Mistakes::default();
    let config = decode(sources, workspace, file, root, &mut mistakes);
    match config {
        Some(config) if mistakes.0.is_empty() => Ok(config),
        _ => {
            mistakes.0.sort_by_key(|mistake| mistake.position);
            Err(ReadError::Invalid { file: file.clone(), mistakes: mistakes.0 })
        }
    }
}

fn without_file(sources: &dyn Sources, workspace: &Utf8Path, default_image: &str) -> Config {
    let (mount, workspace_folder) = workspace::defaults(sources, workspace);
    let mut config = Config {
        file: None,
        workspace: workspace.to_owned(),
        name: None,
        id: DevcontainerId::of_labels(&id::labels(workspace, None)),
        container: ContainerSource::Image { image: default_image.to_owned() },
        workspace_folder,
        workspace_mount: Some(mount),
        run_args: Vec::new(),
        app_ports: Vec::new(),
        properties: Properties::default(),
        initialize_command: None,
        features: Map::new(),
        override_feature_install_order: Vec::new(),
        secrets: BTreeMap::new(),
        unknown: Map::new(),
        written: Map::new(),
        digest: String::new(),
    };
    config.digest = digest_of(&config);
    config
}

fn decode(
    sources: &dyn Sources,
    workspace: &Utf8Path,
    file: &Utf8Path,
    mut root: Node,
    mistakes: &mut Mistakes,
) -> Option<Config> {
    let NodeKind::Map(fields) = &mut root.kind else {
        return Spot::root(root).unexpected("an object", mistakes);
    };
    modernise(fields);
    let written = to_map(fields);
    let id = DevcontainerId::of_labels(&id::labels(workspace, Some(file)));
    let (workspace_mount, workspace_folder) = default_workspace(sources, workspace, fields, &id);
    let known = Known {
        env: Some(sources),
        workspace,
        container_folder: Some(&workspace_folder),
        id: Some(id.as_str()),
    };
    root.for_each_text(&mut |position, text| {
        if let Some(variable) = nameless(text) {
            mistakes.add(position, "", Problem::NamelessVariable { variable });
        }
        *text = known.expand(text);
    });

    let mut fields = Spot::root(root).fields("an object", mistakes)?;
    fields.take("$schema");
    fields.take("workspaceFolder").and_then(|spot| spot.text(mistakes));
    let place = config::Place { sources, workspace, folder: file.parent().unwrap_or(workspace) };
    let container = decode_container(&mut fields, &place, mistakes);
    let mut config = Config {
        file: Some(file.to_owned()),
        workspace: workspace.to_owned(),
        name: fields.filled_text("name", mistakes),
        id,
        container: container?,
        workspace_mount: decode_workspace_mount(&mut fields, workspace_mount, mistakes),
        workspace_folder,
        run_args: fields.texts("runArgs", mistakes).unwrap_or_default(),
        app_ports: fields.take("appPort").map(|spot| decode_app_ports(spot, mistakes)).unwrap_or_default(),
        properties: Properties::decode(&mut fields, mistakes),
        initialize_command: fields.take("initializeCommand").and_then(|spot| Command::decode(spot, mistakes)),
        features: decode_features(&mut fields, mistakes),
        override_feature_install_order: fields
            .texts("overrideFeatureInstallOrder", mistakes)
            .unwrap_or_default(),
        secrets: decode_secrets(&mut fields, mistakes),
        unknown: fields.rest(),
        written,
        digest: String::new(),
    };
    config.digest = digest_of(&config);
    Some(config)
}

/// The mount where the file does not say one, and the folder, which the file may give in variables.
fn default_workspace(
    sources: &dyn Sources,
    workspace: &Utf8Path,
    fields: &[jsonc::Field],
    id: &DevcontainerId,
) -> (Option<Mount>, String) {
    let value = |name: &str| fields.iter().find(|field| field.name == name).map(|field| &field.value.kind);
    let is_compose = value("dockerComposeFile").is_some_and(|kind| *kind != NodeKind::Null);
    let (mount, folder) = if is_compose {
        (None, "/".to_owned())
    } else {
        let (mount, folder) = workspace::defaults(sources, workspace);
        (Some(mount), folder)
    };
    let known = Known { env: Some(sources), workspace, container_folder: None, id: Some(id.as_str()) };
    match value("workspaceFolder") {
        Some(NodeKind::Text(text)) if !text.is_empty() => (mount, known.expand(text)),
        _ => (mount, folder),
    }
}

/// What the file says; an empty string is no mount at all.
fn decode_workspace_mount(
    fields: &mut Fields,
    default: Option<Mount>,
    mistakes: &mut Mistakes,
) -> Option<Mount> {
    match fields.take("workspaceMount") {
        None => default,
        Some(spot) if spot.node.kind == NodeKind::Text(String::new()) => None,
        Some(spot) => Mount::decode(spot, mistakes),
    }
}

/// The features as written; an empty string, which some old files have, is none.
fn decode_features(fields: &mut Fields, mistakes: &mut Mistakes) -> Map<String, Value> {
    match fields.take("features") {
        Some(spot) if spot.node.kind != NodeKind::Text(String::new()) => {
            spot.fields("an object", mistakes).map(|features| features.rest()).unwrap_or_default()
        }
        _ => Map::new(),
    }
}

fn decode_secrets(fields: &mut Fields, mistakes: &mut Mistakes) -> BTreeMap<String, Secret> {
    let Some(secrets) = fields.fields("secrets", mistakes) else { return BTreeMap::new() };
    secrets
        .into_spots()
        .filter_map(|(name, spot)| {
            let mut fields = spot.fields("an object", mistakes)?;
            let description = fields.text("description", mistakes);
            let documentation_url = fields.text("documentationUrl", mistakes);
            Some((name, Secret { description, documentation_url }))
        })
        .collect()
}

/// Covers what the container is created from and with, and not what can change in a running one: hooks,
/// ports, the environment of tools, names.
fn digest_of(config: &Config) -> String {
    let properties = Properties {
        init: config.properties.init,
        privileged: config.properties.privileged,
        cap_add: config.properties.cap_add.clone(),
        security_opt: config.properties.security_opt.clone(),
        mounts: config.properties.mounts.clone(),
        container_env: config.properties.container_env.clone(),
        container_user: config.properties.container_user.clone(),
        remote_user: config.properties.remote_user.clone(),
        update_remote_user_uid: config.properties.update_remote_user_uid,
        override_command: config.properties.override_command,
        host_requirements: config.properties.host_requirements.clone(),
        ..Properties::default()
    };
    digest::of(&json!({
        "container": config.container,
        "workspaceFolder": config.workspace_folder,
        "workspaceMount": config.workspace_mount,
        "runArgs": config.run_args,
        "appPorts": config.app_ports,
        "properties": properties,
        "features": config.features,
        "overrideFeatureInstallOrder": config.override_feature_install_order,
    }))
}

#[cfg(test)]
mod tests;
