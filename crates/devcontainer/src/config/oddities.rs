//! Finds what is odd about a configuration: names that look misspelt, and properties without effect.

use super::IN_LABEL;
use crate::jsonc::{Field, NodeKind, Position};
use crate::near;
use crate::warning::{Oddity, Warning};
use camino::Utf8PathBuf;

/// The properties of a file that no image or feature can say.
const OF_FILE: &[&str] = &[
    "$schema",
    "name",
    "image",
    "build",
    "dockerFile",
    "context",
    "dockerComposeFile",
    "service",
    "runServices",
    "workspaceFolder",
    "workspaceMount",
    "runArgs",
    "appPort",
    "initializeCommand",
    "features",
    "overrideFeatureInstallOrder",
    "secrets",
    "extends",
    "extensions",
    "settings",
    "devPort",
    "additionalProperties",
];

/// The properties of objects whose names are fixed.
const NESTED: &[(&str, &[&str])] = &[
    ("build", &["dockerfile", "context", "args", "target", "cacheFrom", "options"]),
    ("hostRequirements", &["cpus", "memory", "storage", "gpu"]),
    ("otherPortsAttributes", &["label", "protocol", "onAutoForward", "requireLocalPort", "elevateIfNeeded"]),
];

/// What means nothing beside what the container is made of.
const WITHOUT_EFFECT: &[(&str, &[&str])] = &[
    ("dockerComposeFile", &["runArgs", "appPort", "workspaceMount"]),
    ("build", &["image", "service", "runServices", "context"]),
    ("image", &["service", "runServices", "context"]),
];

/// Looks at a whole file; `files` are those of [`Position::source`].
pub(crate) fn oddities(fields: &[Field], files: &[Utf8PathBuf]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut add = |at: Position, property: String, oddity: Oddity| {
        let file = files.get(usize::from(at.source)).cloned().unwrap_or_default();
        warnings.push(Warning { file, position: at, property, oddity });
    };
    let known = || OF_FILE.iter().chain(IN_LABEL).copied();
    for field in fields {
        if let Some(near) = near::closest(&field.name, known()) {
            add(field.at, field.name.clone(), Oddity::Misspelt { near: near.to_owned() });
        }
        let nested = NESTED.iter().find(|(name, _)| *name == field.name);
        let (Some((_, known)), NodeKind::Map(inner)) = (nested, &field.value.kind) else { continue };
        for part in inner {
            if let Some(near) = near::closest(&part.name, known.iter().copied()) {
                let property = format!("{}.{}", field.name, part.name);
                add(part.at, property, Oddity::Misspelt { near: near.to_owned() });
            }
        }
    }
    let source =
        WITHOUT_EFFECT.iter().find(|(source, _)| fields.iter().any(|field| is_source(field, source)));
    if let Some((source, others)) = source {
        for field in fields.iter().filter(|field| others.contains(&field.name.as_str())) {
            add(field.at, field.name.clone(), Oddity::NoEffect { beside: (*source).to_owned() });
        }
    }
    warnings.sort_by_key(|warning| warning.position);
    warnings
}

/// Whether a property says what the container is made of. `build` without a Dockerfile does not.
fn is_source(field: &Field, name: &str) -> bool {
    field.name == name
        && match &field.value.kind {
            NodeKind::Map(build) => build.iter().any(|part| part.name == "dockerfile"),
            kind => *kind != NodeKind::Null,
        }
}
