//! The model of a configuration: one workspace's file, typed, with the first pass of variables done.

mod container;
mod legacy;
mod oddities;
mod properties;

pub(crate) use container::{Place, decode as decode_container};
pub(crate) use legacy::{move_build, move_customizations};
pub(crate) use oddities::oddities;
pub(crate) use properties::IN_LABEL;
pub use properties::{Properties, ShutdownAction, UserEnvProbe, WaitFor};

use crate::id::DevcontainerId;
use crate::lifecycle::Command;
use crate::mount::Mount;
use crate::warning::Warning;
use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Everything one workspace's configuration says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The file it was read from; `None` when the workspace has none and the default image serves.
    pub file: Option<Utf8PathBuf>,
    /// The files that this one extends, the nearest first.
    pub extends: Vec<Utf8PathBuf>,
    /// The workspace folder on the host, absolute. Empty where a configuration is used without one, for a
    /// container that exists already; its variables are left as written then.
    pub workspace: Utf8PathBuf,
    /// The name to show.
    pub name: Option<String>,
    /// The labels by which the container is found again, by us and by other tools.
    pub id_labels: BTreeMap<String, String>,
    /// The value of `${devcontainerId}`, made of these labels.
    pub id: DevcontainerId,
    /// What the container is made of.
    pub container: ContainerSource,
    /// The folder in the container in which people and commands start, absolute. Empty where there is no
    /// workspace and the file does not say one.
    pub workspace_folder: String,
    /// How the workspace gets into the container. `None` with compose, whose files say it themselves, and
    /// where the configuration says `"workspaceMount": ""`.
    pub workspace_mount: Option<Mount>,
    /// The repository that a git worktree belongs to, where that was asked for. Not for compose.
    pub additional_mount: Option<Mount>,
    /// More arguments for creating the container, as `docker run` takes them. Not for compose.
    pub run_args: Vec<String>,
    /// Ports to publish, as `docker run --publish` takes them. Not for compose.
    pub app_ports: Vec<String>,
    /// The part that images and features can say as well; see [`crate::merge`].
    pub properties: Properties,
    /// Runs on the host, in the workspace folder, before anything else and at every start.
    pub initialize_command: Option<Command>,
    /// The features to install, by reference, with their options as written.
    pub features: Map<String, Value>,
    /// Features, without versions, that are to be installed before the others.
    pub override_feature_install_order: Vec<String>,
    /// The secrets that the configuration would like to be given, by the name of their variable.
    pub secrets: BTreeMap<String, Secret>,
    /// Top-level properties that the specification does not know.
    pub unknown: Map<String, Value>,
    /// The whole file as written, before variables, together with the files it extends; `extensions`,
    /// `settings` and `devPort` moved to `customizations`.
    pub written: Map<String, Value>,
    /// The same with the variables replaced that are known before there is a container, but for
    /// `${devcontainerId}`. See [`crate::reference`].
    pub substituted: Map<String, Value>,
    /// What is odd about the file without being wrong.
    pub warnings: Vec<Warning>,
    /// SHA-256 in hex over everything whose change needs a new container.
    pub digest: String,
}

impl Config {
    /// The labels by which the container is found again, by us and by other tools.
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.id_labels.clone()
    }
}

/// What a container is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum ContainerSource {
    /// An image as it is.
    Image {
        /// Its reference.
        image: String,
    },
    /// An image built from a Dockerfile.
    Build(Build),
    /// One service of a compose project.
    Compose(Compose),
}

/// How to build an image. Paths are absolute paths of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// The Dockerfile.
    pub dockerfile: Utf8PathBuf,
    /// The folder that `COPY` sees: as said, relative to the configuration, else the Dockerfile's own.
    pub context: Utf8PathBuf,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// The stage to build; the last one without it.
    pub target: Option<String>,
    /// Images to take cached layers from.
    pub cache_from: Vec<String>,
    /// More arguments for the build, as `docker build` takes them.
    pub options: Vec<String>,
}

/// Which service of which compose project is the dev container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compose {
    /// The compose files, absolute, in the order in which they override each other.
    pub files: Vec<Utf8PathBuf>,
    /// The service that is the dev container.
    pub service: String,
    /// The services to start beside it; all of them when `None`.
    pub run_services: Option<Vec<String>>,
    /// The project's name where neither the environment, an `.env` nor the files say one.
    pub project_name_hint: String,
}

/// A secret that a configuration would like to be given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where to read how to get one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documentation_url: Option<String>,
}
