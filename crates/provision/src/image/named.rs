//! Which images a dev container begins from, by the words of its configuration.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::dockerfile::Dockerfile;
use devcontainer::{Config, ContainerSource};
use serde_json::Value;

use super::ImageError;
use crate::compose::Project;

/// Every image that containers of a configuration are made of, and that builds of their Dockerfiles have a part of, as
/// written: of the services that are started too. Dockerfiles are read; nothing is pulled.
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
    let mut images = match text("dockerfile_inline") {
        Some(inline) => of_text(&file, inline, &args)?,
        None => of_file(&file, &args)?,
    };
    // They stand for images of other names.
    let contexts = build.get("additional_contexts").and_then(Value::as_object).into_iter().flatten();
    images.extend(contexts.filter_map(|(_, context)| of_context(context.as_str()?)));
    Ok(images)
}

/// The image that a named context is; nothing for a folder, a repository or another service.
fn of_context(context: &str) -> Option<String> {
    match context.split_once("://") {
        Some(("docker-image", image)) => Some(image.to_owned()),
        // Has no name that a registry would know: let it be none that is allowed.
        Some(("oci-layout", _)) => Some(context.to_owned()),
        _ => None,
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn images_of_a_services_build_are_all_that_it_has_a_part_of() {
        let dockerfile = "# syntax=docker/dockerfile:1\nARG V=1\nFROM base AS one\nFROM debian:$V\n\
                          COPY --from=tools:2 /x /y\nCOPY --from=one /x /y\nRUN --mount=from=cache,target=/x y\n";
        let build = json!({
            "context": "/srv/app",
            "dockerfile_inline": dockerfile,
            "args": { "V": "13", "BUILDKIT_SYNTAX": "mine:1" },
            "additional_contexts": {
                "base": "docker-image://elsewhere.example.com/base:3", "local": "/srv/other", "db": "service:db",
                "packed": "oci-layout:///srv/layout",
            },
        });
        let images: Vec<String> = of_service(&build).unwrap().into_iter().collect();
        let expected = [
            "base",
            "cache",
            "debian:13",
            "elsewhere.example.com/base:3",
            "mine:1",
            "oci-layout:///srv/layout",
            "tools:2",
        ];
        assert_eq!(images, expected);
    }
}
