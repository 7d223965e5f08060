//! Brings the container to run: the one that is there, or a new one.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use devcontainer::{Command, Compose, Config, ContainerSource, METADATA_LABEL, Properties, Resolved};
use engine::{
    BuildError, ComposeBuilding, ComposeError, ContainerState, Extras, GpuUse, Until, plan_container,
};
use provision::compose::{self, Project};
use provision::features::{self, Features};
use provision::image::{self, Building, ImageError, LabelContent, Numbers, PreparedImage};
use provision::initialize::{self, Group};
use provision::{Disk, Secrets, container};

use super::{FAILING, MergedFrom, Running};
use crate::Surroundings;
use crate::arguments::{GpuAvailability, UidDefault, UpArguments};
use crate::collecting;
use crate::host::HostEngine;
use crate::log::{Level, Log};
use crate::names;
use crate::outcome::Failure;
use crate::target::{Target, absolute};

/// One `up`.
pub(super) struct Bringing<'a> {
    pub(super) arguments: &'a UpArguments,
    pub(super) surroundings: &'a Surroundings<'a>,
    pub(super) host: &'a HostEngine,
    pub(super) log: &'a Log,
    pub(super) target: &'a Target,
    pub(super) config: &'a Config,
}

/// Like the reference, an image may use the variables of the person who runs it.
fn with_local_env(mut entries: Vec<Properties>) -> Vec<Properties> {
    devcontainer::substitute_local_env(&mut entries, &Disk);
    entries
}

/// Why the container did not come up, with what the reference says of it.
fn failed(description: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::caused(description, error)
}

/// The reference's words for a missing service; the log tells which ones there are.
pub(crate) fn no_service(service: &str, known: &[String], log: &Log) -> String {
    log.error(&format!("There is no service '{service}'. The compose files have: {}.", known.join(", ")));
    format!("Service '{service}' configured in devcontainer.json not found in Docker Compose configuration.")
}

impl Bringing<'_> {
    /// Runs `initializeCommand` and brings the container to run.
    pub(super) async fn up(&self, secrets: &Secrets) -> Result<Running, Failure> {
        let found = self.target.find(&self.host.engine).await.map_err(|error| failed(FAILING, &error))?;
        if let Some(command) = &self.config.initialize_command {
            let folder = match self.config.workspace.as_str() {
                "" => &self.surroundings.folder,
                _ => &self.config.workspace,
            };
            let ran = initialize::run(
                command,
                folder,
                None,
                Group::Callers,
                &[],
                &secrets.masks(),
                &self.log.hooks(),
            )
            .await;
            ran.map_err(|error| initialize_failure(command, &error))?;
        }
        match &self.config.container {
            ContainerSource::Compose(compose) => self.compose(compose, found.1).await,
            ContainerSource::Image { .. } | ContainerSource::Build(_) => self.single(found.0, found.1).await,
        }
    }

    /// Takes the container that is there away if a person says so, and notes where one has to be.
    async fn keep(&self, found: Option<ContainerState>) -> Result<Option<ContainerState>, Failure> {
        match found {
            None if self.arguments.expect_existing_container => {
                Err(Failure::plain("The expected container does not exist."))
            }
            Some(state) if self.arguments.remove_existing_container => {
                let removed = self.host.engine.remove_container(&state.id).await;
                removed.map_err(|error| failed(FAILING, &error))?;
                Ok(None)
            }
            found => Ok(found),
        }
    }

    async fn single(
        &self,
        found: Option<ContainerState>,
        labels: BTreeMap<String, String>,
    ) -> Result<Running, Failure> {
        let engine = &self.host.engine;
        if let Some(state) = self.keep(found).await? {
            let id = state.id.clone();
            let started = container::start(engine, state).await;
            let state =
                started.map_err(|error| Failure { container_id: Some(id), ..self.not_started(&error) })?;
            return Ok(self.existing(state, None, &labels));
        }
        let features = self.features().await?;
        let prepared = self.image(&features, None).await?;
        let resolved = self.resolved(&prepared);
        let extras = self.extras(&resolved, &prepared, &labels).await?;
        let mut spec = plan_container(self.config, &resolved, &prepared.image, &prepared.info, None, extras);
        // The labels by which it is looked for, whatever the configuration would say.
        if let Some(given) = self.given_labels() {
            self.config.labels().keys().for_each(|name| drop(spec.labels.remove(name)));
            spec.labels.extend(given);
        }
        self.log.write(Level::Info, "Starting container");
        let created = engine.create_container(&spec).await.map_err(|error| failed(FAILING, &error))?;
        let with_id = |failure: Failure| Failure { container_id: Some(created.clone()), ..failure };
        let started = container::start_new(engine, &created, &spec).await;
        let state = started.map_err(|error| with_id(self.not_started(&error)))?;
        Ok(self.fresh(state, None, resolved, &prepared))
    }

    async fn compose(&self, compose: &Compose, labels: BTreeMap<String, String>) -> Result<Running, Failure> {
        const READING: &str = "An error occurred retrieving the Docker Compose configuration.";
        const STARTING: &str = "An error occurred starting Docker Compose up.";
        if self.config.workspace.as_str().is_empty() {
            return Err(Failure::plain("A Dev Container using Docker Compose requires a workspace folder."));
        }
        let engine = &self.host.engine;
        let building = ComposeBuilding {
            no_cache: self.arguments.build_no_cache,
            pull: false,
            cache_from: match self.arguments.cache_from.as_slice() {
                [] => BTreeMap::new(),
                images => [(compose.service.clone(), images.to_vec())].into(),
            },
        };
        let read = compose::read(engine, self.config, compose, &Disk, building).await;
        let project = read.map_err(|error| match &error {
            ComposeError::UnknownService { service, known } => {
                Failure::plain(no_service(service, known, self.log))
            }
            _ => failed(READING, &error),
        })?;
        let found = compose::find(engine, &project).await.map_err(|error| failed(FAILING, &error))?;
        let name = Some(project.name().to_owned());
        if let Some(state) = self.keep(found).await? {
            let state = self.start_existing(&project, state, STARTING).await?;
            return Ok(self.existing(state, name, &labels));
        }
        let features = self.features().await?;
        let prepared = self.image(&features, Some(&project)).await?;
        let resolved = self.resolved(&prepared);
        let wanted = compose::Wanted {
            config: self.config,
            resolved: &resolved,
            image: &prepared,
            identity: None,
            extras: self.extras(&resolved, &prepared, &labels).await?,
            path: self.override_path(&project),
        };
        let made = compose::create(engine, &project, &wanted, Until::Started, &self.log.steps()).await;
        made.map_err(|error| failed(STARTING, &error))?;
        let gone = || Failure::plain("Dev container not found.");
        let state = compose::find(engine, &project).await.map_err(|error| failed(FAILING, &error))?;
        let state = state.ok_or_else(gone)?;
        let watched = container::watch(engine, &state.id).await;
        let state = watched.map_err(|error| self.not_started(&error))?;
        // As the reference does for compose, from the container's label.
        let running = self.fresh(state, name, resolved, &prepared);
        let entries = container::metadata(&running.state.labels);
        Ok(Running { merged_from: MergedFrom::Container(with_local_env(entries)), ..running })
    }

    async fn start_existing(
        &self,
        project: &Project,
        state: ContainerState,
        failing: &str,
    ) -> Result<ContainerState, Failure> {
        let engine = &self.host.engine;
        if state.running {
            return Ok(state);
        }
        let with_id = |failure: Failure| Failure { container_id: Some(state.id.clone()), ..failure };
        let started = compose::complete(engine, project, &state, Until::Started, &self.log.steps()).await;
        started.map_err(|error| with_id(failed(failing, &error)))?;
        container::watch(engine, &state.id).await.map_err(|error| with_id(self.not_started(&error)))
    }

    async fn features(&self) -> Result<Features, Failure> {
        let additional = collecting::additional(&self.arguments.features)?;
        let registry = collecting::registry(self.surroundings)?;
        let request = features::Request {
            config: self.config,
            additional: &additional,
            lockfile: collecting::lockfile(self.arguments.lockfile, self.log),
            registry: &registry,
        };
        let resolved = features::resolve(&request, &self.log.steps()).await;
        let resolved = resolved.map_err(|error| collecting::unresolved(FAILING, &error))?;
        for warning in &resolved.warnings {
            self.log.write(Level::Warning, &warning.to_string());
        }
        Ok(resolved)
    }

    async fn image(&self, features: &Features, project: Option<&Project>) -> Result<PreparedImage, Failure> {
        self.arguments.buildkit.check(self.builds(features, project))?;
        let registry = collecting::registry(self.surroundings)?;
        let folder = match self.config.workspace.as_str() {
            "" => &self.surroundings.folder,
            _ => &self.config.workspace,
        };
        let arguments = self.arguments;
        let request = image::Request {
            config: self.config,
            features,
            registry: &registry,
            project,
            names: names::for_container(folder),
            labels: BTreeMap::new(),
            building: Building {
                no_cache: arguments.build_no_cache,
                cache_from: arguments.cache_from.clone(),
                cache_to: arguments.cache_to.clone().into_iter().collect(),
            },
            numbers: match (arguments.update_remote_user_uid_default, self.host.ids) {
                (UidDefault::Never, _) | (_, None) => Numbers::Keep,
                (UidDefault::On, Some((uid, gid))) => Numbers::UnlessRefused(uid, gid),
                (UidDefault::Off, Some((uid, gid))) => Numbers::IfWanted(uid, gid),
            },
            label: LabelContent {
                without_remote_env: arguments.omit_config_remote_env_from_metadata,
                ..LabelContent::default()
            },
        };
        let prepared = image::prepare(&self.host.engine, &request, &self.log.steps()).await;
        prepared.map_err(|error| image_failure(&error))
    }

    /// Whether something of the person's has to be built.
    fn builds(&self, features: &Features, project: Option<&Project>) -> bool {
        let service = project.and_then(|project| project.model.service(&project.service).ok());
        matches!(self.config.container, ContainerSource::Build(_))
            || service.is_some_and(|service| service.build.is_some())
            || !features.resolved.is_empty()
    }

    /// What holds for a fresh container.
    fn resolved(&self, prepared: &PreparedImage) -> Resolved {
        devcontainer::merge(&with_local_env(prepared.metadata.clone()), self.config)
    }

    async fn extras(
        &self,
        resolved: &Resolved,
        prepared: &PreparedImage,
        labels: &BTreeMap<String, String>,
    ) -> Result<Extras, Failure> {
        let availability = match self.arguments.gpu_availability {
            GpuAvailability::All => engine::GpuAvailability::All,
            GpuAvailability::Detect => engine::GpuAvailability::Detect,
            GpuAvailability::None => engine::GpuAvailability::None,
        };
        let wanted = resolved.host_requirements.gpu.as_ref();
        let gpu = self.host.engine.gpu_for(wanted, availability).await;
        let gpu = gpu.map_err(|error| failed(FAILING, &error))?;
        if gpu == GpuUse::Missing {
            let text = "No GPU support found yet a GPU was required - consider marking it as \"optional\"";
            self.log.write(Level::Warning, text);
        }
        let mut labels = labels.clone();
        labels.insert(METADATA_LABEL.to_owned(), prepared.label.clone());
        let mounts = self.config.additional_mount.iter().cloned();
        let mounts = mounts.chain(self.arguments.mount.iter().map(|extra| extra.mount.clone())).collect();
        Ok(Extras { labels, mounts, gpu: gpu == GpuUse::All, ..Extras::default() })
    }

    fn given_labels(&self) -> Option<BTreeMap<String, String>> {
        crate::target::labels_of(&self.arguments.id_label)
    }

    /// Where the file that is laid over the compose files is kept. With the reference's folder and prefix, by which it
    /// knows such a file again and starts the containers with it.
    fn override_path(&self, project: &Project) -> Utf8PathBuf {
        let state = self.arguments.user_data_folder.as_deref();
        let state = state.map_or(self.host.state.clone(), |path| absolute(&self.surroundings.folder, path));
        let (project, id) = (project.name(), self.config.id.as_str());
        let name = format!("docker-compose.devcontainer.containerFeatures-{project}-{id}.yml");
        state.join("docker-compose").join(name)
    }

    fn fresh(
        &self,
        state: ContainerState,
        project: Option<String>,
        resolved: Resolved,
        prepared: &PreparedImage,
    ) -> Running {
        let of_image = with_local_env(prepared.metadata.clone());
        let mut entries = of_image.clone();
        entries.push(self.config.properties.clone());
        Running { state, project, resolved, entries, merged_from: MergedFrom::Image(of_image) }
    }

    fn existing(
        &self,
        state: ContainerState,
        project: Option<String>,
        labels: &BTreeMap<String, String>,
    ) -> Running {
        let of_label = with_local_env(container::metadata(&state.labels));
        let is_own = labels.keys().all(|label| state.labels.contains_key(label));
        let resolved = container::resolve(&of_label, self.config, is_own);
        let mut entries = of_label.clone();
        if of_label.is_empty() || !is_own {
            entries.push(self.config.properties.clone());
            return Running { state, project, resolved, entries, merged_from: MergedFrom::Image(of_label) };
        }
        Running { state, project, resolved, entries, merged_from: MergedFrom::Container(of_label) }
    }

    fn not_started(&self, error: &container::StartError) -> Failure {
        if let container::StartError::Ended { log_tail, .. } = error {
            for line in log_tail {
                self.log.error(line);
            }
        }
        failed(FAILING, error)
    }
}

/// A failed `initializeCommand`, in the reference's words.
fn initialize_failure(command: &Command, error: &initialize::InitializeError) -> Failure {
    let failure = failed("The initializeCommand in the devcontainer.json failed.", error);
    let initialize::InitializeError::Failed { item, command: written, .. } = error else { return failure };
    let is_line = match command {
        Command::Parallel(all) => all.iter().any(|(name, command)| {
            matches!(command, Command::Shell(_)) && item.ends_with(&format!("({name})"))
        }),
        single => matches!(single, Command::Shell(_)),
    };
    let shell = if is_line { "/bin/sh -c " } else { "" };
    Failure {
        message: format!("Command failed: {shell}{written}"),
        details: vec![failure.message],
        ..failure
    }
}

/// A failed image, in the reference's words.
pub(crate) fn image_failure(error: &ImageError) -> Failure {
    let description = match error {
        ImageError::Build(_) | ImageError::Feature { .. } => "An error occurred building the image.",
        ImageError::Compose(_) => "An error occurred building the Docker Compose images.",
        _ => FAILING,
    };
    let mut failure = failed(description, error);
    let of_build = |error: &BuildError| match error {
        BuildError::StepFailed { log_tail, .. } | BuildError::Invalid { log_tail, .. } => log_tail.clone(),
        _ => Vec::new(),
    };
    if let ImageError::Build(BuildError::StepFailed { exit_code: None, message, .. }) = error {
        // No command, and so nothing in its output says why.
        failure.message = format!("{}: {message}", failure.message);
    }
    failure.details = match error {
        ImageError::Build(error) => of_build(error),
        ImageError::Feature { failed, .. } => of_build(failed),
        ImageError::Compose(
            ComposeError::BuildFailed { log_tail, .. } | ComposeError::Failed { log_tail, .. },
        ) => log_tail.clone(),
        _ => Vec::new(),
    };
    failure
}
