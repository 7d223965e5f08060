//! Make an image of the container of a prebuild, and let its environment go.
//!
//! Cut off, it is done again from the beginning: the same image comes of it under the same name.

use api::{DesiredPhase, Problem, ProblemCode};
use devcontainer::Command;

use super::{Turn, container};
use crate::observe;
use crate::place;
use crate::prebuild::{self, CLEAN};

pub(super) async fn commit(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let config = turn.config()?;
    let (parts, environment) = (turn.parts, turn.environment);
    let gone = || Problem::new(ProblemCode::ContainerFailed, "the container is gone");
    let state = observe::main_container(parts, environment).await?.ok_or_else(gone)?;
    let base = container::made_with(turn).await?;
    parts.automations.stop(&environment.id).await;
    let (place, _) = place::of(parts, environment, &config, &state, turn.report).await?;
    let mut context = place.context();
    context.user = Some("root".to_owned());
    context.cwd = None;
    let clean = Command::Shell(CLEAN.to_owned());
    let cleaned = place.engine().run_command(&clean, &context, "cleaning up", turn.report).await;
    cleaned.map_err(|error| {
        let title = "what Cove keeps in the container for the time being could not be removed";
        Problem::new(ProblemCode::PrebuildFailed, title).caused_by(&error)
    })?;
    let image = {
        let initialized = turn.memory.initialized.clone();
        let container = (&state, &base);
        prebuild::commit(parts, environment, &config, container, initialized.as_ref(), turn.report).await?
    };
    prebuild::publish(parts, environment, &image, turn.report).await?;
    turn.report.line(format!("the prebuild is the image `{image}`"));
    // It was made for that alone.
    match parts.store.change_spec(&environment.id, None, |spec| spec.desired_phase = DesiredPhase::Deleted) {
        Ok(_) | Err(crate::StoreError::BeingDeleted { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
