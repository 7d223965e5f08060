//! Load, pull or build the image a container is made from, install its features, and give its user the numbers of the
//! shared files.

use std::collections::BTreeMap;

use api::control::Limits;
use api::{EventKind, Problem, ProblemCode};
use devcontainer::{Config, ContainerSource};
use engine::{ContainerState, Engine};
use provision::features::{self, LockfileUse};
use provision::image::{self, Building, LabelContent, Names, Numbers};
use serde_json::Map;
use tokio::io::DuplexStream;
use tokio_util::io::SyncIoBridge;

use super::{Turn, compose};
use crate::configuration::DEFAULT_IMAGE;
use crate::consent;
use crate::limits;
use crate::observe::ENVIRONMENT_LABEL;
use crate::paths;
use crate::prebuild::{self, Found, Named};
use crate::problems;
use crate::reconcile::Prepared;

/// User and group that the host's files have in the machine.
const SHARED_IDS: Numbers = Numbers::UnlessRefused(1000, 1000);

/// The archive with [`DEFAULT_IMAGE`], beside the guest image.
const BASE_ARCHIVE: &str = "base-image.tar.zst";
/// Bytes of it that are decompressed ahead.
const PIECE: usize = 1 << 20;

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let config = turn.config()?;
    let engine = turn.parts.machine.engine();
    let limits = crate::sync::limits_of(&turn.parts.store, &turn.environment.id);
    judge_arguments(turn, &config)?;
    limits::images(&limits, &config, None)?;
    let stale = match prebuilt(turn, &config, &limits).await? {
        Prebuilt::Begun => return Ok(()),
        Prebuilt::Not(stale) => stale,
    };
    // First what can be wrong with words alone: nothing is built or pulled for a feature that does not exist.
    let request = features::Request {
        config: &config,
        additional: &Map::new(),
        lockfile: LockfileUse::Kept,
        registry: &turn.parts.registry,
    };
    let features = features::resolve(&request, turn.report).await;
    let features = features.map_err(|error| problems::from_features(&error))?;
    let mut feature_warnings = problems::from_feature_warnings(&features.warnings);
    feature_warnings.extend(stale);
    for problem in feature_warnings.clone() {
        turn.report.emit(EventKind::Warning { problem });
    }
    let project = match &config.container {
        ContainerSource::Compose(compose) => Some(compose::read(turn, &config, compose).await?),
        ContainerSource::Image { .. } | ContainerSource::Build(_) => None,
    };
    if project.is_some() {
        limits::images(&limits, &config, project.as_ref())?;
    }
    if may_use_base(&config) {
        provide_base(&engine, &turn.parts.base, turn.report).await?;
    }
    // Of a clone the engine builds what it has itself.
    let mut built = crate::clone::with_sources(turn, &config).await?;
    if turn.environment.spec.prebuild.is_some() {
        built = prebuild::without_variables(&built);
    }
    let request = image::Request {
        config: &built,
        features: &features,
        registry: &turn.parts.registry,
        project: project.as_ref(),
        names: names(turn),
        labels: BTreeMap::from([(ENVIRONMENT_LABEL.to_owned(), turn.environment.id.to_string())]),
        building: Building::default(),
        numbers: SHARED_IDS,
        label: LabelContent::default(),
    };
    let prepared = image::prepare(&engine, &request, turn.report).await;
    let prepared = prepared.map_err(|error| problems::from_image(&error))?;
    let judge = turn.parts.judge(turn.environment);
    let roots = consent::roots_of(&config);
    let mut merged = devcontainer::merge(&prepared.metadata, &config);
    let mut withheld = consent::withhold_mounts(&mut merged.mounts, &roots, &judge);
    if let Some(project) = &project {
        withheld.extend(consent::withhold_of_services(&project.model, &roots, &judge).0);
    }
    turn.memory.image = Some(Prepared {
        digest: config.digest.clone(),
        rebuild: turn.environment.spec.rebuild.clone(),
        image: prepared,
        withheld,
        began_from: None,
        feature_warnings,
    });
    Ok(())
}

/// Whether policies, and the environment's class, let a container be made with the `runArgs` of its configuration.
///
/// # Errors
/// They do not.
pub(super) fn judge_arguments(turn: &Turn<'_>, config: &Config) -> Result<(), Problem> {
    let (store, id) = (&turn.parts.store, &turn.environment.id);
    limits::arguments(&crate::sync::limits_of(store, id), crate::sync::size_of(store, id), config)
}

/// Whether policies allow what a container that exists was made of, by the words of its configuration as it is now.
///
/// # Errors
/// They do not, or it cannot be read.
pub(super) async fn judge_made(
    turn: &Turn<'_>,
    config: &Config,
    state: &ContainerState,
) -> Result<(), Problem> {
    let limits = crate::sync::limits_of(&turn.parts.store, &turn.environment.id);
    if limits.images.is_empty() {
        return Ok(());
    }
    let project = match &config.container {
        ContainerSource::Compose(compose) => Some(compose::read_of(turn, config, compose, state).await?),
        ContainerSource::Image { .. } | ContainerSource::Build(_) => None,
    };
    limits::images(&limits, config, project.as_ref())
}

/// Whether the image is a prebuild.
enum Prebuilt {
    /// It is, and is ready.
    Begun,
    /// It is not; and why one that is there does not serve.
    Not(Option<Problem>),
}

/// Takes a prebuild for the image, if there is one that fits.
async fn prebuilt(turn: &mut Turn<'_>, config: &Config, limits: &Limits) -> Result<Prebuilt, Problem> {
    // What a prebuild was made of is its maker's word alone.
    if turn.environment.spec.prebuild.is_some() || !limits.images.is_empty() {
        return Ok(Prebuilt::Not(None));
    }
    let (parts, environment) = (turn.parts, turn.environment);
    let fetched = prebuild::fetch_named(parts, config, turn.report).await;
    let unfetched = fetched.as_ref().err().map(|problem| {
        let title = format!("the prebuild that the configuration names could not be had: {}", problem.title);
        Problem::new(ProblemCode::PrebuildStale, title)
    });
    let mut found = prebuild::find(parts, environment, config).await?;
    // One that does not fit may have been followed by one that does.
    if matches!(found, Found::Stale(_)) && fetched.ok() == Some(Named::Unknown) {
        match prebuild::fetch_again(parts, config, turn.report).await {
            Ok(()) => found = prebuild::find(parts, environment, config).await?,
            Err(problem) => tracing::info!(%problem, "the named prebuild stays as it is"),
        }
    }
    let name = match found {
        Found::Fits(name) => name,
        Found::Stale(problem) => return Ok(Prebuilt::Not(Some(*problem))),
        Found::None => return Ok(Prebuilt::Not(unfetched)),
    };
    turn.report.line(format!("the container begins from the prebuild `{name}`"));
    let engine = turn.parts.machine.engine();
    let image = prebuild::prepared(&engine, &name, config).await?;
    let judge = turn.parts.judge(turn.environment);
    let mut merged = devcontainer::merge(&image.metadata, config);
    let withheld = consent::withhold_mounts(&mut merged.mounts, &consent::roots_of(config), &judge);
    turn.memory.image = Some(Prepared {
        digest: config.digest.clone(),
        rebuild: turn.environment.spec.rebuild.clone(),
        image,
        withheld,
        began_from: Some(name),
        feature_warnings: Vec::new(),
    });
    Ok(Prebuilt::Begun)
}

/// What the images of an environment are called.
fn names(turn: &Turn<'_>) -> Names {
    let repository = format!("cove/env-{}", turn.environment.id);
    Names {
        base: format!("{repository}:base"),
        features: format!("{repository}:features"),
        user: format!("{repository}:user"),
    }
}

/// Removes the images that were built for an environment. What cannot be removed is in use by somebody else.
pub(super) async fn remove_built(turn: &Turn<'_>) {
    let engine = turn.parts.machine.engine();
    let label = format!("{ENVIRONMENT_LABEL}={}", turn.environment.id);
    for image in engine.images(&[label]).await.unwrap_or_default() {
        if let Err(error) = engine.remove_image(&image).await {
            tracing::info!(%image, %error, "an image of a removed environment stays");
        }
    }
}

/// Whether a configuration may need the base image: a Dockerfile or a compose file may name it anywhere.
fn may_use_base(config: &Config) -> bool {
    !matches!(&config.container, ContainerSource::Image { image } if image != DEFAULT_IMAGE)
}

/// Loads the base image if the engine lacks it.
///
/// # Errors
/// The engine does not answer, or its disk is full.
pub(crate) async fn provide_base(
    engine: &Engine,
    alone: &tokio::sync::Mutex<()>,
    progress: &dyn engine::Progress,
) -> Result<(), Problem> {
    let _alone = alone.lock().await;
    if engine.image(DEFAULT_IMAGE).await.map_err(|error| problems::from_engine(&error))?.is_some() {
        return Ok(());
    }
    load_base(engine, progress).await
}

/// Loads the base image from the archive that comes with the guest image.
async fn load_base(engine: &Engine, progress: &dyn engine::Progress) -> Result<(), Problem> {
    let Some(archive) = paths::image_dir().map(|folder| folder.join(BASE_ARCHIVE)) else { return Ok(()) };
    if !archive.is_file() {
        // Only who uses it misses it, and is told by the engine then.
        tracing::warn!(%archive, "the base image is not there");
        return Ok(());
    }
    let file = std::fs::File::open(&archive).map_err(|error| {
        Problem::new(ProblemCode::GuestImageMissing, format!("could not read `{archive}`")).caused_by(&error)
    })?;
    let loaded = engine.load(decompressed(file), DEFAULT_IMAGE, progress).await;
    loaded.map(drop).map_err(|error| problems::from_engine(&error))
}

/// The plain bytes of an archive. The engine could decompress it, but ends itself now and then when it does: its
/// decoder reads on from a reader that was given back (seen in Docker 26.1.5).
fn decompressed(archive: std::fs::File) -> DuplexStream {
    let (plain, writer) = tokio::io::duplex(PIECE);
    tokio::task::spawn_blocking(move || {
        // The engine tells of an archive that breaks off; one that is not wanted any more is no fault.
        if let Err(error) = zstd::stream::copy_decode(archive, SyncIoBridge::new(writer)) {
            tracing::warn!(%error, "the base image was not read to its end");
        }
    });
    plain
}
