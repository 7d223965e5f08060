//! Make, start, stop and remove the container of an environment, or its compose project.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{DesiredPhase, Problem, ProblemCode};
use devcontainer::{Config, ContainerSource, Resolved};
use engine::{ContainerError, ContainerState, Engine, Extras, Identity, LogRange, plan_container};
use futures::StreamExt;

use super::{Turn, compose};
use crate::observe::{self, CONFIG_LABEL, REBUILD_LABEL};
use crate::problems;
use crate::reconcile::{Prepared, Started};

/// How long a container may take to end after it was asked to.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// How long a fresh container is watched: one whose command is wrong ends at once.
const WATCHED: Duration = Duration::from_millis(300);

pub(super) async fn create(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let config = turn.config()?;
    let prepared = prepared(turn)?;
    let resolved = devcontainer::merge(&prepared.metadata, &config);
    if let ContainerSource::Compose(compose) = &config.container {
        compose::create(turn, &config, compose, &resolved, &prepared).await?;
        return note_started(turn).await;
    }
    let engine = turn.parts.machine.engine();
    let extras = Extras { labels: labels(turn, &config), ..Extras::default() };
    let spec = plan_container(&config, &resolved, &prepared.image, &prepared.info, &identity(turn), extras);
    match engine.create_container(&spec).await {
        Ok(_) => Ok(()),
        // A run of this step that was cut off may have got so far, after the world was looked at.
        Err(ContainerError::NameTaken { .. })
            if observe::main_container(turn.parts, turn.environment).await?.is_some() =>
        {
            Ok(())
        }
        Err(error) => Err(problems::from_container(&error)),
    }
}

pub(super) async fn start(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let engine = turn.parts.machine.engine();
    let config = turn.config()?;
    let gone = || Problem::new(ProblemCode::ContainerFailed, "the container is gone");
    let state = observe::main_container(turn.parts, turn.environment).await?.ok_or_else(gone)?;
    // What the container is decides, and not what its configuration says by now.
    match &config.container {
        ContainerSource::Compose(compose) if compose::project_of(&state).is_some() => {
            compose::start(turn, &config, compose).await?;
        }
        _ if state.running => {}
        _ => engine.start_container(&state.id).await.map_err(|error| problems::from_container(&error))?,
    }
    tokio::time::sleep(WATCHED).await;
    match engine.container(&state.id).await.map_err(|error| problems::from_engine(&error))? {
        Some(state) if state.running => note_started(turn).await,
        Some(state) => Err(ended(&engine, &state, "at once", turn.observation.resolved.as_ref()).await),
        None => Err(gone()),
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
fn prepared(turn: &Turn<'_>) -> Result<Prepared, Problem> {
    let image = turn.memory.image.clone();
    image.ok_or_else(|| Problem::new(ProblemCode::Internal, "a container came before its image was prepared"))
}

/// What Cove calls the environment in the engine.
pub(super) fn identity(turn: &Turn<'_>) -> Identity {
    Identity {
        environment: turn.environment.id.to_string(),
        name: turn.environment.metadata.name.to_string(),
    }
}

/// Labels by which the container is found and compared later.
pub(super) fn labels(turn: &Turn<'_>, config: &Config) -> BTreeMap<String, String> {
    BTreeMap::from([
        (CONFIG_LABEL.to_owned(), config.digest.clone()),
        (REBUILD_LABEL.to_owned(), turn.environment.spec.rebuild.0.clone()),
    ])
}

/// Why a container does not run that should: it ended, `how` says in what way.
pub(crate) async fn ended(
    engine: &Engine,
    state: &ContainerState,
    how: &str,
    resolved: Option<&Resolved>,
) -> Problem {
    let mut tail = Vec::new();
    let range = LogRange { tail: Some(30), since: None, follow: false };
    if let Ok(mut log) = engine.logs(&state.id, range) {
        while let Some(Ok((_, piece))) = log.next().await {
            tail.extend(String::from_utf8_lossy(&piece).lines().map(str::to_owned));
        }
    }
    let code = state.exit_code.unwrap_or(-1);
    let mut problem = Problem::new(
        ProblemCode::ContainerFailed,
        format!("the container `{}` ended {how}, with status {code}", state.name),
    )
    .with_log(tail);
    if resolved.is_some_and(|resolved| !resolved.override_command) {
        problem = problem.with_hint(
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
