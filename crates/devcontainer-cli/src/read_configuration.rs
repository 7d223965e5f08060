//! `read-configuration`: prints what is read. The engine is asked only where the answer depends on it.

use std::process::ExitCode;

use devcontainer::reference::View;
use devcontainer::{Config, ContainerSource, Properties};
use engine::{ComposeBuilding, ContainerState, ImageInfo};
use oci::Registry;
use provision::features::{self, LockfileUse};
use provision::{Disk, Masks, container, image};
use serde_json::{Map, Value, json};

use crate::Surroundings;
use crate::arguments::ReadConfigurationArguments;
use crate::collecting;
use crate::engines::Said;
use crate::existing::nothing_said;
use crate::host::HostEngine;
use crate::log::{Level, Log};
use crate::outcome::{self, Failure, OciAuthDiagnostics};
use crate::target::{Asked, Target};

/// What is said to fail.
const FAILING: &str = "An error occurred reading the configuration.";

pub(crate) async fn run(arguments: ReadConfigurationArguments, surroundings: &Surroundings<'_>) -> ExitCode {
    let log = Log::new(arguments.log.log_level, arguments.log.log_format, Masks::default(), true);
    match read(&arguments, surroundings, &log).await {
        Ok(printed) => {
            outcome::line(&Value::Object(printed));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            log.error(&failure.message);
            ExitCode::FAILURE
        }
    }
}

async fn read(
    arguments: &ReadConfigurationArguments,
    surroundings: &Surroundings<'_>,
    log: &Log,
) -> Result<Map<String, Value>, Failure> {
    let target = Asked::of(&arguments.lookup, surroundings).read(FAILING)?;
    for warning in target.config.iter().flat_map(|config| &config.warnings) {
        log.write(Level::Warning, &warning.to_string());
    }
    let additional = collecting::additional(&arguments.features)?;
    let merged = arguments.include_merged_configuration;
    let engine = engine_if_needed(arguments, surroundings, &target).await?;
    let found = match &engine {
        Some(engine) => {
            target.find(&engine.engine).await.map_err(|error| Failure::caused(FAILING, &error))?.0
        }
        None => None,
    };
    let mut printed = Map::new();
    let Some(config) = target.config.as_ref() else {
        // A container that is named by itself: there is nothing to say about it but what its label says.
        printed.insert("configuration".to_owned(), json!({}));
        if let Some(state) = found.filter(|_| merged) {
            let config = nothing_said()?;
            let view = View { config: &config, scheme: target.scheme, container_env: Some(&state.env) };
            let merged = of_container(&view, &state);
            printed.insert("mergedConfiguration".to_owned(), Value::Object(merged));
        }
        printed.insert("ociAuthDiagnostics".to_owned(), oci_diagnostics());
        return Ok(printed);
    };
    let view = View { config, scheme: target.scheme, container_env: found.as_ref().map(|state| &state.env) };
    printed.insert("configuration".to_owned(), Value::Object(view.configuration()));
    printed.insert("workspace".to_owned(), Value::Object(view.workspace()));
    let wants_features = arguments.include_features_configuration || (merged && found.is_none());
    let mut of_features = Vec::new();
    if wants_features && !(config.features.is_empty() && additional.is_empty()) {
        let registry = collecting::registry(surroundings)?;
        let request = features::Request {
            config,
            additional: &additional,
            // Reading changes nothing, and the reference reads past the lockfile here.
            lockfile: LockfileUse::Off,
            registry: &registry,
        };
        let resolved = features::resolve(&request, &log.steps()).await;
        let resolved = resolved.map_err(|error| Failure::caused(FAILING, &error))?;
        of_features = resolved.properties();
        printed.insert("featuresConfiguration".to_owned(), collecting::printed(&resolved));
    }
    if merged {
        let merged = match (&found, &engine) {
            (Some(state), _) => of_container(&view, state),
            (None, Some(engine)) => {
                let base = base_metadata(config, engine, &collecting::registry(surroundings)?, log).await?;
                view.merged_for_image(&base, &of_features)
            }
            (None, None) => view.merged_for_image(&[], &of_features),
        };
        printed.insert("mergedConfiguration".to_owned(), Value::Object(merged));
    }
    printed.insert("ociAuthDiagnostics".to_owned(), oci_diagnostics());
    Ok(printed)
}

fn oci_diagnostics() -> Value {
    serde_json::to_value(OciAuthDiagnostics::default()).unwrap_or_default()
}

/// The engine, if anything that is printed depends on it. Only what depends on an image wakes a machine.
async fn engine_if_needed(
    arguments: &ReadConfigurationArguments,
    surroundings: &Surroundings<'_>,
    target: &Target,
) -> Result<Option<HostEngine>, Failure> {
    let said =
        Said { docker: &arguments.lookup.docker, compose: arguments.lookup.docker_compose_path.as_deref() };
    if arguments.include_merged_configuration {
        return surroundings.awake(said).await.map(Some);
    }
    let late = ["${containerEnv:", "${devcontainerId}"];
    let text = target.config.as_ref().map(|config| Value::Object(config.written.clone()).to_string());
    let depends = text.is_some_and(|text| late.iter().any(|variable| text.contains(variable)));
    if !depends && !target.names_container() {
        return Ok(None);
    }
    surroundings.engine(said, target.names_container()).await
}

fn of_container(view: &View<'_>, state: &ContainerState) -> Map<String, Value> {
    let mut entries = container::metadata(&state.labels);
    devcontainer::substitute_local_env(&mut entries, &Disk);
    let labels = view.config.labels();
    let is_own = !labels.is_empty() && labels.keys().all(|label| state.labels.contains_key(label));
    if entries.is_empty() || !is_own {
        return view.merged_for_image(&entries, &[]);
    }
    view.merged_for_container(&entries)
}

/// What the image of a configuration says about itself, without building anything.
async fn base_metadata(
    config: &Config,
    engine: &HostEngine,
    registry: &Registry,
    log: &Log,
) -> Result<Vec<Properties>, Failure> {
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::caused(FAILING, error);
    let steps = log.steps();
    let info = match &config.container {
        ContainerSource::Image { image } => {
            image::provide(&engine.engine, registry, image, &steps).await.map_err(|error| failed(&error))?
        }
        ContainerSource::Build(build) => {
            image::base_of(&engine.engine, registry, build, &steps).await.map_err(|error| failed(&error))?.2
        }
        ContainerSource::Compose(compose) => {
            let project =
                provision::compose::read(&engine.engine, config, compose, &Disk, ComposeBuilding::default())
                    .await;
            let project = project.map_err(|error| failed(&error))?;
            image::base_of_service(&engine.engine, registry, &project, &steps)
                .await
                .map_err(|error| failed(&error))?
        }
    };
    Ok(entries(&info))
}

fn entries(info: &ImageInfo) -> Vec<Properties> {
    let mut entries = container::metadata(&info.labels);
    devcontainer::substitute_local_env(&mut entries, &Disk);
    entries
}
