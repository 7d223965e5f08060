//! Images: streamed from one engine into the other, and compared by what they are made of.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use engine::{EngineError, ImageRecord, Progress, ProgressEvent, ProgressKind};
use futures::StreamExt;
use serde_json::Value;
use tokio_util::io::StreamReader;

use crate::definition::pruned;
use crate::error::{MigrationError, OnSide};
use crate::plan::Item;
use crate::run::Migration;

/// What older engines note of the container that an image was made of.
const OF_THE_BUILD: [&str; 4] = ["Hostname", "Domainname", "Image", "MacAddress"];

/// Whether two images are the same. Their ids tell, or else what they are made of: engines that store images
/// differently give the same image different ids.
pub fn same_image(one: &ImageRecord, other: &ImageRecord) -> bool {
    one.id == other.id || (!one.layers.is_empty() && difference(one, other).is_none())
}

/// In what two images differ.
fn difference(one: &ImageRecord, other: &ImageRecord) -> Option<&'static str> {
    let variants = [&one.variant, &other.variant];
    // Not every engine tells the variant.
    let variants_differ = variants[0] != variants[1] && variants.iter().all(|variant| !variant.is_empty());
    if one.layers != other.layers {
        Some("its layers")
    } else if (&one.os, &one.architecture) != (&other.os, &other.architecture) || variants_differ {
        Some("its platform")
    } else if one.created != other.created {
        Some("when it was made")
    } else if config(&one.config) != config(&other.config) {
        Some("its configuration")
    } else {
        None
    }
}

fn config(config: &Value) -> Option<Value> {
    let mut config = config.clone();
    if let Some(config) = config.as_object_mut() {
        config.retain(|key, _| !OF_THE_BUILD.contains(&key.as_str()));
    }
    pruned(&config)
}

/// Hands on how far it is; beginning and end are told by who knows them.
struct OnlyBytes<'a>(&'a dyn Progress);

impl Progress for OnlyBytes<'_> {
    fn report(&self, event: ProgressEvent) {
        if matches!(event.kind, ProgressKind::Bytes { .. }) {
            self.0.report(event);
        }
    }
}

impl Migration {
    /// Copies an image, without names, and gives its id here.
    pub(crate) async fn copy_image(
        &self,
        record: &ImageRecord,
        item: &Item,
        progress: &dyn Progress,
    ) -> Result<String, MigrationError> {
        let failed = Arc::new(Mutex::new(None::<EngineError>));
        let note = Arc::clone(&failed);
        let pieces = self.source.save_image(&record.id).at_source()?.map(move |piece| {
            piece.map_err(|error| {
                let said = std::io::Error::other(error.to_string());
                *note.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                said
            })
        });
        let loaded = self
            .target
            .load(StreamReader::new(pieces), &item.kind.title(&item.name), &OnlyBytes(progress))
            .await;
        // What our engine says of a stream that broke off is not the cause.
        if let Some(error) = failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(MigrationError::Source(error));
        }
        let said: BTreeSet<_> = loaded.at_target()?.into_iter().chain([record.id.clone()]).collect();
        let mut arrived = None;
        for reference in said {
            if let Some(found) = self.target.image_record(&reference).await.at_target()? {
                if same_image(record, &found) {
                    return Ok(found.id);
                }
                arrived = Some(found);
            }
        }
        // An engine that names what it loaded in another way.
        let all = self.target.image_records().await.at_target()?;
        if let Some(found) = all.into_iter().find(|found| same_image(record, found)) {
            return Ok(found.id);
        }
        let what = arrived.and_then(|arrived| difference(record, &arrived));
        Err(MigrationError::Differs { what: what.unwrap_or("the image did not arrive").to_owned() })
    }

    /// Gives an image here the names it lacks, and looks that they mean it.
    pub(crate) async fn name_image(&self, id: &str, tags: &[String]) -> Result<(), MigrationError> {
        for tag in tags {
            self.target.tag(id, tag).await.at_target()?;
            let named = self.target.image_record(tag).await.at_target()?;
            if named.is_none_or(|named| named.id != id) {
                return Err(MigrationError::Differs { what: format!("`{tag}` does not name it") });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn images_are_the_same_by_what_they_are_made_of() {
        let image = ImageRecord {
            id: "sha256:a".into(),
            created: "2026-01-01T00:00:00Z".into(),
            os: "linux".into(),
            architecture: "arm64".into(),
            layers: vec!["sha256:1".into(), "sha256:2".into()],
            config: json!({ "Env": ["A=1"], "Cmd": ["sh"], "Hostname": "builder", "Tty": false }),
            ..ImageRecord::default()
        };
        let other_store = ImageRecord {
            id: "sha256:b".into(),
            variant: "v8".into(),
            config: json!({ "Cmd": ["sh"], "Env": ["A=1"], "Labels": {} }),
            ..image.clone()
        };
        assert!(same_image(&image, &other_store));
        for (other, what) in [
            (ImageRecord { layers: vec!["sha256:1".into()], ..other_store.clone() }, "its layers"),
            (ImageRecord { architecture: "amd64".into(), ..other_store.clone() }, "its platform"),
            (ImageRecord { created: String::new(), ..other_store.clone() }, "when it was made"),
            (ImageRecord { config: json!({ "Cmd": ["sh"] }), ..other_store.clone() }, "its configuration"),
        ] {
            assert!(!same_image(&image, &other), "{what}");
            assert_eq!(difference(&image, &other), Some(what));
        }
    }
}
