//! A compose project instead of a single container.

use std::time::Duration;

use api::{EnvironmentId, Problem};
use camino::Utf8PathBuf;
use devcontainer::{Compose, Config, Resolved, Sources};
use engine::{
    ComposeModel, ComposeProject, ContainerState, Engine, Extras, Recreate, plan_override, project_name,
};

use super::Turn;
use super::container::{identity, labels};
use super::image::provide;
use crate::problems;
use crate::reconcile::Prepared;
use crate::sources::Disk;

/// Compose's label with the project's name.
const PROJECT_LABEL: &str = "com.docker.compose.project";
/// Compose's label with the folder the project was made from.
const FOLDER_LABEL: &str = "com.docker.compose.project.working_dir";
/// Compose's label with the files the project was made from.
const FILES_LABEL: &str = "com.docker.compose.project.config_files";
/// How long services may take to end after they were asked to.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// Builds the project's images, and gives that of the dev container.
pub(super) async fn build(turn: &Turn<'_>, config: &Config, compose: &Compose) -> Result<String, Problem> {
    let engine = turn.parts.machine.engine();
    let (project, model) = project_of_files(&engine, config, compose).await?;
    // Asked before anything is built: a name that is not there is told at once.
    model.services_to_start(compose).map_err(|error| problems::from_compose(&error))?;
    let name = project.name.clone().unwrap_or_default();
    let image = model.image_of(&name, &compose.service).map_err(|error| problems::from_compose(&error))?;
    if model.services.values().any(|service| service.build.is_some()) {
        let built = engine.compose_build(&project, &[], turn.report).await;
        built.map_err(|error| problems::from_compose(&error))?;
    }
    provide(&engine, &image, turn.report).await?;
    Ok(image)
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
    let (mut project, model) = project_of_files(&engine, config, compose).await?;
    let service = model.service(&compose.service).map_err(|error| problems::from_compose(&error))?;
    let extras = Extras { labels: labels(turn, config), ..Extras::default() };
    let own = (compose.service.as_str(), service);
    let added =
        plan_override(config, resolved, own, &prepared.info, Some(&prepared.image), &identity(turn), extras);
    let path = override_path(turn);
    engine.put_compose_override(&path, &added).await.map_err(|error| problems::from_engine(&error))?;
    project.override_file = Some(path);
    up(turn, &engine, &project, &model, compose, Recreate::Changed).await
}

/// Starts containers that exist.
pub(super) async fn start(turn: &Turn<'_>, config: &Config, compose: &Compose) -> Result<(), Problem> {
    let engine = turn.parts.machine.engine();
    let (mut project, model) = project_of_files(&engine, config, compose).await?;
    project.override_file = Some(override_path(turn));
    up(turn, &engine, &project, &model, compose, Recreate::Never).await
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

async fn up(
    turn: &Turn<'_>,
    engine: &Engine,
    project: &ComposeProject,
    model: &ComposeModel,
    compose: &Compose,
    recreate: Recreate,
) -> Result<(), Problem> {
    let services = model.services_to_start(compose).map_err(|error| problems::from_compose(&error))?;
    let done = engine.compose_up(project, &services, recreate, turn.report).await;
    done.map_err(|error| problems::from_compose(&error))
}

/// What Cove adds to the project, on the machine's disk: it is needed as long as the containers are.
fn override_path(turn: &Turn<'_>) -> Utf8PathBuf {
    added_file(&turn.environment.id)
}

fn added_file(id: &EnvironmentId) -> Utf8PathBuf {
    format!("/var/lib/cove/environments/{id}/compose.json").into()
}

/// Reads the compose files, and finds the project's name.
async fn project_of_files(
    engine: &Engine,
    config: &Config,
    compose: &Compose,
) -> Result<(ComposeProject, ComposeModel), Problem> {
    let mut project = ComposeProject { files: compose.files.clone(), ..ComposeProject::default() };
    let model = engine.compose_model(&project).await.map_err(|error| problems::from_compose(&error))?;
    let folder = compose.files.first().and_then(|file| file.parent()).unwrap_or(&config.workspace);
    let env_file = |folder: &camino::Utf8Path| {
        let bytes = Disk.read(&folder.join(".env")).ok().flatten();
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    };
    let env_files = [env_file(&config.workspace), env_file(folder)];
    let env_files: Vec<&str> = env_files.iter().map(String::as_str).collect();
    let from_environment = Disk.env("COMPOSE_PROJECT_NAME");
    let folder_name = folder.file_name().unwrap_or_default();
    let hint = &compose.project_name_hint;
    let mut name = project_name(from_environment.as_deref(), &env_files, &model, folder_name, hint);
    if is_taken(engine, &name, folder.as_str()).await? {
        let digest: String = config.id.as_str().chars().rev().take(6).collect();
        name = format!("{name}-{digest}");
    }
    project.name = Some(name);
    Ok((project, model))
}

/// Whether another folder of the same name has a project of that name: theirs must stay whole.
async fn is_taken(engine: &Engine, name: &str, folder: &str) -> Result<bool, Problem> {
    let containers = engine.compose_containers(name).await.map_err(|error| problems::from_engine(&error))?;
    let folders = containers.values().filter_map(|container| container.labels.get(FOLDER_LABEL));
    Ok(folders.into_iter().any(|other| other != folder))
}
