//! `upgrade`: writes the lockfile anew, with what the features' names stand for today.

use devcontainer::SyntaxError;
use devcontainer::edit::Document;
use devcontainer::feature::{FeatureReference, FeatureRequest, LegacyIds, Lockfile, without_version};
use engine::Progress;
use oci::Registry;
use provision::features::{self, FeaturesError};
use serde_json::{Map, Value};

use super::configured::Configured;
use crate::log::{Level, Log};

/// Why a configuration cannot be changed.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{error}")]
pub(crate) struct EditError {
    file: String,
    error: SyntaxError,
}

/// The configuration's text with another version of one feature; `None` where nothing changes. A feature that is not
/// there, or that has no versions, is told of in the log.
pub(crate) fn with_version(
    configured: &Configured,
    feature: &str,
    version: &str,
    log: &Log,
) -> Result<Option<String>, EditError> {
    let name = without_version(feature);
    let features = &configured.config.features;
    let Some(written) = features.keys().find(|written| without_version(written) == name) else {
        log.write(Level::Warning, &unknown(name, features));
        return Ok(None);
    };
    if !matches!(FeatureReference::parse(written, None, LegacyIds::Mapped), Ok(FeatureReference::Oci(_))) {
        let text =
            format!("(!) `{name}` stays as it is: only a feature of a registry has versions to choose from");
        log.write(Level::Warning, &text);
        return Ok(None);
    }
    let wanted = format!("{name}:{version}");
    if *written == wanted {
        return Ok(None);
    }
    let failed = |error| EditError { file: configured.file.to_string(), error };
    let text = String::from_utf8_lossy(&configured.text);
    let mut document = Document::parse(&text).map_err(failed)?;
    // A feature that an extended file brings is not in this one.
    Ok(document.rename(&["features", written], &wanted).then(|| document.to_text()))
}

fn unknown(name: &str, features: &Map<String, Value>) -> String {
    let near = devcontainer::closest(name, features.keys().map(|written| without_version(written)));
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    format!("(!) the configuration has no feature `{name}`{near}")
}

/// What the lockfile has to say now.
pub(crate) async fn lockfile(
    registry: &Registry,
    configured: &Configured,
    progress: &dyn Progress,
) -> Result<Lockfile, FeaturesError> {
    let request = FeatureRequest {
        config: Some(&configured.config),
        text: Some(&configured.text),
        additional: None,
        // What was locked is not asked: it is to be replaced.
        lockfile: None,
        legacy_ids: LegacyIds::Mapped,
    };
    let (resolver, _contents) = features::walk(&request, registry, progress).await?;
    Ok(Lockfile::of(&resolver.finish()?.features))
}
