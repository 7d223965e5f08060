//! Containers that a migration makes for itself, and what becomes of them after a cut.
//!
//! A volume here is filled through a container whose creation also creates the volume, and which is there exactly
//! while the volume is being filled: whoever finds it knows that the volume is not whole. Taking such a volume away
//! needs the container removed first, so for that moment another container, without mounts, remembers the volume by
//! name and time. Whatever the instant of a cut, one of them is there, or the volume is whole, or there is none.

use std::collections::BTreeSet;

use engine::{ContainerRecord, Engine, EngineError, VolumeRecord};
use serde_json::{Value, json};

use crate::error::{MigrationError, OnSide};
use crate::observe::Observed;
use crate::run::Migration;

/// Label of everything that a migration makes for itself: says what for.
pub(crate) const LABEL: &str = "dev.cove.migration";
/// Label with the volume's name.
const VOLUME_LABEL: &str = "dev.cove.migration.volume";
/// Label with the moment the volume was made.
const CREATED_LABEL: &str = "dev.cove.migration.created";

/// For reading a volume.
pub(crate) const READING: &str = "reading";
/// For filling a volume.
pub(crate) const FILLING: &str = "filling";
/// Remembers a volume that is being taken away.
const UNDOING: &str = "undoing";
/// Label of an image that is there for these containers alone.
pub(crate) const IMAGE: &str = "image";

/// Whether a container is one that a migration made for itself.
pub(crate) fn is_ours(container: &ContainerRecord) -> bool {
    container.labels.contains_key(LABEL)
}

/// Labels of such a container.
pub(crate) fn labels(purpose: &str, volume: &str) -> Value {
    json!({ LABEL: purpose, VOLUME_LABEL: volume })
}

/// Volumes that are not whole.
pub(crate) fn cut_off(leftovers: &[ContainerRecord], volumes: &[VolumeRecord]) -> BTreeSet<String> {
    let label = |it: &ContainerRecord, name: &str| it.labels.get(name).cloned().unwrap_or_default();
    let not_whole = leftovers.iter().filter(|it| match label(it, LABEL).as_str() {
        FILLING => true,
        UNDOING => volumes.iter().any(|volume| {
            (&volume.name, &volume.created_at) == (&label(it, VOLUME_LABEL), &label(it, CREATED_LABEL))
        }),
        _ => false,
    });
    not_whole.map(|it| label(it, VOLUME_LABEL)).collect()
}

impl Migration {
    /// Takes away what runs before this one left: at the source containers for reading, here volumes that are not
    /// whole too.
    pub(crate) async fn heal(&self, observed: &Observed) -> Result<(), MigrationError> {
        for container in &observed.source.leftovers {
            self.source.remove_unstarted(&container.id).await.at_source()?;
        }
        for container in &observed.target.leftovers {
            let volume = container.labels.get(VOLUME_LABEL).map_or("", String::as_str);
            match container.labels.get(LABEL).map(String::as_str) {
                Some(FILLING) => self.undo(container, volume).await?,
                Some(UNDOING) => {
                    let created = container.labels.get(CREATED_LABEL).map_or("", String::as_str);
                    self.remove_same(volume, created).await?;
                    self.target.remove_unstarted(&container.id).await.at_target()?;
                }
                _ => self.target.remove_unstarted(&container.id).await.at_target()?,
            }
        }
        remove_images(&self.source).await.at_source()?;
        remove_images(&self.target).await.at_target()
    }

    /// Takes a volume away that is not whole, with the container that fills it.
    async fn undo(&self, filling: &ContainerRecord, volume: &str) -> Result<(), MigrationError> {
        let Some(record) = self.target.volume_record(volume).await.at_target()? else {
            return self.target.remove_unstarted(&filling.id).await.at_target();
        };
        let body = json!({
            "Image": filling.image_id,
            "Cmd": ["-"],
            "Labels": { LABEL: UNDOING, VOLUME_LABEL: volume, CREATED_LABEL: record.created_at },
            "HostConfig": { "NetworkMode": "none" },
        });
        let mark = self.target.create_from(None, &body).await.at_target()?;
        self.target.remove_unstarted(&filling.id).await.at_target()?;
        self.remove_same(volume, &record.created_at).await?;
        self.target.remove_unstarted(&mark).await.at_target()
    }

    /// Removes a volume, unless it is another of the same name by now.
    async fn remove_same(&self, volume: &str, created: &str) -> Result<(), MigrationError> {
        match self.target.volume_record(volume).await.at_target()? {
            Some(found) if found.created_at == created => {
                let cut_off = |source| MigrationError::CutOff { volume: volume.to_owned(), source };
                self.target.remove_volume(volume).await.map_err(cut_off)
            }
            _ => Ok(()),
        }
    }
}

/// Removes images that were there for our containers alone, once none uses them.
async fn remove_images(engine: &Engine) -> Result<(), EngineError> {
    for image in engine.images(&[format!("{LABEL}={IMAGE}")]).await? {
        match engine.remove_image(&image).await {
            Err(error) if !error.is_conflict() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
