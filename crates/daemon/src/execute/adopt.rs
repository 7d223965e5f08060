//! Take over the container that another tool made for the same folder and configuration.

use api::{HookStage, Problem, ProblemCode};

use super::Turn;
use super::image::judge_made;
use crate::observe;
use crate::problems;
use crate::store::{Adopted, MadeFrom};

pub(super) async fn run(turn: &Turn<'_>) -> Result<(), Problem> {
    let reading = turn.reading()?;
    let gone = || {
        Problem::new(ProblemCode::ContainerFailed, "the container of another tool is gone")
            .with_command("make one instead", "cove up")
    };
    let id = observe::foreign_container(turn.parts, &reading.config).await?.ok_or_else(gone)?;
    let state = turn.parts.machine.engine().container(&id).await;
    let state = state.map_err(|error| problems::from_engine(&error))?.ok_or_else(gone)?;
    judge_made(turn, &reading.config, &state).await?;
    turn.report.line(format!(
        "the container `{}` was made for this folder by another tool; Cove looks after it from now on",
        state.name
    ));
    // Who made it ran what runs once, and at its present start what runs at each.
    let environment = &turn.environment.id;
    for stage in HookStage::ALL.into_iter().filter(|stage| stage.once_per_container()) {
        turn.parts.store.hook_succeeded(environment, &state.id, &state.id, stage, 0)?;
    }
    if let Some(run) = observe::run_of(&state) {
        turn.parts.store.hook_succeeded(environment, &state.id, &run, HookStage::PostStart, 0)?;
    }
    // What it was made from is not known: what the configuration says now is taken for it.
    let digest = reading.config.digest.clone();
    let properties = (*reading.properties).clone();
    let made_from =
        MadeFrom { digest: digest.clone(), properties, left_out: Vec::new(), feature_warnings: Vec::new() };
    turn.parts.store.record_made_from(environment, &made_from)?;
    // The session of the container that was there before, if any: a rebuild that was asked for since still counts.
    let rebuild = turn.environment.status.rebuild.clone();
    turn.parts.store.adopt(environment, &Adopted { container: state.id, digest, rebuild })?;
    Ok(())
}
