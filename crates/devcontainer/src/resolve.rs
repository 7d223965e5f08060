//! Reads a located configuration: text, legacy properties, variables, types, in this order.

use crate::config::{
    self, Config, ContainerSource, Properties, Secret, decode_container, move_build, move_customizations,
    oddities,
};
use crate::decode::{Fields, Mistake, Mistakes, Problem, Spot};
use crate::digest;
use crate::extends::{Origin, Whole, read_whole};
use crate::id::{self, DevcontainerId};
use crate::jsonc::{self, Node, NodeKind, SyntaxError, to_map};
use crate::lifecycle::Command;
use crate::locate::Located;
use crate::mount::Mount;
use crate::ports::decode_app_ports;
use crate::sources::{SourceError, Sources};
use crate::substitute::{Known, nameless};
use crate::workspace::{self, Mounting};
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
    let line = |mistake: &Mistake| format!("{}:{mistake}", mistake.file.as_deref().unwrap_or(file));
    mistakes.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What to read, and what the world around it is.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions<'a> {
    /// The workspace folder on the host, absolute; `None` for a container that exists already and is known
    /// by other means.
    pub workspace: Option<&'a Utf8Path>,
    /// The configuration file: what its relative paths are relative to, and what the container is labelled
    /// with. `None` where the workspace has none.
    pub file: Option<&'a Utf8Path>,
    /// The file that holds the text, where that is not `file` itself.
    pub text_from: Option<&'a Utf8Path>,
    /// The image of the container where there is no file.
    pub default_image: &'a str,
    /// Whether a container can be made of it: it says of what, and the Dockerfile and the compose files that it
    /// names are there. Whoever only shows a configuration, or has a container already, can do without.
    pub must_be_complete: bool,
    /// How the workspace gets into the container where the file does not say.
    pub mounting: Mounting<'a>,
    /// The labels by which the container is found, where they are not those of folder and file.
    pub id_labels: Option<&'a BTreeMap<String, String>>,
}

/// Reads the configuration of `workspace` and replaces the variables that are known before there is a
/// container. Without a file the result describes a container of `default_image`.
pub fn read(
    sources: &dyn Sources,
    workspace: &Utf8Path,
    located: &Located,
    default_image: &str,
) -> Result<Config, ReadError> {
    let file = match located {
        Located::ConfigFile(file) => Some(file.as_path()),
        Located::None => None,
    };
    let options = ReadOptions {
        workspace: Some(workspace),
        file,
        text_from: None,
        default_image,
        must_be_complete: true,
        mounting: Mounting::default(),
        id_labels: None,
    };
    read_with(sources, &options)
}

/// Reads a configuration as [`read`] does, in more particular circumstances.
pub fn read_with(sources: &dyn Sources, options: &ReadOptions<'_>) -> Result<Config, ReadError> {
    let Some(text_from) = options.text_from.or(options.file) else {
        return Ok(without_file(sources, options));
    };
    let file = options.file.unwrap_or(text_from);
    let folder = file.parent().unwrap_or(Utf8Path::new("/"));
    let root = workspace::repository(sources, options.workspace.unwrap_or(folder));
    let whole = read_whole(sources, &Origin { file, text_from, root })?;
    let mut mistakes = Mistakes::default();
    let files = whole.files.clone();
    let config = decode(sources, options, file, whole, &mut mistakes);
    match config {
        Some(config) if mistakes.0.is_empty() => Ok(config),
        _ => Err(mistakes.refuse(&files)),
    }
}

/// The labels of the container and the id made of them.
fn identity(options: &ReadOptions<'_>) -> (BTreeMap<String, String>, DevcontainerId) {
    let labels = options.id_labels.cloned().unwrap_or_else(|| id::labels(options.workspace, options.file));
    let id = DevcontainerId::of_labels(&labels);
    (labels, id)
}

fn without_file(sources: &dyn Sources, options: &ReadOptions<'_>) -> Config {
    let place = options.workspace.map(|folder| workspace::defaults(sources, folder, &options.mounting));
    let (id_labels, id) = identity(options);
    let (workspace_mount, additional_mount, workspace_folder) = match place {
        Some(place) => (Some(place.mount), place.additional, place.folder),
        None => (None, None, String::new()),
    };
    let mut config = Config {
        file: None,
        extends: Vec::new(),
        workspace: options.workspace.map(Utf8Path::to_owned).unwrap_or_default(),
        name: None,
        id_labels,
        id,
        container: ContainerSource::Image { image: options.default_image.to_owned() },
        workspace_folder,
        workspace_mount,
        additional_mount,
        run_args: Vec::new(),
        app_ports: Vec::new(),
        properties: Properties::default(),
        initialize_command: None,
        features: Map::new(),
        override_feature_install_order: Vec::new(),
        secrets: BTreeMap::new(),
        unknown: Map::new(),
        written: Map::new(),
        substituted: Map::new(),
        warnings: Vec::new(),
        digest: String::new(),
    };
    config.digest = digest_of(&config);
    config
}

fn decode(
    sources: &dyn Sources,
    options: &ReadOptions<'_>,
    file: &Utf8Path,
    whole: Whole,
    mistakes: &mut Mistakes,
) -> Option<Config> {
    let Whole { at, mut fields, files } = whole;
    move_customizations(&mut fields);
    let written = to_map(&fields);
    let (id_labels, id) = identity(options);
    let place = default_place(sources, options, &fields, &id);
    let known = Known {
        env: Some(sources),
        workspace: options.workspace,
        container_folder: Some(place.folder.as_str()).filter(|folder| !folder.is_empty()),
        id: None,
    };
    let mut root = Node { at, kind: NodeKind::Map(fields) };
    root.for_each_text(&mut |position, text| {
        if let Some(variable) = nameless(text) {
            mistakes.add(position, "", Problem::NamelessVariable { variable });
        }
        *text = known.expand(text);
    });
    let substituted = match root.to_value() {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let known = Known { id: Some(id.as_str()), ..Known::nothing() };
    root.for_each_text(&mut |_, text| *text = known.expand(text));
    let warnings = match &mut root.kind {
        NodeKind::Map(fields) => {
            move_build(fields);
            oddities(fields, &files)
        }
        _ => Vec::new(),
    };

    let mut fields = Spot::root(root).fields("an object", mistakes)?;
    fields.take("$schema");
    fields.take("workspaceFolder").and_then(|spot| spot.text(mistakes));
    let folder = file.parent().unwrap_or(Utf8Path::new("/"));
    let place_of_paths = config::Place {
        sources,
        workspace: options.workspace.unwrap_or(folder),
        folder,
        must_be_complete: options.must_be_complete,
    };
    let container = decode_container(&mut fields, &place_of_paths, mistakes);
    let is_whole = container.is_some();
    let mut config = Config {
        file: Some(file.to_owned()),
        extends: files.into_iter().skip(1).collect(),
        workspace: options.workspace.map(Utf8Path::to_owned).unwrap_or_default(),
        name: fields.filled_text("name", mistakes),
        id_labels,
        id,
        // Reading goes on without, so that all mistakes are told at once.
        container: container.unwrap_or(ContainerSource::Image { image: String::new() }),
        workspace_mount: decode_workspace_mount(&mut fields, place.mount, mistakes),
        additional_mount: place.additional,
        workspace_folder: place.folder,
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
        substituted,
        warnings,
        digest: String::new(),
    };
    config.digest = digest_of(&config);
    is_whole.then_some(config)
}

/// Where the workspace appears in the container; an empty folder where nobody says it.
struct Place {
    mount: Option<Mount>,
    additional: Option<Mount>,
    folder: String,
}

/// The mounts where the file does not say them, and the folder, which the file may give in variables.
fn default_place(
    sources: &dyn Sources,
    options: &ReadOptions<'_>,
    fields: &[jsonc::Field],
    id: &DevcontainerId,
) -> Place {
    let value = |name: &str| fields.iter().find(|field| field.name == name).map(|field| &field.value.kind);
    let says = |name: &str| value(name).is_some_and(|kind| *kind != NodeKind::Null);
    let mut place = Place { mount: None, additional: None, folder: String::new() };
    if says("dockerComposeFile") {
        "/".clone_into(&mut place.folder);
    } else if let Some(workspace) = options.workspace {
        let default = workspace::defaults(sources, workspace, &options.mounting);
        let is_used = !says("workspaceFolder") || !says("workspaceMount");
        place = Place {
            mount: Some(default.mount),
            additional: default.additional.filter(|_| is_used),
            folder: default.folder,
        };
    }
    if let Some(NodeKind::Text(text)) = value("workspaceFolder")
        && !text.is_empty()
    {
        let known = Known {
            env: Some(sources),
            workspace: options.workspace,
            container_folder: None,
            id: Some(id.as_str()),
        };
        place.folder = known.expand(text);
    }
    place
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

/// The features as written; an empty string, which some old files have, is none. Any other string, which
/// the reference takes for a list of letters, is refused.
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
