//! Steps of environments whose sources are a clone.

use api::{EventKind, Problem};
use provision::image;

use super::{Turn, container};
use crate::clone;
use crate::configuration;

/// Reads the configuration; that of a clone as it is in the container by now.
pub(super) async fn read_config(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let (parts, environment) = (turn.parts, turn.environment);
    if !environment.spec.source.is_here() {
        if let Err(problem) = clone::refresh(parts, environment).await {
            if !environment.spec.source.folder().is_dir() {
                return Err(problem);
            }
            // What was copied before serves: the way back in must not hang on what was put into a folder.
            turn.report.emit(EventKind::Warning { problem });
        }
        let caller = parts.callers.of(&environment.spec.retry);
        if !caller.is_empty() {
            let named = clone::named_variables(environment, &caller);
            parts.store.set_variables(&environment.id, &named)?;
        }
    }
    turn.memory.reading = Some(configuration::read(parts, environment)?);
    Ok(())
}

/// Puts the clone into its volume, for the user whom the image that was made ready is for.
pub(super) async fn fill_volume(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let (config, prepared) = (turn.config()?, container::prepared(turn)?);
    let resolved = devcontainer::merge(&prepared.image.metadata, &config);
    let user = image::user_of(&resolved, &config, &prepared.image.user);
    clone::fill(turn, &prepared.image, &user).await
}
