//! A compose project instead of a single container.

use std::time::Duration;

use api::{EnvironmentId, Problem, Unasked};
use camino::Utf8PathBuf;
use devcontainer::{Compose, Config, Resolved};
use engine::{ComposeContainers, ComposeProject, ContainerState, Engine, Until};
use provision::compose::{self, PROJECT_LABEL, Project, Wanted};

use super::container::{extras, identity};
use super::{Turn, gate};
use crate::consent::{self, Kept, Withheld};
use crate::problems;
use crate::reconcile::Prepared;
use crate::sources::Person;

/// Compose's label with the files the project was made from.
const FILES_LABEL: &str = "com.docker.compose.project.config_files";
/// How long services may take to end after they were asked to.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Reads the project's files, with the variables of the person. A name in them that is not there is told at once.
pub(super) async fn read(turn: &Turn<'_>, config: &Config, compose: &Compose) -> Result<Project, Problem> {
    read_as(turn, config, compose, None).await
}

/// As [`read`], for the project that a container belongs to.
pub(super) async fn read_of(
    turn: &Turn<'_>,
    config: &Config,
    compose: &Compose,
    state: &ContainerState,
) -> Result<Project, Problem> {
    read_as(turn, config, compose, project_of(state)).await
}

/// As [`read`], for a project whose name is known.
async fn read_as(
    turn: &Turn<'_>,
    config: &Config,
    compose: &Compose,
    name: Option<String>,
) -> Result<Project, Problem> {
    let engine = turn.parts.machine.engine();
    let variables = turn.parts.store.variables(&turn.environment.id)?;
    let given = ComposeProject { env: variables.clone(), name, ..ComposeProject::default() };
    let read = async {
        let mut project = compose::read_as(&engine, config, compose, &Person::new(&variables), given).await?;
        // The files can mention the name: they are judged as they are used.
        if project.model.name != project.name() {
            project.model = engine.compose_model(&project.files).await?;
        }
        Ok(project)
    };
    read.await.map_err(|error| problems::from_compose(&error))
}

/// Makes the project's containers.
pub(super) async fn create(
    turn: &Turn<'_>,
    config: &Config,
    compose: &Compose,
    resolved: &Resolved,
    prepared: &Prepared,
) -> Result<(), Problem> {
    let engine = turn.parts.machine.engine();
    let mut project = read(turn, config, compose).await?;
    let judge = turn.parts.judge(turn.environment);
    let (withheld, kept) = consent::withhold_of_services(&project.model, &consent::roots_of(config), &judge);
    if !withheld.0.is_empty() {
        lay_over(turn, &engine, &mut project, &kept).await?;
    }
    let wanted = Wanted {
        config,
        resolved,
        image: &prepared.image,
        identity: Some(&identity(turn)),
        extras: extras(turn, prepared),
        path: added_file(&turn.environment.id),
    };
    let made = compose::create(&engine, &project, &wanted, Until::Made, turn.report).await;
    made.map_err(|error| problems::from_compose(&error))
}

/// Lays a file over the project's with what services keep of their mounts.
async fn lay_over(
    turn: &Turn<'_>,
    engine: &Engine,
    project: &mut Project,
    kept: &Kept,
) -> Result<(), Problem> {
    let path = volumes_file(&turn.environment.id);
    let written = engine.put_compose_file(&path, &consent::kept_file(kept)).await;
    written.map_err(|error| problems::from_engine(&error))?;
    project.files.files.push(path);
    Ok(())
}

/// Starts containers that exist, and those of services that came to the files since, once they are judged.
pub(super) async fn start(
    turn: &Turn<'_>,
    config: &Config,
    compose: &Compose,
    state: &ContainerState,
) -> Result<(), Problem> {
    let mut project = read_of(turn, config, compose, state).await?;
    let engine = turn.parts.machine.engine();
    let wanted = project.wanted();
    let needed = engine.compose_needed(project.name(), &wanted).await;
    let mut needed = needed.map_err(|error| problems::from_engine(&error))?;
    if !needed.missing.is_empty() {
        complete(turn, &engine, config, &mut project, &needed, state).await?;
        let now = engine.compose_needed(project.name(), &wanted).await;
        needed = now.map_err(|error| problems::from_engine(&error))?;
    }
    let mut waiting = Vec::new();
    for container in needed.found.iter().filter(|container| !container.running) {
        let state = engine.container(&container.id).await;
        waiting.extend(state.map_err(|error| problems::from_engine(&error))?);
    }
    gate::judge(turn, config, &waiting).await?;
    let started = engine.compose_start(project.name(), &needed.services(), turn.report).await;
    started.map_err(|error| problems::from_compose(&error))
}

/// Makes the containers of services that have none, without the mounts that nobody agreed to.
async fn complete(
    turn: &Turn<'_>,
    engine: &Engine,
    config: &Config,
    project: &mut Project,
    needed: &ComposeContainers,
    state: &ContainerState,
) -> Result<(), Problem> {
    let judge = turn.parts.judge(turn.environment);
    let there = needed.services();
    let mut new = project.model.clone();
    new.services.retain(|name, _| !there.contains(name));
    let (withheld, kept) = consent::withhold_of_services(&new, &consent::roots_of(config), &judge);
    if turn.environment.spec.unasked == Unasked::Wait && !withheld.open().is_empty() {
        return Err(gate::not_agreed("services that came to the compose files since would see", &withheld));
    }
    record_left_out(turn, &withheld)?;
    // Also where nothing is kept back: it stands in for the one that was laid over when the others were made.
    lay_over(turn, engine, project, &kept).await?;
    let made = compose::complete(engine, project, state, Until::Made, turn.report).await;
    made.map_err(|error| problems::from_compose(&error))
}

/// Adds to what was left out of the environment's containers.
fn record_left_out(turn: &Turn<'_>, withheld: &Withheld) -> Result<(), Problem> {
    let id = &turn.environment.id;
    let Some(mut made_from) = turn.parts.store.made_from(id)?.filter(|_| !withheld.0.is_empty()) else {
        return Ok(());
    };
    let mut all = made_from.left_out;
    all.extend(withheld.consents());
    made_from.left_out = Vec::new();
    for consent in all {
        if !made_from.left_out.contains(&consent) {
            made_from.left_out.push(consent);
        }
    }
    Ok(turn.parts.store.record_made_from(id, &made_from)?)
}

/// The project a container belongs to, if it belongs to one.
pub(super) fn project_of(state: &ContainerState) -> Option<String> {
    state.labels.get(PROJECT_LABEL).cloned()
}

/// The project of an environment whose main container is gone, and whether any of its other containers runs. They are
/// known by the file that Cove added to the project.
pub(crate) async fn left_of(engine: &Engine, id: &EnvironmentId) -> Result<Option<(String, bool)>, Problem> {
    let found = engine.find_containers(&[PROJECT_LABEL.to_owned()]).await;
    let found = found.map_err(|error| problems::from_engine(&error))?;
    let added = added_file(id);
    let mut left: Option<(String, bool)> = None;
    for container in found {
        let files = container.labels.get(FILES_LABEL).map_or("", String::as_str);
        if let Some(project) = container.labels.get(PROJECT_LABEL)
            && files.split(',').any(|file| file == added)
        {
            let runs = container.running || left.as_ref().is_some_and(|(_, runs)| *runs);
            left = Some((project.clone(), runs));
        }
    }
    Ok(left)
}

/// Stops all containers of a project.
pub(super) async fn stop(engine: &Engine, project: &str) -> Result<(), Problem> {
    engine.compose_stop(project, STOP_GRACE).await.map_err(|error| problems::from_engine(&error))
}

/// Removes all containers and networks of a project, and keeps its named volumes: they hold people's work.
pub(super) async fn down(engine: &Engine, project: &str) -> Result<(), Problem> {
    engine.compose_down(project, false).await.map_err(|error| problems::from_engine(&error))
}

/// What Cove adds to the project, on the machine's disk: it is needed as long as the containers are.
fn added_file(id: &EnvironmentId) -> Utf8PathBuf {
    format!("/var/lib/cove/environments/{id}/compose.json").into()
}

/// The volumes of services some of which were left out.
fn volumes_file(id: &EnvironmentId) -> Utf8PathBuf {
    format!("/var/lib/cove/environments/{id}/volumes.yaml").into()
}
