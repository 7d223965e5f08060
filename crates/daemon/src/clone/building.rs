//! Builds of a clone: the engine builds from the volume, which it has as a folder of its own.
//!
//! That folder is in the machine, and so is what this computer shares with it. What the repository says must not lead
//! there: no path out of the volume, and no link.

use api::{Problem, ProblemCode, Source};
use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::{Config, ContainerSource};
use engine::PathFound;
use reconciler::SourceFacts;

use super::volume::{Hands, TOP, USUAL};
use crate::consent::shortened;
use crate::execute::Turn;
use crate::problems::from_engine;

/// Links that lead to links, at most.
const MOST_LINKS: usize = 16;

/// A configuration whose build sees the sources where the engine has them. They are put there first, if they are on
/// this computer still.
///
/// # Errors
/// The volume cannot be filled, or the build would see something else than the repository.
pub(crate) async fn with_sources(turn: &Turn<'_>, config: &Config) -> Result<Config, Problem> {
    let mut config = config.clone();
    let Source::Clone { folder, .. } = &turn.environment.spec.source else { return Ok(config) };
    let ContainerSource::Build(build) = &mut config.container else { return Ok(config) };
    let hands = Hands::of(turn);
    hands.clear().await?;
    if matches!(super::facts(turn.environment), SourceFacts::Fetched | SourceFacts::Filling) {
        hands.begin().await?;
        let container = hands.open(None).await?;
        let is_there = hands.is_whole(&container).await? || hands.owner(&container).await?.is_some();
        hands.close(&container).await?;
        if !is_there {
            hands.begin_again().await?;
            hands.put(USUAL, None, turn.report).await?;
        }
    }
    let gone = || Problem::new(ProblemCode::CloneFailed, "the volume with the sources is gone");
    let found = hands.engine.volume_folder(&hands.volume).await;
    let place: Utf8PathBuf = found.map_err(|error| from_engine(&error))?.ok_or_else(gone)?.into();
    let container = hands.open(None).await?;
    let followed = async {
        for (path, property) in
            [(&mut build.context, "build.context"), (&mut build.dockerfile, "build.dockerfile")]
        {
            let outside = || {
                let title = format!("`{property}` leads out of the repository: `{path}`");
                Problem::new(ProblemCode::ConfigInvalid, title).with_hint(
                    "clone the repository yourself, and run `cove up` in its folder, if it needs that",
                )
            };
            let below =
                shortened(path).strip_prefix(folder).map(Utf8Path::to_owned).map_err(|_| outside())?;
            let real = followed(&hands, &container, below).await?.ok_or_else(outside)?;
            *path = place.join(real);
        }
        Ok(())
    }
    .await;
    hands.close(&container).await?;
    followed.map(|()| config)
}

/// A path below the volume with all links followed; `None` if it leads out of it.
async fn followed(
    hands: &Hands<'_>,
    container: &str,
    mut below: Utf8PathBuf,
) -> Result<Option<Utf8PathBuf>, Problem> {
    let top = Utf8Path::new("/").join(TOP);
    'links: for _ in 0..MOST_LINKS {
        let mut at = top.clone();
        let mut rest = below.components();
        while let Some(part) = rest.next() {
            at.push(part.as_str());
            let found = hands.engine.path_in_container(container, at.as_str()).await;
            let PathFound::Link(target) = found.map_err(|error| from_engine(&error))? else { continue };
            // The engine tells where it leads in a container. That begins above the volume, and so do absolute ones.
            let Ok(target) = shortened(Utf8Path::new(&target)).strip_prefix(&top).map(Utf8Path::to_owned)
            else {
                return Ok(None);
            };
            below = target.join(rest.as_path());
            continue 'links;
        }
        return Ok(Some(below));
    }
    Ok(None)
}
