//! Make, start, stop and remove the container of an environment, or its compose project.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{DesiredPhase, Problem, ProblemCode};
use devcontainer::{ContainerSource, METADATA_LABEL, Resolved};
use engine::{ContainerError, ContainerState, Engine, Extras, Identity, plan_container};
use provision::container::{self, StartError};
use provision::image::{self, PreparedImage};

use super::image::{judge_arguments, judge_made};
use super::{Turn, compose, gate};
use crate::clone;
use crate::configuration::BASE_ENTRIES_LABEL;
use crate::consent;
use crate::observe::{self, CONFIG_LABEL, REBUILD_LABEL};
use crate::prebuild::{self, BEGAN_LABEL, FOR_PREBUILD_LABEL};
use crate::problems;
use crate::reconcile::{Prepared, Started};
use crate::store::MadeFrom;

/// How long a container may take to end after it was asked to.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Longest metadata that is put on a container, in bytes: it goes through an argument of `docker create`.
const MAX_LABEL: usize = 100_000;

pub(super) async fn create(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let config = turn.config()?;
    judge_arguments(turn, &config)?;
    let prepared = prepared(turn)?;
    record_made_from(turn, &prepared)?;
    let mut resolved = devcontainer::merge(&prepared.image.metadata, &config);
    if turn.environment.spec.prebuild.is_some() {
        // They reach each process as it starts, and not the image.
        resolved.container_env.clear();
    }
    let judge = turn.parts.judge(turn.environment);
    clone::mount_volume_in(&mut resolved.mounts, turn.environment)?;
    consent::withhold_mounts(&mut resolved.mounts, &consent::roots_of(&config), &judge);
    if let ContainerSource::Compose(compose) = &config.container {
        return compose::create(turn, &config, compose, &resolved, &prepared).await;
    }
    // `docker` reads files that arguments name while it makes the container, which the gate cannot see in it.
    let since = consent::withhold(&mut (*config).clone(), &judge);
    if !since.0.is_empty() {
        return Err(gate::not_agreed("the configuration would bring in", &since));
    }
    let user = image::user_of(&resolved, &config, &prepared.image.user);
    let parts = clone::parts_of(&config, &resolved.mounts, turn.environment);
    clone::give(turn, &prepared.image, &user, &parts).await?;
    let engine = turn.parts.machine.engine();
    let config = if turn.environment.spec.prebuild.is_some() {
        // Told before anything runs in it.
        prebuild::variables_of(turn.parts, turn.environment, &config)?;
        Arc::new(prebuild::without_variables(&config))
    } else {
        config
    };
    let mounts = config.additional_mount.iter().cloned().collect();
    let extras = Extras { mounts, ..extras(turn, &prepared) };
    let image = &prepared.image;
    let spec = plan_container(&config, &resolved, &image.image, &image.info, &identity(turn), extras);
    let made = engine.create_container(&spec).await;
    let state = observe::main_container(turn.parts, turn.environment).await?;
    match (made, state) {
        (Ok(_), Some(state)) => gate::judge_new(turn, &config, &state).await,
        // A run of this step that was cut off may have got so far, after the world was looked at.
        (Err(ContainerError::NameTaken { .. }), Some(state)) => gate::judge_new(turn, &config, &state).await,
        (Ok(_), None) => Err(problems::from_start(&StartError::Gone)),
        (Err(error), _) => Err(problems::from_container(&error)),
    }
}

/// What is added to the container that a person works in: what it is known by, and what its class gives it.
pub(super) fn extras(turn: &Turn<'_>, prepared: &Prepared) -> Extras {
    let size = crate::sync::size_of(&turn.parts.store, &turn.environment.id);
    Extras { labels: labels(turn, prepared), size, ..Extras::default() }
}

/// Records what the container is about to be made from: with what was left out of the image's and compose's wishes.
fn record_made_from(turn: &Turn<'_>, prepared: &Prepared) -> Result<(), Problem> {
    let reading = turn.reading()?;
    let made_from = MadeFrom {
        digest: reading.config.digest.clone(),
        properties: (*reading.properties).clone(),
        left_out: prepared.withheld.consents(),
        feature_warnings: prepared.feature_warnings.clone(),
    };
    Ok(turn.parts.store.record_made_from(&turn.environment.id, &made_from)?)
}

pub(super) async fn start(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let engine = turn.parts.machine.engine();
    let config = turn.config()?;
    let found = observe::main_container(turn.parts, turn.environment).await?;
    let state = found.ok_or_else(|| problems::from_start(&StartError::Gone))?;
    judge_made(turn, &config, &state).await?;
    // What the container is decides, and not what its configuration says by now.
    let started = match &config.container {
        ContainerSource::Compose(compose) if compose::project_of(&state).is_some() => {
            compose::start(turn, &config, compose, &state).await?;
            container::watch(&engine, &state.id).await
        }
        _ => {
            gate::judge(turn, &config, std::slice::from_ref(&state)).await?;
            container::start(&engine, state).await
        }
    };
    match started {
        Ok(_) => note_started(turn).await,
        Err(StartError::Ended { container, status, log_tail }) => {
            let resolved = turn.observation.resolved.as_ref();
            Err(ended_with(&container, "at once", status, log_tail, resolved))
        }
        Err(error) => Err(problems::from_start(&error)),
    }
}

/// Remembers that the container was started for this spec. One that ends after that is not started by itself again.
async fn note_started(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let engine_starts = turn.parts.machine.engine_starts();
    let state = observe::main_container(turn.parts, turn.environment).await?;
    turn.memory.started = state.map(|state| Started {
        container: state.id,
        generation: turn.environment.metadata.generation,
        engine_starts,
    });
    Ok(())
}

pub(super) async fn stop(turn: &mut Turn<'_>) -> Result<(), Problem> {
    turn.parts.automations.stop(&turn.environment.id).await;
    let engine = turn.parts.machine.engine();
    let Some(state) = &turn.observation.state else {
        return match compose::left_of(&engine, &turn.environment.id).await? {
            Some((project, _)) => compose::stop(&engine, &project).await,
            None => Ok(()),
        };
    };
    match compose::project_of(state) {
        Some(project) => compose::stop(&engine, &project).await,
        None => {
            engine.stop_container(&state.id, STOP_GRACE).await.map_err(|error| problems::from_engine(&error))
        }
    }
}

pub(super) async fn remove(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let engine = turn.parts.machine.engine();
    // Not the observation of a machine that was off when this was planned.
    let Some(state) = observe::main_container(turn.parts, turn.environment).await? else {
        return match compose::left_of(&engine, &turn.environment.id).await? {
            Some((project, _)) => compose::down(&engine, &project).await,
            None => Ok(()),
        };
    };
    turn.parts.automations.stop(&turn.environment.id).await;
    turn.parts.ports.close(&turn.environment.id).await;
    turn.memory.ports = None;
    match whole_project(turn.environment.spec.desired_phase, compose::project_of(&state)) {
        Some(project) => compose::down(&engine, &project).await,
        None => engine.remove_container(&state.id).await.map_err(|error| problems::from_engine(&error)),
    }
}

/// The project that goes with its main container. Where that is only made anew, the other services stay, with the
/// data of a database in a volume without a name; compose makes those anew whose description changed, and hands such
/// volumes on.
fn whole_project(desired: DesiredPhase, project: Option<String>) -> Option<String> {
    match desired {
        DesiredPhase::Running => None,
        DesiredPhase::Stopped | DesiredPhase::Deleted => project,
    }
}

/// The image made ready for this spec.
pub(super) fn prepared(turn: &Turn<'_>) -> Result<Prepared, Problem> {
    let image = turn.memory.image.clone();
    image.ok_or_else(|| Problem::new(ProblemCode::Internal, "a container came before its image was prepared"))
}

/// What the container that is there was made of: the image, and what it and its features say.
///
/// # Errors
/// The engine does not have it any more.
pub(super) async fn made_with(turn: &Turn<'_>) -> Result<PreparedImage, Problem> {
    if let Some(prepared) = &turn.memory.image {
        return Ok(prepared.image.clone());
    }
    // A daemon that began since did not prepare it.
    let engine = turn.parts.machine.engine();
    let gone = || problems::from_start(&StartError::Gone);
    let state = observe::main_container(turn.parts, turn.environment).await?.ok_or_else(gone)?;
    let image = engine.image(&state.image_id).await.map_err(|error| problems::from_engine(&error))?;
    let info = image.ok_or_else(gone)?;
    let label = state.labels.get(METADATA_LABEL).cloned().unwrap_or_default();
    let mut metadata = container::metadata(&state.labels);
    if let Some(base) = state.labels.get(BASE_ENTRIES_LABEL).and_then(|count| count.parse().ok()) {
        metadata.truncate(base);
    }
    let user = info.user.clone().unwrap_or_else(|| "root".to_owned());
    Ok(PreparedImage { image: state.image.clone(), info, metadata, label, user })
}

/// What Cove calls the environment in the engine.
pub(super) fn identity(turn: &Turn<'_>) -> Identity {
    Identity {
        environment: turn.environment.id.to_string(),
        name: turn.environment.metadata.name.to_string(),
    }
}

/// Labels by which the container is found and compared later, and by which every dev container tool knows what holds
/// for it.
fn labels(turn: &Turn<'_>, prepared: &Prepared) -> BTreeMap<String, String> {
    let is_for_prebuild = turn.environment.spec.prebuild.is_some();
    let mut labels = BTreeMap::from([
        (CONFIG_LABEL.to_owned(), prepared.digest.clone()),
        (REBUILD_LABEL.to_owned(), turn.environment.spec.rebuild.0.clone()),
        (BASE_ENTRIES_LABEL.to_owned(), prepared.image.metadata.len().to_string()),
        // Said in any case: the image may be what somebody made of a container for which it was true.
        (FOR_PREBUILD_LABEL.to_owned(), if is_for_prebuild { "true" } else { "" }.to_owned()),
        (BEGAN_LABEL.to_owned(), prepared.began_from.clone().unwrap_or_default()),
    ]);
    // A longer one is in no argument's reach; then that of the image has to do.
    if prepared.image.label.len() <= MAX_LABEL {
        labels.insert(METADATA_LABEL.to_owned(), prepared.image.label.clone());
    }
    labels
}

/// Why a container does not run that should: it ended, `how` says in what way.
pub(crate) async fn ended(
    engine: &Engine,
    state: &ContainerState,
    how: &str,
    resolved: Option<&Resolved>,
) -> Problem {
    let tail = container::log_tail(engine, &state.id).await;
    ended_with(&state.name, how, state.exit_code.unwrap_or(-1), tail, resolved)
}

fn ended_with(name: &str, how: &str, status: i64, tail: Vec<String>, resolved: Option<&Resolved>) -> Problem {
    let title = format!("the container `{name}` ended {how}, with status {status}");
    let problem = Problem::new(ProblemCode::ContainerFailed, title).with_log(tail);
    if resolved.is_some_and(|resolved| !resolved.override_command) {
        return problem.with_hint(
            "its own command ended: keep it running, or set `\"overrideCommand\": true` to let Cove keep the container up",
        );
    }
    problem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebuild_leaves_the_other_services_and_their_data() {
        let project = || Some("web".to_owned());
        assert_eq!(whole_project(DesiredPhase::Running, project()), None);
        assert_eq!(whole_project(DesiredPhase::Deleted, project()), project());
    }
}
