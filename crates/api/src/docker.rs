//! What the Docker Engine in the machine has, whoever made it: containers, images, volumes, networks, the cache of builds.
//!
//! Read anew each time, never stored: the engine is the only one who knows. Names and texts come from images and from
//! programs, so they are whatever those wanted them to be.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::EnvironmentId;

/// Whose something is, where that is an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerOwner {
    /// The environment.
    pub environment: EnvironmentId,
    /// Its name; absent if there is no such environment any more, and what is left of it may go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether Cove itself looks after it: it is started, stopped and removed with its environment, and not here.
    pub kept: bool,
}

/// Where a container is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DockerContainerState {
    /// Made and never started.
    Created,
    /// It runs.
    Running,
    /// Its processes are halted.
    Paused,
    /// It ended and is being started again.
    Restarting,
    /// It is being removed.
    Removing,
    /// It ended.
    Exited,
    /// It could not be removed whole.
    Dead,
}

/// A port of a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct DockerPort {
    /// The port in the container.
    pub container: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The port it is published as; absent for one that is only declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<u16>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerContainer {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image as it was named.
    pub image: String,
    /// The id of that image.
    pub image_id: String,
    /// Where it is on its way.
    pub state: DockerContainerState,
    /// The same in the engine's words: `Up 2 hours (healthy)`, `Exited (1) 3 days ago`.
    pub status: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// Its ports.
    pub ports: Vec<DockerPort>,
    /// Names of the volumes in it.
    pub volumes: Vec<String>,
    /// Names of the networks it is in.
    pub networks: Vec<String>,
    /// The compose project it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Its service there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The environment it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<DockerOwner>,
    /// Bytes that it wrote beside its image; absent unless sizes were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerImage {
    /// Its id, `sha256:…`.
    pub id: String,
    /// Its names, `repository:tag`; none for one that lost them.
    pub tags: Vec<String>,
    /// Bytes of all its layers, those it shares with others too.
    pub size: u64,
    /// When it was made, by its own account.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// Names of the containers that were made of it.
    pub used_by: Vec<String>,
    /// Whether it is a prebuild: `cove prebuild` looks after those.
    pub prebuild: bool,
    /// The environment it was built for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<DockerOwner>,
}

/// One step of the making of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerLayer {
    /// The instruction that made it, as it was recorded.
    pub created_by: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// Bytes it added; 0 for an instruction that only says something.
    pub size: u64,
    /// What was remarked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// An image with what it is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DockerImageDetail {
    /// The image.
    pub image: DockerImage,
    /// Its layers, the newest first.
    pub layers: Vec<DockerLayer>,
    /// All that the engine says of it.
    pub inspect: serde_json::Value,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerVolume {
    /// Its name.
    pub name: String,
    /// Who keeps its content; `local` is the engine itself.
    pub driver: String,
    /// When it was made.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Whether it was made for one container without a name of its own.
    pub anonymous: bool,
    /// Names of the containers that have it, running or not.
    pub used_by: Vec<String>,
    /// Bytes in it; absent unless sizes were asked for, and where its driver cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The compose project it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The environment it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<DockerOwner>,
}

/// What something in a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DockerFileKind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A symbolic link, which is not followed.
    Link,
    /// A socket, a pipe or a device.
    Special,
}

/// Something in a folder of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerFile {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: DockerFileKind,
    /// Bytes in it; of a folder, none.
    pub size: u64,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub modified: Timestamp,
    /// Its permissions as `ls` writes them: `rwxr-xr-x`.
    pub mode: String,
    /// The number of the user who owns it.
    pub uid: u32,
    /// The number of the group that owns it.
    pub gid: u32,
}

/// A folder of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerFolder {
    /// The folder below the volume; empty for the volume itself.
    pub path: String,
    /// What is in it: folders first, then by name.
    pub entries: Vec<DockerFile>,
    /// Whether there is more than is told.
    pub more: bool,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerNetwork {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its driver: `bridge`, ….
    pub driver: String,
    /// Its addresses, `172.18.0.0/16`.
    pub subnets: Vec<String>,
    /// Whether it leads nowhere but to its containers.
    pub internal: bool,
    /// Whether the engine itself has it: `bridge`, `host`, `none`.
    pub builtin: bool,
    /// Names of the containers that are in it, running or not.
    pub used_by: Vec<String>,
    /// The compose project it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The environment it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<DockerOwner>,
}

/// Something that a build left, for the next one to be faster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerBuildRecord {
    /// Its id.
    pub id: String,
    /// What it is: `regular`, `source.local`, `exec.cachemount`, ….
    pub kind: String,
    /// What made it.
    pub description: String,
    /// Bytes.
    pub size: u64,
    /// Whether a build uses it now.
    pub in_use: bool,
    /// Whether an image has it too, so that removing it frees nothing.
    pub shared: bool,
    /// When it was made.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// When a build last used it.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// How often builds used it.
    pub uses: u64,
}

/// What the engine keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DockerKind {
    /// Containers.
    Containers,
    /// Images.
    Images,
    /// Volumes.
    Volumes,
    /// Networks.
    Networks,
    /// The cache of builds.
    Builds,
}

/// What a prune would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerFreeable {
    /// How many.
    pub count: u64,
    /// Bytes that are free after that, at least: what images share is freed only with the last of them.
    pub bytes: u64,
    /// The first hundred of their names.
    pub names: Vec<String>,
}

/// What one kind of things takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerUse {
    /// How many there are.
    pub count: u64,
    /// Bytes they take together.
    pub bytes: u64,
    /// What a prune removes that says no more: stopped containers; images without a name and volumes without a name of
    /// their own that no container has; networks that no container is in; the whole cache of builds.
    pub prune: DockerFreeable,
    /// What a prune of `all` removes: images and volumes with names too, where no container has them.
    pub prune_all: DockerFreeable,
}

/// What takes space, and what a prune of each kind would free.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerUsage {
    /// Containers.
    pub containers: DockerUse,
    /// Images.
    pub images: DockerUse,
    /// Volumes.
    pub volumes: DockerUse,
    /// Networks.
    pub networks: DockerUse,
    /// The cache of builds.
    pub builds: DockerUse,
}

/// Body of `POST /v1/machines/{machine}/docker/prune`. Never removes what Cove looks after for an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerPruneRequest {
    /// Of what.
    pub kind: DockerKind,
    /// Whether images and volumes with names go too.
    #[serde(default)]
    pub all: bool,
}

/// What a prune removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DockerPruned {
    /// How many.
    pub count: u64,
    /// Bytes that are free now.
    pub bytes: u64,
    /// What the engine did not let go of, with its words.
    pub kept: Vec<String>,
}
