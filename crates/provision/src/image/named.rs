//! Which images a dev container begins from, by the words of its configuration.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::dockerfile::Dockerfile;
use devcontainer::{Config, ContainerSource};
use engine::ComposeService;
use serde_json::Value;

use super::ImageError;
use crate::compose::Project;

/// Every image that containers of a configuration are made of, and that builds of their Dockerfiles have a part of, as
/// written: of all services too, since those that are started have others started. Dockerfiles are read; nothing is pulled.
///
/// # Errors
/// A Dockerfile cannot be read.
pub fn named(config: &Config, project: Option<&Project>) -> Result<BTreeSet<String>, ImageError> {
    match (&config.container, project) {
        (ContainerSource::Image { image }, _) => Ok([image.clone()].into()),
        (ContainerSource::Build(build), _) => of_file(&build.dockerfile, &build.args, &BTreeSet::new()),
        (ContainerSource::Compose(_), None) => Ok(BTreeSet::new()),
        (ContainerSource::Compose(_), Some(project)) => of_project(project),
    }
}

fn of_project(project: &Project) -> Result<BTreeSet<String>, ImageError> {
    let model = &project.model;
    let mut built = BTreeSet::new();
    // Compose knows nothing of those that it is not to start.
    for name in project.wanted().iter().chain([&project.service]) {
        if model.service(name)?.build.is_some() {
            built.insert(model.image_of(project.name(), name)?);
        }
    }
    let mut images = BTreeSet::new();
    for service in model.services.values() {
        if let Some(build) = &service.build {
            images.extend(of_build(build)?);
        }
        // What is built here is not pulled, unless the files ask for that.
        let pulled = service.image.as_ref().filter(|image| is_pulled(service) || !built.contains(*image));
        images.extend(pulled.cloned());
    }
    Ok(images)
}

/// Whether compose pulls a service's image also where it is here, or could be built.
fn is_pulled(service: &ComposeService) -> bool {
    let policy = service.pull_policy.as_deref().unwrap_or_default();
    matches!(policy, "always" | "daily" | "weekly") || policy.starts_with("every_")
}

fn of_build(build: &Value) -> Result<BTreeSet<String>, ImageError> {
    let text = |name: &str| build.get(name).and_then(Value::as_str);
    let args = build.get("args").and_then(Value::as_object).into_iter().flatten();
    let args = args.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
    let context = Utf8PathBuf::from(text("context").or(build.as_str()).unwrap_or("."));
    let file = context.join(text("dockerfile").unwrap_or("Dockerfile"));
    let contexts = build.get("additional_contexts").and_then(Value::as_object);
    let contexts = || contexts.into_iter().flatten();
    let replaced: BTreeSet<&str> = contexts().map(|(name, _)| familiar(name)).collect();
    let mut images = match text("dockerfile_inline") {
        Some(inline) => of_text(&file, inline, &args, &replaced)?,
        None => of_file(&file, &args, &replaced)?,
    };
    images.extend(contexts().filter_map(|(_, context)| of_context(context.as_str()?)));
    Ok(images)
}

/// The shortest name of an image, by which the builder compares those of contexts: `docker.io/library/debian:latest` is
/// `debian`.
fn familiar(image: &str) -> &str {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let image = image.strip_prefix("library/").unwrap_or(image);
    image.strip_suffix(":latest").unwrap_or(image)
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

fn of_file(
    file: &Utf8Path,
    args: &BTreeMap<String, String>,
    replaced: &BTreeSet<&str>,
) -> Result<BTreeSet<String>, ImageError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| ImageError::Read { path: file.to_owned(), source })?;
    of_text(file, &text, args, replaced)
}

fn of_text(
    file: &Utf8Path,
    text: &str,
    args: &BTreeMap<String, String>,
    replaced: &BTreeSet<&str>,
) -> Result<BTreeSet<String>, ImageError> {
    let wrong = |source| ImageError::Dockerfile { file: file.to_owned(), source };
    let parsed = Dockerfile::parse(text).map_err(wrong)?;
    let frontend = parsed.frontend(args);
    let mut images = parsed.images(args).map_err(wrong)?;
    // Named contexts stand for these, but for the frontend, which the builder begins with.
    images.retain(|image| Some(image.as_str()) == frontend || !replaced.contains(familiar(image)));
    Ok(images.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use engine::ComposeProject;
    use serde_json::json;

    use super::*;

    #[test]
    fn images_of_a_services_build_are_all_that_it_has_a_part_of() {
        let dockerfile = "# syntax=docker/dockerfile:1\nARG V=1\nFROM base AS one\nFROM debian:$V\nFROM alpine\n\
                          COPY --from=tools:2 /x /y\nCOPY --from=one /x /y\nRUN --mount=from=cache,target=/x y\n\
                          COPY --from=mine:1 /x /y\n";
        let build = json!({
            "context": "/srv/app",
            "dockerfile_inline": dockerfile,
            "args": { "V": "13", "BUILDKIT_SYNTAX": "front:1" },
            "additional_contexts": {
                "base": "docker-image://elsewhere.example.com/base:3", "mine:1": "/srv/other", "db": "service:db",
                "packed": "oci-layout:///srv/layout", "docker.io/library/alpine:latest": "/srv/alpine",
                // A frontend is none of what they stand for.
                "front:1": "/srv/front",
            },
        });
        let images: Vec<String> = of_build(&build).unwrap().into_iter().collect();
        let expected = [
            "cache",
            "debian:13",
            "elsewhere.example.com/base:3",
            "front:1",
            "oci-layout:///srv/layout",
            "tools:2",
        ];
        assert_eq!(images, expected);
    }

    #[test]
    fn images_of_a_project_are_those_of_all_its_services() {
        let build = json!({ "context": "/srv", "dockerfile_inline": "FROM debian" });
        let with_build =
            |image: Value, policy: Value| json!({ "image": image, "pull_policy": policy, "build": build });
        for (services, expected) in [
            // Also one that is started only because another depends on it.
            (json!({ "app": { "image": "a" }, "db": { "image": "b", "profiles": ["x"] } }), vec!["a", "b"]),
            (json!({ "app": with_build(json!("a"), json!(null)) }), vec!["debian"]),
            (json!({ "app": with_build(json!("a"), json!("build")) }), vec!["debian"]),
            (json!({ "app": with_build(json!("a"), json!("always")) }), vec!["a", "debian"]),
            (json!({ "app": with_build(json!("a"), json!("every_12h")) }), vec!["a", "debian"]),
            (json!({ "app": with_build(json!("a"), json!(null)), "b": { "image": "a" } }), vec!["debian"]),
            (
                json!({ "app": with_build(json!(null), json!(null)), "b": { "image": "web-app" } }),
                vec!["debian"],
            ),
            (
                json!({ "app": { "image": "a" }, "b": { "image": "a", "profiles": ["x"], "build": build } }),
                vec!["a", "debian"],
            ),
            (
                json!({ "app": with_build(json!("a"), json!(null)), "b": { "image": "a", "pull_policy": "daily" } }),
                vec!["a", "debian"],
            ),
        ] {
            let model = json!({ "name": "web", "services": services });
            let project = Project {
                files: ComposeProject { name: Some("web".to_owned()), ..ComposeProject::default() },
                model: serde_json::from_value(model).unwrap(),
                service: "app".to_owned(),
                services: Vec::new(),
            };
            let images: Vec<String> = of_project(&project).unwrap().into_iter().collect();
            assert_eq!(images, expected, "{services}");
        }
    }
}
