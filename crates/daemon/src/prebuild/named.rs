//! The prebuild that a configuration itself names, which a team has in a registry.

use std::time::Duration;

use api::Problem;
use devcontainer::Config;
use engine::Progress;
use oci::{Freshness, Reference};

use crate::problems::{from_engine, from_image};
use crate::reconcile::Parts;

/// How long a registry may take to say what it has: without an answer there is something to begin from.
const ANSWER: Duration = Duration::from_secs(10);

/// A prebuild that the configuration itself names, in a registry perhaps: `customizations.cove.prebuild`.
pub(super) fn named(config: &Config) -> Option<String> {
    let ours = config.properties.customizations.get("cove")?;
    Some(ours.get("prebuild")?.as_str()?.to_owned())
}

/// How the prebuild that a configuration names compares with that of its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// The configuration names none.
    None,
    /// It is the registry's.
    Current,
    /// The registry could not be asked.
    Unknown,
}

/// Fetches the prebuild that a configuration names, where the engine has it not or has an earlier one.
///
/// # Errors
/// It cannot be had; the environment comes up without it, or with the earlier one.
pub(crate) async fn fetch_named(
    parts: &Parts,
    config: &Config,
    progress: &dyn Progress,
) -> Result<Named, Problem> {
    let Some(name) = named(config) else { return Ok(Named::None) };
    let there = parts.machine.engine().image(&name).await.map_err(|error| from_engine(&error))?;
    let of_registry = match &there {
        None => None,
        Some(there) => {
            let Some(digests) = digests_in_registry(parts, &name).await else { return Ok(Named::Unknown) };
            Some(digests.contains(&there.id))
        }
    };
    if of_registry != Some(true) {
        fetch_anew(parts, &name, progress).await?;
    }
    Ok(Named::Current)
}

/// Fetches the prebuild that a configuration names once more, whatever the engine has.
///
/// # Errors
/// As [`fetch_named`].
pub(crate) async fn fetch_again(
    parts: &Parts,
    config: &Config,
    progress: &dyn Progress,
) -> Result<(), Problem> {
    match named(config) {
        Some(name) => fetch_anew(parts, &name, progress).await,
        None => Ok(()),
    }
}

async fn fetch_anew(parts: &Parts, name: &str, progress: &dyn Progress) -> Result<(), Problem> {
    let fetched = provision::image::fetch(&parts.machine.engine(), &parts.registry, name, progress).await;
    fetched.map(drop).map_err(|error| from_image(&error))
}

/// What the engine may call the image that a registry has under this name now: by its configuration, or by its manifest, as
/// it keeps images. `None` if the registry does not say.
async fn digests_in_registry(parts: &Parts, name: &str) -> Option<[String; 2]> {
    let reference: Reference = name.parse().ok()?;
    let manifest = tokio::time::timeout(ANSWER, parts.registry.manifest(&reference)).await.ok()?.ok()?;
    let is_now = matches!(manifest.freshness, Freshness::Current);
    is_now.then_some([manifest.config.digest, manifest.digest])
}
