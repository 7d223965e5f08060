//! The engine's lists, row by row. What a row lacks is empty: engines differ in what they tell.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::transfer::{VolumeRecord, list, pairs, strings, text};

/// A container in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image as it was named.
    pub image: String,
    /// The id of that image.
    pub image_id: String,
    /// `running`, `exited`, ….
    pub state: String,
    /// The same for people: `Up 2 hours`.
    pub status: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its ports, one for each address family.
    pub ports: Vec<PortRow>,
    /// Names of its volumes.
    pub volumes: Vec<String>,
    /// Names of its networks.
    pub networks: Vec<String>,
    /// Bytes it wrote beside its image; only where that was asked for.
    pub size: Option<u64>,
}

/// A port of a container in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortRow {
    /// In the container.
    pub container: u16,
    /// Where it is published, if it is.
    pub host: Option<u16>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// An image in a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageRow {
    /// Its id.
    pub id: String,
    /// Its names.
    pub tags: Vec<String>,
    /// Bytes of all its layers.
    pub size: u64,
    /// Bytes of those that others have too; known only where it was looked for.
    pub shared: Option<u64>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// One step of the making of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerRow {
    /// The instruction.
    pub created_by: String,
    /// When, in seconds since 1970.
    pub created: i64,
    /// Bytes it added.
    pub size: u64,
    /// What was remarked.
    pub comment: String,
}

/// A record of the cache of builds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildRow {
    /// Its id.
    pub id: String,
    /// `regular`, `source.local`, ….
    pub kind: String,
    /// What made it.
    pub description: String,
    /// Bytes.
    pub size: u64,
    /// Whether a build uses it now.
    pub in_use: bool,
    /// Whether an image has it too.
    pub shared: bool,
    /// When it was made, RFC 3339.
    pub created: String,
    /// When it was last used, RFC 3339; empty if never.
    pub last_used: String,
    /// How often.
    pub uses: u64,
}

/// What takes space in an engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DiskUse {
    /// Bytes of the layers of all images, each counted once.
    pub layers: u64,
    /// The containers, with their sizes.
    pub containers: Vec<ContainerRow>,
    /// The images, with what they share.
    pub images: Vec<ImageRow>,
    /// The volumes, with their sizes where their driver tells.
    pub volumes: Vec<(VolumeRecord, Option<u64>)>,
    /// The records of the cache of builds.
    pub builds: Vec<BuildRow>,
}

impl ContainerRow {
    pub(super) fn read(said: &Value) -> Self {
        let names = strings(&said["Names"]);
        let volumes = list(&said["Mounts"]).iter().filter(|mount| mount["Type"] == "volume");
        let networks = said["NetworkSettings"]["Networks"].as_object();
        Self {
            id: text(said, "Id"),
            name: names.first().map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default(),
            image: text(said, "Image"),
            image_id: text(said, "ImageID"),
            state: text(said, "State"),
            status: text(said, "Status"),
            created: said["Created"].as_i64().unwrap_or_default(),
            labels: pairs(&said["Labels"]),
            ports: list(&said["Ports"]).iter().filter_map(PortRow::read).collect(),
            volumes: volumes.map(|mount| text(mount, "Name")).collect(),
            networks: networks.into_iter().flatten().map(|(name, _)| name.clone()).collect(),
            size: said["SizeRw"].as_u64(),
        }
    }

    /// Whether it does nothing and would not by itself.
    pub fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "created" | "exited" | "dead")
    }
}

impl PortRow {
    fn read(said: &Value) -> Option<Self> {
        let port = |name: &str| u16::try_from(said[name].as_u64()?).ok();
        Some(Self {
            container: port("PrivatePort")?,
            host: port("PublicPort").filter(|port| *port != 0),
            protocol: text(said, "Type"),
        })
    }
}

impl ImageRow {
    pub(super) fn read(said: &Value) -> Self {
        let tags = strings(&said["RepoTags"]).into_iter().filter(|tag| !tag.contains("<none>"));
        Self {
            id: text(said, "Id"),
            tags: tags.collect(),
            size: said["Size"].as_u64().unwrap_or_default(),
            // -1 where nobody looked.
            shared: said["SharedSize"].as_u64(),
            created: said["Created"].as_i64().unwrap_or_default(),
            labels: pairs(&said["Labels"]),
        }
    }
}

impl LayerRow {
    pub(super) fn read(said: &Value) -> Self {
        Self {
            created_by: text(said, "CreatedBy"),
            created: said["Created"].as_i64().unwrap_or_default(),
            size: said["Size"].as_u64().unwrap_or_default(),
            comment: text(said, "Comment"),
        }
    }
}

impl BuildRow {
    pub(super) fn read(said: &Value) -> Self {
        Self {
            id: text(said, "ID"),
            kind: text(said, "Type"),
            description: text(said, "Description"),
            size: said["Size"].as_u64().unwrap_or_default(),
            in_use: said["InUse"] == true,
            shared: said["Shared"] == true,
            created: text(said, "CreatedAt"),
            last_used: text(said, "LastUsedAt"),
            uses: said["UsageCount"].as_u64().unwrap_or_default(),
        }
    }
}

impl DiskUse {
    pub(super) fn read(said: &Value) -> Self {
        // -1 where the driver does not tell.
        let volume = |said: &Value| (VolumeRecord::read(said), said["UsageData"]["Size"].as_u64());
        Self {
            layers: said["LayersSize"].as_u64().unwrap_or_default(),
            containers: list(&said["Containers"]).iter().map(ContainerRow::read).collect(),
            images: list(&said["Images"]).iter().map(ImageRow::read).collect(),
            volumes: list(&said["Volumes"]).iter().map(volume).collect(),
            builds: list(&said["BuildCache"]).iter().map(BuildRow::read).collect(),
        }
    }
}
