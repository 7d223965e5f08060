//! A compose project in place of a single container.
//!
//! The dev container is one service of it. Its image is built by compose, what features and the user's numbers need
//! is built on top, and a file laid over the person's own makes the service use the result; see
//! [`image::prepare`](crate::image::prepare) and [`create`].

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::{Compose, Config, Resolved, Sources};
use engine::{
    ComposeBuilding, ComposeError, ComposeModel, ComposeProject, ContainerState, Engine, EngineError, Extras,
    Identity, Progress, Recreate, Until, plan_override, project_name,
};

use crate::image::PreparedImage;

/// Compose's label with the project's name.
pub const PROJECT_LABEL: &str = "com.docker.compose.project";
/// Compose's label with the service's name.
pub const SERVICE_LABEL: &str = "com.docker.compose.service";
/// Compose's label with the folder the project was made from.
const FOLDER_LABEL: &str = "com.docker.compose.project.working_dir";
/// Compose's label with the files the project was made from.
const FILES_LABEL: &str = "com.docker.compose.project.config_files";

/// A project: its files, and what compose makes of them.
#[derive(Debug, Clone)]
pub struct Project {
    /// The files and the name.
    pub files: ComposeProject,
    /// What they say.
    pub model: ComposeModel,
    /// The service that is the dev container.
    pub service: String,
    /// The services to start; all when empty.
    pub services: Vec<String>,
}

impl Project {
    /// The project's name.
    pub fn name(&self) -> &str {
        self.files.name.as_deref().unwrap_or_default()
    }

    /// The services to start, by name: where all are to start, those that belong to no profile.
    pub fn wanted(&self) -> Vec<String> {
        if !self.services.is_empty() {
            return self.services.clone();
        }
        let always = self.model.services.iter().filter(|(_, service)| service.profiles.is_empty());
        always.map(|(name, _)| name.clone()).collect()
    }

    /// The user that the files give the dev container's service.
    pub fn user(&self) -> Option<&str> {
        self.model.services.get(&self.service).and_then(|service| service.user.as_deref())
    }
}

/// Reads the compose files, and finds the project's name. `sources` has the variables and `.env` files of the person
/// who asked. A service that is not there is told at once.
pub async fn read(
    engine: &Engine,
    config: &Config,
    compose: &Compose,
    sources: &(dyn Sources + Sync),
    building: ComposeBuilding,
) -> Result<Project, ComposeError> {
    read_as(engine, config, compose, sources, ComposeProject { building, ..ComposeProject::default() }).await
}

/// As [`read`], with what `project` says beside the files: variables for `${…}` in them, for instance, or the name.
pub async fn read_as(
    engine: &Engine,
    config: &Config,
    compose: &Compose,
    sources: &(dyn Sources + Sync),
    project: ComposeProject,
) -> Result<Project, ComposeError> {
    let mut files = ComposeProject { files: compose.files.clone(), ..project };
    let model = engine.compose_model(&files).await?;
    let services = model.services_to_start(compose)?;
    if files.name.is_none() {
        let name = name_of(config, compose, &model, sources);
        files.name = Some(free_name(engine, config, compose, name).await?);
    }
    Ok(Project { files, model, service: compose.service.clone(), services })
}

fn name_of(config: &Config, compose: &Compose, model: &ComposeModel, sources: &dyn Sources) -> String {
    let folder = project_folder(config, compose);
    let env_file = |folder: &Utf8Path| {
        let bytes = sources.read(&folder.join(".env")).ok().flatten();
        bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    };
    let env_files = [env_file(&config.workspace), env_file(folder)];
    let env_files: Vec<&str> = env_files.iter().map(String::as_str).collect();
    let from_environment = sources.env("COMPOSE_PROJECT_NAME");
    let folder_name = folder.file_name().unwrap_or_default();
    project_name(from_environment.as_deref(), &env_files, model, folder_name, &compose.project_name_hint)
}

fn project_folder<'a>(config: &'a Config, compose: &'a Compose) -> &'a Utf8Path {
    compose.files.first().and_then(|file| file.parent()).unwrap_or(&config.workspace)
}

/// The name, with the end of the dev container's id where another folder has a project of that name: theirs must stay
/// whole.
async fn free_name(
    engine: &Engine,
    config: &Config,
    compose: &Compose,
    name: String,
) -> Result<String, EngineError> {
    let folder = project_folder(config, compose);
    let containers = engine.compose_containers(&name).await?;
    let mut folders = containers.values().filter_map(|container| container.labels.get(FOLDER_LABEL));
    if folders.all(|other| other == folder) {
        return Ok(name);
    }
    let digest: String = config.id.as_str().chars().rev().take(6).collect();
    Ok(format!("{name}-{digest}"))
}

/// Builds the images of the project's services and gives the name of the dev container's. Nothing is pulled.
pub async fn build(
    engine: &Engine,
    project: &Project,
    progress: &dyn Progress,
) -> Result<String, ComposeError> {
    let image = project.model.image_of(project.name(), &project.service)?;
    if project.model.services.values().any(|service| service.build.is_some()) {
        engine.compose_build(&project.files, &project.services, progress).await?;
    }
    Ok(image)
}

/// The project's container of the dev container's service.
pub async fn find(engine: &Engine, project: &Project) -> Result<Option<ContainerState>, EngineError> {
    let containers = engine.compose_containers(project.name()).await?;
    match containers.get(&project.service) {
        Some(found) => engine.container(&found.id).await,
        None => Ok(None),
    }
}

/// Makes the project's containers, those that differ from the files anew. What is added to the person's files is written
/// to `path`, where the engine's commands see it: it is needed as long as the containers are.
pub async fn create(
    engine: &Engine,
    project: &Project,
    wanted: &Wanted<'_>,
    until: Until,
    progress: &dyn Progress,
) -> Result<(), ComposeError> {
    let service = project.model.service(&project.service)?;
    let added = plan_override(
        wanted.config,
        wanted.resolved,
        (&project.service, service),
        &wanted.image.info,
        Some(&wanted.image.image),
        wanted.identity,
        wanted.extras.clone(),
    );
    engine.put_compose_override(&wanted.path, &added).await?;
    let files = ComposeProject { override_file: Some(wanted.path.clone()), ..project.files.clone() };
    engine.compose_up(&files, &project.services, Recreate::Changed, until, progress).await
}

/// What the dev container's service is to be.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// What holds for the container.
    pub resolved: &'a Resolved,
    /// The image.
    pub image: &'a PreparedImage,
    /// Whose it is, on an engine of ours.
    pub identity: Option<&'a Identity>,
    /// Labels, variables and mounts beside those of the configuration.
    pub extras: Extras,
    /// Where the added file goes.
    pub path: Utf8PathBuf,
}

/// Makes containers for services that have none, beside that of the dev container, and leaves those that exist as they
/// are.
pub async fn complete(
    engine: &Engine,
    project: &Project,
    state: &ContainerState,
    until: Until,
    progress: &dyn Progress,
) -> Result<(), ComposeError> {
    let mut files = project.files.clone();
    // What was laid over the files when the containers were made, by us or by another tool.
    files.files.extend(added_files(&state.labels, &files.files));
    let done = engine.compose_up(&files, &project.services, Recreate::Never, until, progress).await;
    if done.is_err() && files.files.len() > project.files.files.len() {
        // That may be gone by now, with the folder of a tool. Containers that exist go without it, and what `project`
        // itself lays over its files is there in any case.
        return engine.compose_up(&project.files, &project.services, Recreate::Never, until, progress).await;
    }
    done
}

fn added_files(labels: &BTreeMap<String, String>, own: &[Utf8PathBuf]) -> Vec<Utf8PathBuf> {
    let made_from = labels.get(FILES_LABEL).map_or("", String::as_str);
    let files = made_from.split(',').filter(|file| !file.is_empty()).map(Utf8PathBuf::from);
    files.filter(|file| !own.contains(file)).collect()
}
