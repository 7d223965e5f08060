//! All that an engine has, as a list of each kind, with what each takes and who has it.

mod folder;
mod rows;

use bollard::query_parameters::EventsOptionsBuilder;
use futures::StreamExt;
use futures::stream::BoxStream;
use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde_json::Value;

pub use folder::{FolderEntry, FolderKind, FolderListing, parse_listing};
pub use rows::{BuildRow, ContainerRow, DiskUse, ImageRow, LayerRow, PortRow};

use crate::connect::Engine;
use crate::error::{EngineError, absent_is_none};
use crate::images::filters;
use crate::transfer::{Body, list};

/// What is news to somebody who looks at lists. Not the engine's word for each program that starts in a container, of
/// which a health check makes several a minute.
const NEWS: [&str; 21] = [
    "create",
    "start",
    "die",
    "destroy",
    "rename",
    "pause",
    "unpause",
    "update",
    "oom",
    "health_status",
    "pull",
    "delete",
    "tag",
    "untag",
    "import",
    "load",
    "connect",
    "disconnect",
    "prune",
    "stop",
    "restart",
];

/// The kinds of objects that have an `inspect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inspected {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network.
    Network,
}

impl Engine {
    /// All containers, stopped ones too. `sizes` takes the engine a while: it looks at every file they wrote.
    pub async fn container_rows(&self, sizes: bool) -> Result<Vec<ContainerRow>, EngineError> {
        let path = format!("/containers/json?all=1&size={}", u8::from(sizes));
        let said = self.ask("list the containers", &path).await?;
        let rows = list(&said).iter().map(ContainerRow::read);
        // Nothing written is not told.
        Ok(rows.map(|row| ContainerRow { size: sizes.then(|| row.size.unwrap_or(0)), ..row }).collect())
    }

    /// All images that have a name or that a container could use; not the layers in between.
    pub async fn image_rows(&self) -> Result<Vec<ImageRow>, EngineError> {
        let said = self.ask("list the images", "/images/json").await?;
        Ok(list(&said).iter().map(ImageRow::read).collect())
    }

    /// The steps that made an image, the newest first.
    pub async fn image_layers(&self, id: &str) -> Result<Vec<LayerRow>, EngineError> {
        let operation = format!("tell how the image `{id}` was made");
        let said = self.ask(&operation, &format!("/images/{}/history", encoded(id))).await?;
        Ok(list(&said).iter().map(LayerRow::read).collect())
    }

    /// All that the engine says of an object; `None` when there is none of that name or id.
    pub async fn inspect(&self, kind: Inspected, id: &str) -> Result<Option<Value>, EngineError> {
        let (what, path) = match kind {
            Inspected::Container => ("container", format!("/containers/{}/json", encoded(id))),
            Inspected::Image => ("image", format!("/images/{}/json", encoded(id))),
            Inspected::Volume => ("volume", format!("/volumes/{}", encoded(id))),
            Inspected::Network => ("network", format!("/networks/{}", encoded(id))),
        };
        absent_is_none(self.ask(&format!("look at the {what} `{id}`"), &path).await)
    }

    /// What takes space. The engine looks at every file of volumes and of what containers wrote.
    pub async fn disk_use(&self) -> Result<DiskUse, EngineError> {
        let said = self.ask("tell what takes space", "/system/df").await?;
        Ok(DiskUse::read(&said))
    }

    /// The records of the cache of builds.
    pub async fn build_rows(&self) -> Result<Vec<BuildRow>, EngineError> {
        let said = self.ask("tell what builds keep", "/system/df?type=build-cache").await?;
        Ok(list(&said["BuildCache"]).iter().map(BuildRow::read).collect())
    }

    /// Removes all of the cache of builds that no build uses now: how many records, and the bytes that frees.
    pub async fn prune_builds(&self) -> Result<(u64, u64), EngineError> {
        let said =
            self.raw("clear the cache of builds", Method::POST, "/build/prune?all=1", Body::None).await?;
        let count = list(&said["CachesDeleted"]).len() as u64;
        Ok((count, said["SpaceReclaimed"].as_u64().unwrap_or_default()))
    }

    /// Stops a container, with the time that it was made with, and starts it again.
    pub async fn restart_container(&self, container: &str) -> Result<(), EngineError> {
        let operation = format!("restart the container `{container}`");
        let path = format!("/containers/{}/restart", encoded(container));
        self.raw(&operation, Method::POST, &path, Body::None).await.map(drop)
    }

    /// Removes a container with its anonymous volumes; one that runs only by `force`, which kills it.
    ///
    /// # Errors
    /// It runs, is being removed, or is not there.
    pub async fn delete_container(&self, container: &str, force: bool) -> Result<(), EngineError> {
        let operation = format!("remove the container `{container}`");
        let path = format!("/containers/{}?force={force}&v=true", encoded(container));
        self.raw(&operation, Method::DELETE, &path, Body::None).await.map(drop)
    }

    /// Removes an image under all its names; `force` also where it has several, or stopped containers were made of it.
    ///
    /// # Errors
    /// It is in use, or not there.
    pub async fn delete_image(&self, id: &str, force: bool) -> Result<(), EngineError> {
        let operation = format!("remove the image `{id}`");
        let path = format!("/images/{}?force={force}", encoded(id));
        self.raw(&operation, Method::DELETE, &path, Body::None).await.map(drop)
    }

    /// Removes a volume that no container has.
    ///
    /// # Errors
    /// One has it, or there is no such volume.
    pub async fn delete_volume(&self, name: &str) -> Result<(), EngineError> {
        let operation = format!("remove the volume `{name}`");
        self.raw(&operation, Method::DELETE, &format!("/volumes/{}", encoded(name)), Body::None)
            .await
            .map(drop)
    }

    /// Removes a network that no container is in.
    ///
    /// # Errors
    /// One is in it, the engine itself has it, or it is not there.
    pub async fn delete_network(&self, id: &str) -> Result<(), EngineError> {
        let operation = format!("remove the network `{id}`");
        self.raw(&operation, Method::DELETE, &format!("/networks/{}", encoded(id)), Body::None)
            .await
            .map(drop)
    }

    /// Tells, from now on, that something changed among containers, images, volumes, networks or the cache of builds. An
    /// error or the end means that the connection is lost and something may have been missed.
    pub async fn news(&self) -> Result<BoxStream<'static, Result<(), EngineError>>, EngineError> {
        let operation = "report events";
        let kinds = ["container", "image", "volume", "network", "builder"];
        let wanted = filters(&[
            ("type", kinds.map(str::to_owned).to_vec()),
            ("event", NEWS.map(str::to_owned).to_vec()),
        ]);
        let now = self.clock(operation).await?;
        let mut options = EventsOptionsBuilder::new().filters(&wanted);
        if let Some(now) = &now {
            options = options.since(now);
        }
        let events = self.api(operation)?.events(Some(options.build()));
        let engine = self.clone();
        Ok(events.map(move |event| event.map(drop).map_err(|error| engine.failed(operation, error))).boxed())
    }

    async fn ask(&self, operation: &str, path: &str) -> Result<Value, EngineError> {
        self.raw(operation, Method::GET, path, Body::None).await
    }
}

/// What stays as it is in a segment of a path, beside letters and digits.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// A name as one segment of a path.
fn encoded(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, PLAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        assert_eq!(encoded("sha256:ab_c-1.2").to_string(), "sha256:ab_c-1.2");
        assert_eq!(encoded("a/../b?x=1#\u{e9} ").to_string(), "a%2F..%2Fb%3Fx%3D1%23%C3%A9%20");
    }
}
