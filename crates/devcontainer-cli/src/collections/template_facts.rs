//! What a published template says about itself beside what its author wrote: how its container is made, its files, and
//! the features it uses.

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::feature::{FeatureReference, LegacyIds};
use oci::Files;
use serde_json::{Map, Value};

use super::json::{self, JsonError};

/// Where a template may have its configuration.
const CONFIG_FILES: [&str; 2] = [".devcontainer.json", ".devcontainer/devcontainer.json"];

/// Why a folder is no template.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateFactsError {
    /// It has no configuration.
    #[error(
        "the template in `{folder}` has neither `.devcontainer.json` nor `.devcontainer/devcontainer.json`"
    )]
    NoConfig {
        /// Its folder.
        folder: Utf8PathBuf,
    },
    /// Its configuration cannot be read.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Its configuration does not say what the container is made of.
    #[error("{file}: expected one of \"image\", \"build.dockerfile\" or \"dockerComposeFile\"")]
    NoContainer {
        /// The configuration.
        file: Utf8PathBuf,
    },
}

/// Adds `type`, `files`, `fileCount` and `featureIds`, and writes an optional folder with one file as that file.
pub(crate) fn add(
    metadata: &mut Map<String, Value>,
    folder: &Utf8Path,
    files: &Files,
) -> Result<(), TemplateFactsError> {
    let found = CONFIG_FILES.iter().find_map(|name| Some((*name, files.get(Utf8Path::new(name))?)));
    let Some((name, file)) = found else {
        return Err(TemplateFactsError::NoConfig { folder: folder.to_owned() });
    };
    let place = folder.join(name);
    let config = json::read_object(&file.bytes, place.as_str())?;
    let Some(container) = container(&config) else {
        return Err(TemplateFactsError::NoContainer { file: place });
    };
    let names: Vec<Value> = files.keys().map(|name| Value::from(name.as_str())).collect();
    metadata.insert("type".to_owned(), container.into());
    let count = names.len();
    metadata.insert("files".to_owned(), names.into());
    metadata.insert("fileCount".to_owned(), count.into());
    metadata.insert("featureIds".to_owned(), features(&config).into());
    if let Some(Value::Array(paths)) = metadata.get_mut("optionalPaths") {
        for path in paths {
            if let Some(only) = path.as_str().and_then(|written| only_file_of(written, files)) {
                *path = only.as_str().into();
            }
        }
    }
    Ok(())
}

fn container(config: &Map<String, Value>) -> Option<&'static str> {
    let dockerfile = config.get("build").is_some_and(|build| build.get("dockerfile").is_some());
    if config.contains_key("image") {
        Some("image")
    } else if dockerfile || config.contains_key("dockerFile") {
        Some("dockerfile")
    } else {
        config.contains_key("dockerComposeFile").then_some("dockerCompose")
    }
}

/// The features of a registry, by their names without versions.
fn features(config: &Map<String, Value>) -> Vec<String> {
    let Some(Value::Object(features)) = config.get("features") else { return Vec::new() };
    let read = |written: &String| FeatureReference::parse(written, None, LegacyIds::Refused).ok();
    let references = features.keys().filter_map(read);
    let of_registry = references.filter(|reference| matches!(reference, FeatureReference::Oci(_)));
    of_registry.map(|reference| reference.without_version()).collect()
}

/// The file of an optional folder (`folder/*`) that has no other. Tools show that better than a folder.
fn only_file_of<'a>(written: &str, files: &'a Files) -> Option<&'a Utf8Path> {
    let folder = written.strip_suffix("/*").filter(|folder| !folder.is_empty())?;
    let mut inside = files.keys().filter(|name| name.starts_with(folder));
    inside.next().filter(|_| inside.next().is_none()).map(Utf8PathBuf::as_path)
}
