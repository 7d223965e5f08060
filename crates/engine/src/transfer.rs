//! What passes between two engines: images, the contents of volumes, networks, and containers as they are defined.
//!
//! Objects travel as the engine's own JSON: the models of the API client drop what they do not know, and what is
//! dropped here would be lost. Bytes travel as streams, never through a file, and as long as they take.

mod raw;
mod records;

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{BoxStream, Stream};
use hyper::Method;
use serde_json::{Value, json};

pub use records::{ContainerRecord, EngineFacts, ImageRecord, NetworkRecord, VolumeRecord};

use crate::connect::Engine;
use crate::error::{EngineError, absent_is_none};
pub(crate) use raw::Body;
pub(crate) use records::{list, pairs, strings, text};

/// The answer to an archive comes when all of it was unpacked, and a volume may be as large as a disk.
const ARCHIVE_SECONDS: u64 = 7 * 24 * 3600;

/// An archive without entries: two blocks of zeros.
const EMPTY_ARCHIVE: [u8; 1024] = [0; 1024];

/// Bytes as they come from an engine.
pub type ByteStream = BoxStream<'static, Result<Bytes, EngineError>>;

impl Engine {
    /// What matters of the engine to what is moved.
    pub async fn facts(&self) -> Result<EngineFacts, EngineError> {
        let said = self.get("tell about itself", "/info").await?;
        let version = self.version().await?;
        Ok(EngineFacts::read(&said, version.architecture))
    }

    /// All images that have a name or that a container could use; not the layers in between.
    pub async fn image_records(&self) -> Result<Vec<ImageRecord>, EngineError> {
        let said = self.get("list the images", "/images/json").await?;
        let mut records = Vec::new();
        for image in list(&said) {
            // One may have been removed since.
            records.extend(self.image_record(&text(image, "Id")).await?);
        }
        Ok(records)
    }

    /// One image; `None` when there is none of that name or id.
    pub async fn image_record(&self, reference: &str) -> Result<Option<ImageRecord>, EngineError> {
        let operation = format!("look at the image `{reference}`");
        let said = absent_is_none(self.get(&operation, &format!("/images/{reference}/json")).await)?;
        Ok(said.as_ref().map(ImageRecord::read))
    }

    /// An image with all its layers, as `docker save` writes it, without its names.
    pub fn save_image(&self, id: &str) -> Result<ByteStream, EngineError> {
        let operation = format!("save the image `{id}`");
        let stream = self.patient(&operation)?.export_image(id);
        Ok(self.clone().bytes(operation, stream.boxed()))
    }

    /// Makes an image that holds nothing and has no name, with a label; its id.
    pub async fn import_empty_image(&self, label: &str, value: &str) -> Result<String, EngineError> {
        let operation = "make an empty image";
        let path = format!("/images/create?fromSrc=-&changes=LABEL%20{label}%3D{value}");
        let said = self.raw(operation, Method::POST, &path, Body::Archive(&EMPTY_ARCHIVE)).await?;
        Ok(text(&said, "status"))
    }

    /// All containers, stopped ones too, as they are defined.
    pub async fn container_records(&self) -> Result<Vec<ContainerRecord>, EngineError> {
        let said = self.get("list the containers", "/containers/json?all=1").await?;
        let mut records = Vec::new();
        for container in list(&said) {
            records.extend(self.container_record(&text(container, "Id")).await?);
        }
        Ok(records)
    }

    /// One container as it is defined; `None` when there is none of that name or id.
    pub async fn container_record(&self, container: &str) -> Result<Option<ContainerRecord>, EngineError> {
        let operation = format!("look at the container `{container}`");
        let said = absent_is_none(self.get(&operation, &format!("/containers/{container}/json")).await)?;
        Ok(said.map(ContainerRecord::read))
    }

    /// Makes a container of a body as the API takes it (`Image`, `HostConfig`, …) and gives its id. Does not start
    /// it. Without a name the engine finds one.
    pub async fn create_from(&self, name: Option<&str>, body: &Value) -> Result<String, EngineError> {
        let shown = name.unwrap_or("for a while");
        let operation = format!("create the container `{shown}`");
        let path = match name {
            Some(name) => format!("/containers/create?name={name}"),
            None => "/containers/create".to_owned(),
        };
        Ok(text(&self.raw(&operation, Method::POST, &path, Body::Json(body)).await?, "Id"))
    }

    /// Makes an image without a name of a container as it is now, and gives its id. What `config` says (`Labels`, `Cmd`,
    /// …) wins over what the container was made with. The container is halted meanwhile.
    pub async fn commit(&self, container: &str, config: &Value) -> Result<String, EngineError> {
        let operation = format!("make an image of the container `{container}`");
        let path = format!("/commit?container={container}&pause=true");
        Ok(text(&self.raw(&operation, Method::POST, &path, Body::Json(config)).await?, "Id"))
    }

    /// Removes a container that does not run and nothing with it, no volume either. One that is gone is fine.
    pub async fn remove_unstarted(&self, container: &str) -> Result<(), EngineError> {
        let operation = format!("remove the container `{container}`");
        let path = format!("/containers/{container}?force=false&v=false");
        absent_is_none(self.raw(&operation, Method::DELETE, &path, Body::None).await).map(drop)
    }

    /// What a container wrote, removed or changed in its own file system, not in mounts.
    pub async fn changed_paths(&self, container: &str) -> Result<Vec<String>, EngineError> {
        let operation = format!("compare the container `{container}` with its image");
        let said = self.get(&operation, &format!("/containers/{container}/changes")).await?;
        Ok(list(&said).iter().map(|change| text(change, "Path")).collect())
    }

    /// A file or folder of a container, which need not run, as a tar archive that begins with its last name.
    pub fn archive_of(&self, container: &str, path: &str) -> Result<ByteStream, EngineError> {
        let operation = format!("read `{path}` of the container `{container}`");
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let stream = self.patient(&operation)?.download_from_container(container, Some(options));
        Ok(self.clone().bytes(operation, stream.boxed()))
    }

    /// Unpacks a tar archive into a folder of a container, which need not run, with owners, times and modes as the
    /// archive has them. `what` is for an error's text.
    pub async fn extract_into(
        &self,
        container: &str,
        path: &str,
        what: &str,
        archive: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), EngineError> {
        let operation = format!("write {what}");
        let options = UploadToContainerOptionsBuilder::new().path(path).build();
        let api = self.patient(&operation)?;
        let done = api.upload_to_container(container, Some(options), bollard::body_try_stream(archive)).await;
        done.map_err(|error| self.failed(&operation, error))
    }

    /// All volumes.
    pub async fn volume_records(&self) -> Result<Vec<VolumeRecord>, EngineError> {
        let said = self.get("list the volumes", "/volumes").await?;
        Ok(list(&said["Volumes"]).iter().map(VolumeRecord::read).collect())
    }

    /// One volume; `None` when there is none of that name.
    pub async fn volume_record(&self, name: &str) -> Result<Option<VolumeRecord>, EngineError> {
        let operation = format!("look at the volume `{name}`");
        let said = absent_is_none(self.get(&operation, &format!("/volumes/{name}")).await)?;
        Ok(said.as_ref().map(VolumeRecord::read))
    }

    /// Makes a volume with the name, driver, options and labels of another.
    pub async fn create_volume(&self, like: &VolumeRecord) -> Result<(), EngineError> {
        let operation = format!("create the volume `{}`", like.name);
        let body = json!({
            "Name": like.name, "Driver": like.driver, "DriverOpts": like.options, "Labels": like.labels,
        });
        self.raw(&operation, Method::POST, "/volumes/create", Body::Json(&body)).await.map(drop)
    }

    /// Removes a volume that no container uses. One that is gone is fine.
    pub async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let operation = format!("remove the volume `{name}`");
        let removed = self.raw(&operation, Method::DELETE, &format!("/volumes/{name}"), Body::None).await;
        absent_is_none(removed).map(drop)
    }

    /// Bytes that the layers of all images take together, and those of each volume; without those volumes whose
    /// driver cannot tell.
    pub async fn disk_usage(&self) -> Result<(u64, BTreeMap<String, u64>), EngineError> {
        let said = self.get("tell what takes space", "/system/df?type=image&type=volume").await?;
        let sizes = list(&said["Volumes"]).iter().filter_map(|volume| {
            let size = volume["UsageData"]["Size"].as_i64()?;
            Some((text(volume, "Name"), u64::try_from(size).ok()?))
        });
        Ok((said["LayersSize"].as_u64().unwrap_or_default(), sizes.collect()))
    }

    /// All networks.
    pub async fn network_records(&self) -> Result<Vec<NetworkRecord>, EngineError> {
        let said = self.get("list the networks", "/networks").await?;
        Ok(list(&said).iter().cloned().map(NetworkRecord::read).collect())
    }

    /// Makes a network of a body as the API takes it (`Name`, `Driver`, `IPAM`, …).
    pub async fn create_network(&self, body: &Value) -> Result<(), EngineError> {
        let operation = format!("create the network `{}`", text(body, "Name"));
        self.raw(&operation, Method::POST, "/networks/create", Body::Json(body)).await.map(drop)
    }

    async fn get(&self, operation: &str, path: &str) -> Result<Value, EngineError> {
        self.raw(operation, Method::GET, path, Body::None).await
    }

    /// The API, with time for what is as long as a stream.
    pub(crate) fn patient(&self, operation: &str) -> Result<bollard::Docker, EngineError> {
        Ok(self.api(operation)?.with_timeout(Duration::from_secs(ARCHIVE_SECONDS)))
    }

    fn bytes(
        self,
        operation: String,
        stream: BoxStream<'static, Result<Bytes, bollard::errors::Error>>,
    ) -> ByteStream {
        stream.map(move |piece| piece.map_err(|error| self.failed(&operation, error))).boxed()
    }
}
