//! Reads what the container is made of: an image, a Dockerfile or compose.

use super::{Build, Compose, ContainerSource};
use crate::decode::{Fields, Mistakes, Problem, Spot};
use crate::jsonc::{NodeKind, Position};
use crate::near;
use crate::path::join;
use crate::sources::Sources;
use camino::{Utf8Path, Utf8PathBuf};
use std::collections::BTreeMap;

/// Where the file stands whose paths are read.
pub(crate) struct Place<'a> {
    pub(crate) sources: &'a dyn Sources,
    /// The workspace folder.
    pub(crate) workspace: &'a Utf8Path,
    /// The folder of the configuration, to which paths are relative.
    pub(crate) folder: &'a Utf8Path,
    /// Whether it must say what the container is made of, and every file that it names must be there.
    pub(crate) must_be_complete: bool,
}

/// Takes the container's source out of a configuration; `None` after a mistake.
pub(crate) fn decode(
    fields: &mut Fields,
    place: &Place<'_>,
    mistakes: &mut Mistakes,
) -> Option<ContainerSource> {
    let compose = fields.take("dockerComposeFile");
    let image = fields.take("image");
    let build = fields.take("build");
    let service = fields.take("service");
    let run_services = fields.texts("runServices", mistakes);
    let dockerfile = build.as_ref().is_some_and(says_dockerfile);

    if let Some(files) = compose {
        for (other, name) in [(image, "image"), (build.filter(|_| dockerfile), "build")] {
            if let Some(other) = other {
                mistakes.add(other.node.at, name, Problem::Conflict { other: "dockerComposeFile" });
            }
        }
        return decode_compose(files, service, run_services, place, mistakes).map(ContainerSource::Compose);
    }
    match (image, build) {
        // A Dockerfile beside an image wins, as it does for the tools these files were written for.
        (Some(image), _) if !dockerfile => {
            let image = image.filled_text("the name of an image", mistakes)?;
            Some(ContainerSource::Image { image })
        }
        (_, Some(build)) => decode_build(build, place, mistakes).map(ContainerSource::Build),
        _ if !place.must_be_complete => Some(ContainerSource::Image { image: String::new() }),
        _ => {
            const SOURCES: [&str; 4] = ["image", "build", "dockerFile", "dockerComposeFile"];
            let near = fields.places().find(|(name, _)| near::closest(name, SOURCES).is_some());
            let (at, near) = match near {
                Some((name, at)) => (at, Some(name.to_owned())),
                None => (fields.at, None),
            };
            mistakes.add(at, "", Problem::NoContainer { near });
            None
        }
    }
}

fn says_dockerfile(build: &Spot) -> bool {
    match &build.node.kind {
        NodeKind::Map(fields) => fields.iter().any(|field| field.name == "dockerfile"),
        _ => true, // Of the wrong type: to be reported when it is read.
    }
}

fn decode_build(spot: Spot, place: &Place<'_>, mistakes: &mut Mistakes) -> Option<Build> {
    let at = spot.node.at;
    let mut fields = spot.fields("an object with \"dockerfile\"", mistakes)?;
    let file_at = fields.position_of("dockerfile").unwrap_or(at);
    let Some(dockerfile) = fields.filled_text("dockerfile", mistakes) else {
        if file_at == at {
            mistakes.add(at, "build.dockerfile", Problem::Required { beside: "build" });
        }
        return None;
    };
    let dockerfile = existing(&dockerfile, "build.dockerfile", file_at, place, mistakes);
    let context = match fields.filled_text("context", mistakes) {
        Some(context) => join(place.folder, &context),
        None => dockerfile.parent().unwrap_or(place.folder).to_owned(),
    };
    let args = fields.fields("args", mistakes).map(|args| decode_args(args, mistakes)).unwrap_or_default();
    Some(Build {
        dockerfile,
        context,
        args,
        target: fields.filled_text("target", mistakes),
        cache_from: fields.text_or_texts("cacheFrom", mistakes).unwrap_or_default(),
        options: fields.texts("options", mistakes).unwrap_or_default(),
    })
}

fn decode_args(args: Fields, mistakes: &mut Mistakes) -> BTreeMap<String, String> {
    args.into_spots()
        .filter(|(_, spot)| spot.node.kind != NodeKind::Null)
        .filter_map(|(name, spot)| Some((name, spot.scalar(mistakes)?)))
        .collect()
}

fn decode_compose(
    files: Spot,
    service: Option<Spot>,
    run_services: Option<Vec<String>>,
    place: &Place<'_>,
    mistakes: &mut Mistakes,
) -> Option<Compose> {
    const EXPECTED: &str = "a path or an array of paths";
    let at = files.node.at;
    let spots = match &files.node.kind {
        NodeKind::Text(_) => vec![files],
        _ => files.items(EXPECTED, mistakes)?,
    };
    let mut paths = Vec::new();
    for spot in spots {
        let (at, path) = (spot.node.at, spot.path.clone());
        let file = spot.filled_text("the path of a compose file", mistakes)?;
        paths.push(existing(&file, &path, at, place, mistakes));
    }
    if paths.is_empty() {
        paths = default_compose_files(place);
        let missing = paths.iter().find(|path| place.must_be_complete && !place.sources.exists(path));
        if let Some(path) = missing {
            mistakes.add(at, "dockerComposeFile", Problem::NoFile { path: path.clone() });
        }
    }
    // The reference goes on without and misses a service `undefined` later.
    if service.is_none() {
        mistakes.add(at, "service", Problem::Required { beside: "dockerComposeFile" });
    }
    let service = service.and_then(|spot| spot.filled_text("the name of a service", mistakes));
    let project_name_hint = project_name(place.workspace, &paths);
    Some(Compose { service: service?, files: paths, run_services, project_name_hint })
}

/// What an empty list of files stands for: `COMPOSE_FILE` of the environment or of the workspace's `.env`,
/// else what compose itself looks for in the workspace.
fn default_compose_files(place: &Place<'_>) -> Vec<Utf8PathBuf> {
    let said = place.sources.env("COMPOSE_FILE").filter(|list| !list.is_empty());
    if let Some(list) = said.or_else(|| compose_file_of_env_file(place)) {
        return list.split(':').map(|file| join(place.workspace, file)).collect();
    }
    let present = |names: &[&str]| {
        names.iter().map(|name| place.workspace.join(name)).find(|path| place.sources.exists(path))
    };
    let main = present(&["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"]);
    let overriding = present(&[
        "compose.override.yaml",
        "compose.override.yml",
        "docker-compose.override.yml",
        "docker-compose.override.yaml",
    ]);
    let main = main.unwrap_or_else(|| place.workspace.join("docker-compose.yml"));
    std::iter::once(main).chain(overriding).collect()
}

fn compose_file_of_env_file(place: &Place<'_>) -> Option<String> {
    let content = place.sources.read(&place.workspace.join(".env")).ok().flatten()?;
    let text = String::from_utf8_lossy(&content).into_owned();
    let list = text.lines().find_map(|line| line.strip_prefix("COMPOSE_FILE="))?.trim();
    (!list.is_empty()).then(|| list.to_owned())
}

/// The name of the folder of the first file; the workspace's with `_devcontainer` where that is
/// `.devcontainer`. Lower case, of the characters that compose allows, beginning with a letter or digit.
fn project_name(workspace: &Utf8Path, files: &[Utf8PathBuf]) -> String {
    let folder = files.first().and_then(|file| file.parent()).unwrap_or(workspace);
    let name = if folder == workspace.join(".devcontainer") {
        format!("{}_devcontainer", workspace.file_name().unwrap_or_default())
    } else {
        folder.file_name().unwrap_or_default().to_owned()
    };
    let allowed = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    let name: String = name.to_ascii_lowercase().chars().filter(allowed).collect();
    match name.trim_start_matches(['-', '_']) {
        "" => "devcontainer".to_owned(),
        name => name.to_owned(),
    }
}

/// The absolute path of a file that must be there.
fn existing(
    file: &str,
    property: &str,
    at: Position,
    place: &Place<'_>,
    mistakes: &mut Mistakes,
) -> Utf8PathBuf {
    let path = join(place.folder, file);
    if place.must_be_complete && !place.sources.exists(&path) {
        mistakes.add(at, property, Problem::NoFile { path: path.clone() });
    }
    path
}
