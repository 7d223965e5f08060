//! A compose project instead of a single container.

use std::time::Duration;

use api::{EnvironmentId, Problem};
use camino::Utf8PathBuf;
use devcontainer::{Compose, Config, Resolved};
use engine::{ComposeProject, ContainerState, Engine, Extras, Recreate};
use provision::compose::{self, PROJECT_LABEL, Project, Wanted};

use super::Turn;
use super::container::{identity, labels};
use crate::consent;
use crate::problems;
use crate::reconcile::Prepared;
use crate::sources::Person;

/// Compose's label with the files the project was made from.
const FILES_LABEL: &str = "com.docker.compose.project.config_files";
/// How long services may take to end after they were asked to.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Reads the project's files, with the variables of the person. A name in them that is not there is told at once.
pub(super) async fn read(turn: &Turn<'_>, config: &Config, compose: &Compose) -> Result<Project, Problem> {
    let engine = turn.parts.machine.engine();
    let variables = turn.parts.store.variables(&turn.environment.id)?;
    let given = ComposeProject { env: variables.clone(), ..ComposeProject::default() };
    let project = compose::read_as(&engine, config, compose, &Person::new(&variables), given).await;
    project.map_err(|error| problems::from_compose(&error))
}

/// Makes the project's containers; compose starts them in the same breath.
pub(super) async fn create(
    turn: &Turn<'_>,
    config: &Config,
    compose: &Compose,
    resolved: &Resolved,
    prepared: &Prepared,
) -> Result<(), Problem> {
    let engine = turn.parts.machine.engine();
    let mut project = read(turn, config, compose).await?;
    leave_out(turn, &engine, config, &mut project).await?;
    let wanted = Wanted {
        config,
        resolved,
        image: &prepared.image,
        identity: Some(&identity(turn)),
        extras: Extras { labels: labels(turn, prepared), ..Extras::default() },
        path: added_file(&turn.environment.id),
    };
    let made = compose::create(&engine, &project, &wanted, Recreate::Changed, turn.report).await;
    made.map_err(|error| problems::from_compose(&error))
}

/// Lays a file over the project's that takes the mounts out that nobody agreed to.
async fn leave_out(
    turn: &Turn<'_>,
    engine: &Engine,
    config: &Config,
    project: &mut Project,
) -> Result<(), Problem> {
    let judge = turn.parts.judge(turn.environment);
    let (withheld, kept) = consent::withhold_of_services(&project.model, &consent::roots_of(config), &judge);
    if withheld.0.is_empty() {
        return Ok(());
    }
    let path = volumes_file(&turn.environment.id);
    let written = engine.put_compose_file(&path, &consent::kept_file(&kept)).await;
    written.map_err(|error| problems::from_engine(&error))?;
    project.files.files.push(path);
    Ok(())
}

/// Starts containers that exist.
pub(super) async fn start(
    turn: &Turn<'_>,
    config: &Config,
    compose: &Compose,
    state: &ContainerState,
) -> Result<(), Problem> {
    let project = read(turn, config, compose).await?;
    let engine = turn.parts.machine.engine();
    let started = compose::start(&engine, &project, state, turn.report).await;
    started.map_err(|error| problems::from_compose(&error))
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
