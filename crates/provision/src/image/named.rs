//! Which images a dev container begins from, by the words of its configuration.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::dockerfile::Dockerfile;
use devcontainer::{Config, ContainerSource};
use serde_json::Value;

use super::ImageError;
use crate::compose::Project;

/// Every image that containers of a configuration are made of, and that their Dockerfiles are built from, as written: of the
/// services that are started too. Dockerfiles are read; nothing is pulled.
///
/// # Errors
/// A Dockerfile cannot be read.
pub fn named(config: &Config, project: Option<&Project>) -> Result<BTreeSet<String>, ImageError> {
    match (&config.container, project) {
        (ContainerSource::Image { image }, _) => Ok([image.clone()].into()),
        (ContainerSource::Build(build), _) => of_file(&build.dockerfile, &build.args),
        (ContainerSource::Compose(_), None) => Ok(BTreeSet::new()),
        (ContainerSource::Compose(_), Some(project)) => {
            let mut images = BTreeSet::new();
            for name in project.wanted().iter().chain([&project.service]) {
                let service = project.model.service(name)?;
                match &service.build {
                    None => drop(images.insert(project.model.image_of(project.name(), name)?)),
                    Some(build) => images.extend(of_service(build)?),
                }
            }
            Ok(images)
        }
    }
}

fn of_service(build: &Value) -> Result<BTreeSet<String>, ImageError> {
    let text = |name: &str| build.get(name).and_then(Value::as_str);
    let args = build.get("args").and_then(Value::as_object).into_iter().flatten();
    let args = args.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
    let context = Utf8PathBuf::from(text("context").or(build.as_str()).unwrap_or("."));
    let file = context.join(text("dockerfile").unwrap_or("Dockerfile"));
    match text("dockerfile_inline") {
        Some(inline) => of_text(&file, inline, &args),
        None => of_file(&file, &args),
    }
}

fn of_file(file: &Utf8Path, args: &BTreeMap<String, String>) -> Result<BTreeSet<String>, ImageError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| ImageError::Read { path: file.to_owned(), source })?;
    of_text(file, &text, args)
}

fn of_text(
    file: &Utf8Path,
    text: &str,
    args: &BTreeMap<String, String>,
) -> Result<BTreeSet<String>, ImageError> {
    let wrong = |source| ImageError::Dockerfile { file: file.to_owned(), source };
    let images = Dockerfile::parse(text).and_then(|parsed| parsed.images(args)).map_err(wrong)?;
    Ok(images.into_iter().collect())
}
