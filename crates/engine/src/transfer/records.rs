//! The engine's objects as far as we look at them, beside its own JSON where all of it counts.

use std::collections::BTreeMap;

use serde_json::Value;

/// What an engine says of itself that matters to what is moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineFacts {
    /// The engine's identity, made when it first started.
    pub id: String,
    /// The processor in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// The runtime of a container that names none.
    pub default_runtime: String,
    /// The driver of logs of a container that names none.
    pub default_logging: String,
}

/// An image, as far as it can be told apart from others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImageRecord {
    /// Its id, `sha256:…`. Depends on how the engine stores images.
    pub id: String,
    /// Its names, `repository:tag`.
    pub tags: Vec<String>,
    /// Bytes of all its layers, those it shares too.
    pub size: u64,
    /// When it was made, RFC 3339, in the image's own spelling.
    pub created: String,
    /// The system it is for, in Go's words.
    pub os: String,
    /// The processor it is for, in Go's words.
    pub architecture: String,
    /// The kind of that processor; mostly empty.
    pub variant: String,
    /// Digests of its layers as they are unpacked, the lowest first.
    pub layers: Vec<String>,
    /// How containers of it run: `Env`, `Cmd`, `Labels`, ….
    pub config: Value,
}

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeRecord {
    /// Its name.
    pub name: String,
    /// Who keeps its content; `local` is the engine itself.
    pub driver: String,
    /// What was asked of the driver.
    pub options: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made, RFC 3339, in the engine's own spelling.
    pub created_at: String,
}

/// A network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NetworkRecord {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its driver: `bridge`, ….
    pub driver: String,
    /// `local`, or `swarm` for one that several engines share.
    pub scope: String,
    /// All that the engine says of it.
    pub inspect: Value,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerRecord {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The id of its image.
    pub image_id: String,
    /// Whether it runs, paused or not.
    pub running: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The volumes that are mounted in it: path in the container, and name.
    pub volumes: BTreeMap<String, String>,
    /// All that the engine says of it.
    pub inspect: Value,
}

impl EngineFacts {
    pub(super) fn read(said: &Value, architecture: String) -> Self {
        Self {
            id: text(said, "ID"),
            architecture,
            default_runtime: text(said, "DefaultRuntime"),
            default_logging: text(said, "LoggingDriver"),
        }
    }
}

impl ImageRecord {
    pub(super) fn read(said: &Value) -> Self {
        let tags = strings(&said["RepoTags"]).into_iter().filter(|tag| !tag.contains("<none>"));
        Self {
            id: text(said, "Id"),
            tags: tags.collect(),
            size: said["Size"].as_u64().unwrap_or_default(),
            created: text(said, "Created"),
            os: text(said, "Os"),
            architecture: text(said, "Architecture"),
            variant: text(said, "Variant"),
            layers: strings(&said["RootFS"]["Layers"]),
            config: said["Config"].clone(),
        }
    }
}

impl VolumeRecord {
    pub(crate) fn read(said: &Value) -> Self {
        Self {
            name: text(said, "Name"),
            driver: text(said, "Driver"),
            options: pairs(&said["Options"]),
            labels: pairs(&said["Labels"]),
            created_at: text(said, "CreatedAt"),
        }
    }
}

impl NetworkRecord {
    pub(super) fn read(inspect: Value) -> Self {
        Self {
            name: text(&inspect, "Name"),
            id: text(&inspect, "Id"),
            driver: text(&inspect, "Driver"),
            scope: text(&inspect, "Scope"),
            inspect,
        }
    }
}

impl ContainerRecord {
    pub(super) fn read(inspect: Value) -> Self {
        let volumes = list(&inspect["Mounts"]).iter().filter(|mount| mount["Type"] == "volume");
        Self {
            id: text(&inspect, "Id"),
            name: text(&inspect, "Name").trim_start_matches('/').to_owned(),
            image_id: text(&inspect, "Image"),
            running: inspect["State"]["Running"] == true,
            labels: pairs(&inspect["Config"]["Labels"]),
            volumes: volumes.map(|mount| (text(mount, "Destination"), text(mount, "Name"))).collect(),
            inspect,
        }
    }
}

/// The text under a key; empty where there is none.
pub(crate) fn text(said: &Value, key: &str) -> String {
    said[key].as_str().unwrap_or_default().to_owned()
}

/// The elements of a list; none of `null`, which is what the engine writes for an empty one.
pub(crate) fn list(said: &Value) -> &[Value] {
    said.as_array().map_or(&[], Vec::as_slice)
}

/// The texts in a list.
pub(crate) fn strings(said: &Value) -> Vec<String> {
    list(said).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The texts under each key.
pub(crate) fn pairs(said: &Value) -> BTreeMap<String, String> {
    let pairs = said.as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}
