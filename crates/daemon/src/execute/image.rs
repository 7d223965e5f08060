//! Load, pull or build the image a container is made from, and give its user the numbers of the shared files.

use api::{Problem, ProblemCode};
use camino::Utf8Path;
use devcontainer::{Config, ContainerSource, METADATA_LABEL};
use engine::{Engine, ImageInfo, image_tag, plan_build};

use super::{Turn, compose, container::identity};
use crate::configuration::{self, DEFAULT_IMAGE};
use crate::observe::ENVIRONMENT_LABEL;
use crate::paths;
use crate::problems;
use crate::reconcile::{Prepared, Report};

/// User and group that the host's files have in the machine.
pub(super) const SHARED_IDS: (u32, u32) = (1000, 1000);

/// The archive with [`DEFAULT_IMAGE`], beside the guest image.
const BASE_ARCHIVE: &str = "base-image.tar.zst";

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let config = turn.config()?;
    let engine = turn.parts.machine.engine();
    if may_use_base(&config) {
        provide_base(&engine, &turn.parts.base, turn.report).await?;
    }
    let image = match &config.container {
        ContainerSource::Image { image } => {
            provide(&engine, image, turn.report).await?;
            image.clone()
        }
        ContainerSource::Build(build) => {
            let spec = plan_build(build, &identity(turn), &config.digest);
            engine.build(&spec, turn.report).await.map_err(|error| problems::from_build(&error))?;
            spec.tags.into_iter().next().unwrap_or_default()
        }
        ContainerSource::Compose(compose) => compose::build(turn, &config, compose).await?,
    };
    let info = facts(&engine, &image).await?;
    let metadata = configuration::image_metadata(info.labels.get(METADATA_LABEL).map(String::as_str));
    let resolved = devcontainer::merge(&metadata, &config);
    let user = resolved.effective_user(info.user.as_deref().unwrap_or_default()).to_owned();
    let image = if resolved.update_remote_user_uid {
        move_user(turn, &engine, (&image, &info), &user).await?
    } else {
        image
    };
    let info = facts(&engine, &image).await?;
    turn.memory.image = Some(Prepared {
        digest: config.digest.clone(),
        rebuild: turn.environment.spec.rebuild.clone(),
        image,
        info,
        metadata,
    });
    Ok(())
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

/// Makes sure that the engine has an image, from its registry if it must be.
pub(super) async fn provide(engine: &Engine, image: &str, report: &Report) -> Result<(), Problem> {
    if engine.image(image).await.map_err(|error| problems::from_engine(&error))?.is_none() {
        engine.pull(image, report).await.map_err(|error| problems::from_pull(&error))?;
    }
    Ok(())
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
    let file = open(&archive).await?;
    engine.load(file, DEFAULT_IMAGE, progress).await.map_err(|error| problems::from_engine(&error))?;
    Ok(())
}

async fn open(archive: &Utf8Path) -> Result<tokio::fs::File, Problem> {
    let opened = tokio::fs::File::open(archive).await;
    opened.map_err(|error| {
        Problem::new(ProblemCode::GuestImageMissing, format!("could not read `{archive}`")).caused_by(&error)
    })
}

async fn facts(engine: &Engine, image: &str) -> Result<ImageInfo, Problem> {
    let found = engine.image(image).await.map_err(|error| problems::from_engine(&error))?;
    found
        .ok_or_else(|| Problem::new(ProblemCode::ImageNotFound, format!("the engine has no image `{image}`")))
}

/// Gives the user the numbers of the shared files, in a thin image on top where that is needed.
async fn move_user(
    turn: &Turn<'_>,
    engine: &Engine,
    (image, info): (&str, &ImageInfo),
    user: &str,
) -> Result<String, Problem> {
    let identity = identity(turn);
    let tag = format!("{}-user", image_tag(&identity, info.id.trim_start_matches("sha256:")));
    let labels = [(ENVIRONMENT_LABEL.to_owned(), identity.environment)].into();
    let moved = engine.move_user(image, user, SHARED_IDS, &tag, &labels, turn.report).await;
    let (image, _) = moved.map_err(|error| problems::from_build(&error))?;
    Ok(image)
}
