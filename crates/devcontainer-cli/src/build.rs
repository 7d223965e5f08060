//! `build`: makes the image, with its features and its metadata, and starts nothing.

use std::collections::BTreeMap;
use std::process::ExitCode;

use devcontainer::{Compose, Config, ContainerSource};
use engine::{BuildOutput, ComposeBuilding, ComposeError, Engine};
use oci::Registry;
use provision::compose::{self, Project};
use provision::features::{self, Features};
use provision::image::{self, Building, LabelContent, Names, Numbers, SingleBuild};
use provision::{Disk, Masks};
use serde_json::Value;

use crate::Surroundings;
use crate::arguments::BuildArguments;
use crate::collecting;
use crate::engines::Said;
use crate::log::{Level, Log};
use crate::names;
use crate::outcome::{self, Failure, Success};
use crate::target::{Asked, absolute};
use crate::up::{image_failure, no_service};

/// What is said to fail.
const FAILING: &str = "An error occurred building the container.";

pub(crate) async fn run(arguments: BuildArguments, surroundings: &Surroundings<'_>) -> ExitCode {
    let log = Log::new(arguments.log_level, arguments.log_format, Masks::default(), true);
    match build(&arguments, surroundings, &log).await {
        Ok(image_name) => {
            let oci_auth_diagnostics = outcome::OciAuthDiagnostics::default();
            outcome::line(&outcome::Build { outcome: Success::Success, image_name, oci_auth_diagnostics });
            ExitCode::SUCCESS
        }
        Err(failure) => log.failure(&failure),
    }
}

async fn build(
    arguments: &BuildArguments,
    surroundings: &Surroundings<'_>,
    log: &Log,
) -> Result<Value, Failure> {
    let folder = arguments.workspace_folder.as_deref();
    let folder =
        folder.map_or_else(|| surroundings.folder.clone(), |path| absolute(&surroundings.folder, path));
    let asked = Asked {
        workspace: Some(folder.clone()),
        config: arguments.config.as_deref().map(|path| absolute(&surroundings.folder, path)),
        must_be_complete: true,
        ..Asked::default()
    };
    let target = asked.read(FAILING)?;
    let Some(config) = &target.config else { return Err(Failure::plain("No dev container config found.")) };
    for warning in &config.warnings {
        log.write(Level::Warning, &warning.to_string());
    }
    check(arguments, config)?;
    arguments.buildkit.check(true)?;
    let said = Said { docker: &arguments.docker, compose: arguments.docker_compose_path.as_deref() };
    let host = surroundings.awake(said).await?;
    let registry = collecting::registry(surroundings)?;
    let additional = collecting::additional(&arguments.features)?;
    let request = features::Request {
        config,
        additional: &additional,
        lockfile: collecting::lockfile(arguments.lockfile, log),
        registry: &registry,
    };
    let resolved = features::resolve(&request, &log.steps()).await;
    let features = resolved.map_err(|error| collecting::unresolved(FAILING, &error))?;
    for warning in &features.warnings {
        log.write(Level::Warning, &warning.to_string());
    }
    let making = Making {
        arguments,
        config,
        features: &features,
        registry: &registry,
        engine: &host.engine,
        log,
        folder,
    };
    match &config.container {
        ContainerSource::Compose(compose) => making.of_compose(compose).await,
        ContainerSource::Image { .. } | ContainerSource::Build(_) => making.of_one().await,
    }
}

/// Refuses what cannot be, before anything is asked of an engine.
fn check(arguments: &BuildArguments, config: &Config) -> Result<(), Failure> {
    if arguments.output.is_some() && arguments.push {
        return Err(Failure::plain("--push true cannot be used with --output."));
    }
    if matches!(config.container, ContainerSource::Compose(_)) {
        let refused = [
            (arguments.platform.is_some() || arguments.push, "--platform or --push not supported."),
            (arguments.output.is_some(), "--output not supported."),
            (arguments.cache_to.is_some(), "--cache-to not supported."),
        ];
        if let Some((_, words)) = refused.into_iter().find(|(refused, _)| *refused) {
            return Err(Failure::plain(words));
        }
    }
    Ok(())
}

/// One image to make.
struct Making<'a> {
    arguments: &'a BuildArguments,
    config: &'a Config,
    features: &'a Features,
    registry: &'a Registry,
    engine: &'a Engine,
    log: &'a Log,
    folder: camino::Utf8PathBuf,
}

impl Making<'_> {
    /// An image from an image or a Dockerfile.
    async fn of_one(&self) -> Result<Value, Failure> {
        let usual = names::of_folder(&self.folder);
        let usual = match self.config.container {
            ContainerSource::Build(_) => usual,
            _ => format!("{usual}-features"),
        };
        let wanted = &self.arguments.image_name;
        let tags = if wanted.is_empty() { vec![usual] } else { wanted.clone() };
        if self.goes_elsewhere() {
            let single = SingleBuild {
                platforms: self.platforms(),
                output: match (&self.arguments.output, self.arguments.push) {
                    (Some(output), _) => BuildOutput::Other(output.clone()),
                    (None, true) => BuildOutput::Push,
                    (None, false) => BuildOutput::Engine,
                },
                tags: tags.clone(),
                without_syntax: self.arguments.omit_syntax_directive,
            };
            let request = self.request(None, &tags[0]);
            let built = image::build_single(self.engine, &request, &single, &self.log.steps()).await;
            built.map_err(|error| image_failure(&error))?;
        } else {
            self.on_top(None, &tags).await?;
        }
        Ok(Value::from(tags))
    }

    /// The image of a compose service.
    async fn of_compose(&self, compose: &Compose) -> Result<Value, Failure> {
        let building = ComposeBuilding {
            no_cache: self.arguments.no_cache,
            pull: false,
            cache_from: match self.arguments.cache_from.as_slice() {
                [] => BTreeMap::new(),
                images => [(compose.service.clone(), images.to_vec())].into(),
            },
        };
        // Nothing is started: only the one image counts.
        let alone = Compose { run_services: Some(vec![compose.service.clone()]), ..compose.clone() };
        let project = compose::read(self.engine, self.config, &alone, &Disk, building).await;
        let project = project.map_err(|error| match &error {
            ComposeError::UnknownService { service, known } => Failure {
                description: FAILING.to_owned(),
                ..Failure::plain(no_service(service, known, self.log))
            },
            _ => Failure::caused("An error occurred retrieving the Docker Compose configuration.", &error),
        })?;
        let project = Project { services: vec![compose.service.clone()], ..project };
        let service = project.model.service(&project.service);
        let service = service.map_err(|error| Failure::caused(FAILING, &error))?;
        let usual = if service.build.is_some() {
            let named = project.model.image_of(project.name(), &project.service);
            named.map_err(|error| Failure::caused(FAILING, &error))?
        } else {
            // Not the name of somebody else's image.
            names::of_folder(&self.folder)
        };
        let tags: Vec<String> =
            std::iter::once(usual.clone()).chain(self.arguments.image_name.iter().cloned()).collect();
        self.on_top(Some(&project), &tags).await?;
        match self.arguments.image_name.as_slice() {
            [] => Ok(Value::from(usual)),
            named => Ok(Value::from(named.to_vec())),
        }
    }

    /// Builds into the engine, the features and the label on top of the base.
    async fn on_top(&self, project: Option<&Project>, tags: &[String]) -> Result<(), Failure> {
        let request = self.request(project, &tags[0]);
        let steps = self.log.steps();
        let base = image::provide_base(self.engine, &request, &steps).await;
        let base = base.map_err(|error| image_failure(&error))?;
        let built = image::install_features(self.engine, &request, base, &steps).await;
        let built = built.map_err(|error| image_failure(&error))?;
        for tag in &tags[1..] {
            let tagged = self.engine.tag(&built.image, tag).await;
            tagged.map_err(|error| Failure::caused(FAILING, &error))?;
        }
        Ok(())
    }

    fn request<'a>(&'a self, project: Option<&'a Project>, tag: &str) -> image::Request<'a> {
        let labels = self.arguments.label.iter().map(|label| {
            let (name, value) = label.split_once('=').unwrap_or((label, ""));
            (name.to_owned(), value.to_owned())
        });
        image::Request {
            config: self.config,
            features: self.features,
            registry: self.registry,
            project,
            names: Names {
                base: format!("{}-base", names::of_folder(&self.folder)),
                features: tag.to_owned(),
                user: String::new(),
            },
            labels: labels.collect(),
            building: Building {
                no_cache: self.arguments.no_cache,
                cache_from: self.arguments.cache_from.clone(),
                cache_to: self.arguments.cache_to.clone().into_iter().collect(),
            },
            numbers: Numbers::Keep,
            label: LabelContent {
                without_feature_customizations: self.arguments.skip_persisting_customizations_from_features,
                on_image: true,
                ..LabelContent::default()
            },
        }
    }

    /// Whether the result cannot be built upon, or its cache has to be one.
    fn goes_elsewhere(&self) -> bool {
        let arguments = self.arguments;
        arguments.platform.is_some()
            || arguments.push
            || arguments.output.is_some()
            || arguments.cache_to.is_some()
            || arguments.omit_syntax_directive
    }

    fn platforms(&self) -> Vec<String> {
        let platforms = self.arguments.platform.as_deref().unwrap_or_default();
        platforms
            .split(',')
            .map(str::trim)
            .filter(|platform| !platform.is_empty())
            .map(str::to_owned)
            .collect()
    }
}
