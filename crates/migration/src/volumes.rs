//! Volumes: their content passes as an archive from one engine into the other, and is counted on both sides.
//!
//! An engine shows a volume's content only through a container it is mounted in. That container need not run, so what
//! is in its image does not matter.

use std::sync::{Arc, Mutex, PoisonError};

use engine::{ByteStream, Engine, EngineError, Progress, ProgressEvent, ProgressKind, VolumeRecord};
use futures::{Stream, StreamExt};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::error::MigrationError;
use crate::inventory::{ArchiveError, Inventory, InventoryReader};
use crate::leftovers::{self, FILLING, IMAGE, LABEL, READING};
use crate::observe::Side;
use crate::plan::Kind;

/// Where a volume is mounted in our containers.
const FOLDER: &str = "/cove-volume";

/// News after so many bytes.
const NEWS_BYTES: u64 = 1024 * 1024;

/// Option of a volume whose content lies elsewhere: a folder of the engine's host, another computer.
const DEVICE: &str = "device";

/// Whether the engine keeps the volume's content itself.
pub(crate) fn is_plain(volume: &VolumeRecord) -> bool {
    volume.driver == "local" && !volume.options.contains_key(DEVICE)
}

/// Whether the volume is a mere name for content that lies elsewhere.
pub(crate) fn is_definition_only(volume: &VolumeRecord) -> bool {
    volume.driver == "local" && volume.options.contains_key(DEVICE)
}

/// A side of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Source,
    Target,
}

impl On {
    fn failed(self, error: EngineError) -> MigrationError {
        match self {
            Self::Source => MigrationError::Source(error),
            Self::Target => MigrationError::Target(error),
        }
    }

    fn damaged(self, volume: &str, source: ArchiveError) -> MigrationError {
        let side = if self == Self::Source { "the source" } else { "Cove's engine" };
        MigrationError::Archive { volume: volume.to_owned(), side, source }
    }
}

/// Reaches into the volumes of one side.
pub(crate) struct Hands<'a> {
    on: On,
    engine: &'a Engine,
    side: &'a Side,
    /// The image of our containers, and whether it is there for them alone.
    image: OnceCell<(String, bool)>,
}

impl<'a> Hands<'a> {
    pub(crate) fn new(on: On, engine: &'a Engine, side: &'a Side) -> Self {
        Self { on, engine, side, image: OnceCell::new() }
    }

    /// What a volume holds.
    pub(crate) async fn read(
        &self,
        volume: &str,
        progress: &dyn Progress,
    ) -> Result<Inventory, MigrationError> {
        let container = self.open(volume).await?;
        let inventory = self.count(&container, volume, progress).await;
        self.close(&container).await?;
        inventory
    }

    /// Makes a container for reading a volume.
    pub(crate) async fn open(&self, volume: &str) -> Result<String, MigrationError> {
        let mount = json!({
            "Type": "volume", "Source": volume, "Target": FOLDER, "ReadOnly": true,
            "VolumeOptions": { "NoCopy": true },
        });
        self.create(READING, volume, mount).await
    }

    /// Makes a container for filling a volume, and the volume with it.
    pub(crate) async fn open_new(&self, like: &VolumeRecord) -> Result<String, MigrationError> {
        let mut mount = json!({
            "Type": "volume", "Source": like.name, "Target": FOLDER, "VolumeOptions": { "NoCopy": true },
        });
        if !like.labels.is_empty() {
            mount["VolumeOptions"]["Labels"] = json!(like.labels);
        }
        if !like.options.is_empty() {
            mount["VolumeOptions"]["DriverConfig"] = json!({ "Name": like.driver, "Options": like.options });
        }
        self.create(FILLING, &like.name, mount).await
    }

    /// Removes such a container; the volume stays.
    pub(crate) async fn close(&self, container: &str) -> Result<(), MigrationError> {
        self.engine.remove_unstarted(container).await.map_err(|error| self.on.failed(error))
    }

    /// Takes away what was made for all of them.
    pub(crate) async fn finish(self) -> Result<(), MigrationError> {
        match self.image.into_inner() {
            Some((image, true)) => match self.engine.remove_image(&image).await {
                // A volume is not whole, and the container that says so is of this image. The next run sees to it.
                Err(error) if error.is_conflict() => Ok(()),
                removed => removed.map_err(|error| self.on.failed(error)),
            },
            _ => Ok(()),
        }
    }

    /// Reads the volume that is mounted in one of our containers.
    async fn count(
        &self,
        container: &str,
        volume: &str,
        progress: &dyn Progress,
    ) -> Result<Inventory, MigrationError> {
        let mut pieces = self.archive(container)?;
        let mut reader = InventoryReader::default();
        let mut news = News::new(progress, Kind::Volume.title(volume));
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| self.on.failed(error))?;
            reader.push(&piece).map_err(|error| self.on.damaged(volume, error))?;
            news.passed(piece.len());
        }
        reader.finish().map_err(|error| self.on.damaged(volume, error))
    }

    fn archive(&self, container: &str) -> Result<ByteStream, MigrationError> {
        self.engine.archive_of(container, FOLDER).map_err(|error| self.on.failed(error))
    }

    async fn create(&self, purpose: &str, volume: &str, mount: Value) -> Result<String, MigrationError> {
        let body = json!({
            "Image": self.image().await?,
            // Never run; an image may have no command of its own, and then one must be given.
            "Cmd": ["-"],
            "Labels": leftovers::labels(purpose, volume),
            "HostConfig": { "NetworkMode": "none", "Mounts": [mount] },
        });
        self.engine.create_from(None, &body).await.map_err(|error| self.on.failed(error))
    }

    /// An image that is there already, if it brings no volumes of its own; else an empty one.
    async fn image(&self) -> Result<&str, MigrationError> {
        let find = async || {
            let usable = self.side.images.iter().find(|image| {
                image.os == "linux"
                    && image.architecture == self.side.facts.architecture
                    && image.config["Volumes"].as_object().is_none_or(serde_json::Map::is_empty)
            });
            match usable {
                Some(image) => Ok((image.id.clone(), false)),
                None => Ok((self.engine.import_empty_image(LABEL, IMAGE).await?, true)),
            }
        };
        let image = self.image.get_or_try_init(find).await.map_err(|error| self.on.failed(error))?;
        Ok(&image.0)
    }
}

/// Copies a volume's content and gives what it holds. If it fails, the container that fills it stays: a sign that the
/// volume is not whole.
pub(crate) async fn copy_volume(
    source: &Hands<'_>,
    target: &Hands<'_>,
    volume: &VolumeRecord,
    progress: &dyn Progress,
) -> Result<Inventory, MigrationError> {
    let name = &volume.name;
    let from = source.open(name).await?;
    let copied = fill(source, target, &from, volume, progress).await;
    source.close(&from).await?;
    copied
}

async fn fill(
    source: &Hands<'_>,
    target: &Hands<'_>,
    from: &str,
    volume: &VolumeRecord,
    progress: &dyn Progress,
) -> Result<Inventory, MigrationError> {
    let name = &volume.name;
    let into = target.open_new(volume).await?;
    let tap = Arc::new(Mutex::new(Tap::default()));
    let (pieces, mut passed) = tapped(source.archive(from)?, Arc::clone(&tap));
    let what = format!("the content of the volume `{name}`");
    let writing = target.engine.extract_into(&into, "/", &what, pieces);
    let mut writing = std::pin::pin!(writing);
    let mut news = News::new(progress, Kind::Volume.title(name));
    let written = loop {
        tokio::select! {
            done = &mut writing => break done,
            Some(bytes) = passed.recv() => news.passed(bytes),
        }
    };
    let tap = std::mem::take(&mut *tap.lock().unwrap_or_else(PoisonError::into_inner));
    match tap.failed {
        // What our engine says of a stream that broke off is not the cause.
        Some(Broken::Engine(error)) => return Err(On::Source.failed(error)),
        Some(Broken::Archive(error)) => return Err(On::Source.damaged(name, error)),
        None => written.map_err(|error| On::Target.failed(error))?,
    }
    let sent = tap.reader.finish().map_err(|error| On::Source.damaged(name, error))?;
    progress.report(ProgressEvent {
        item: Kind::Volume.title(name),
        kind: ProgressKind::Line("comparing".to_owned()),
    });
    let arrived = target.count(&into, name, &()).await?;
    if let Some(what) = sent.difference(&arrived) {
        return Err(MigrationError::Differs { what });
    }
    target.close(&into).await?;
    Ok(sent)
}

/// What is learned of a stream that passes.
#[derive(Default)]
struct Tap {
    reader: InventoryReader,
    failed: Option<Broken>,
}

enum Broken {
    Engine(EngineError),
    Archive(ArchiveError),
}

/// The stream, read on its way. A fault in it ends it, so that nothing after it is written.
fn tapped(
    pieces: ByteStream,
    tap: Arc<Mutex<Tap>>,
) -> (
    impl Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static,
    tokio::sync::mpsc::UnboundedReceiver<usize>,
) {
    let (tell, passed) = tokio::sync::mpsc::unbounded_channel();
    let pieces = pieces.map(move |piece| {
        let mut tap = tap.lock().unwrap_or_else(PoisonError::into_inner);
        let broken = match piece {
            Ok(piece) => match tap.reader.push(&piece) {
                Ok(()) => {
                    // Nobody counts any more: the work was given up.
                    let _ = tell.send(piece.len());
                    return Ok(piece);
                }
                Err(error) => Broken::Archive(error),
            },
            Err(error) => Broken::Engine(error),
        };
        tap.failed = Some(broken);
        Err(std::io::Error::other("the source's stream broke off"))
    });
    (pieces, passed)
}

/// Tells of bytes, not of every few.
struct News<'a> {
    progress: &'a dyn Progress,
    item: String,
    done: u64,
    told: u64,
}

impl<'a> News<'a> {
    fn new(progress: &'a dyn Progress, item: String) -> Self {
        Self { progress, item, done: 0, told: 0 }
    }

    fn passed(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.done - self.told >= NEWS_BYTES {
            self.told = self.done;
            let kind = ProgressKind::Bytes { done: self.done, total: None };
            self.progress.report(ProgressEvent { item: self.item.clone(), kind });
        }
    }
}
