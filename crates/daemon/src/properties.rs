//! A configuration as a flat map of properties, in the words of devcontainer.json: what a container was made from is
//! kept like this, so that a later change can be told property by property.

use camino::Utf8Path;
use devcontainer::{Config, ContainerSource, Sources};
use reconciler::{Properties, effect_of};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Properties whose parts are told apart.
const WITH_PARTS: [&str; 4] = ["containerEnv", "remoteEnv", "portsAttributes", "customizations"];

/// Hexadecimal digits of a digest that people see.
const SHOWN_DIGITS: usize = 12;

/// The properties of a configuration, variables replaced. Files that a container is made from count by their content.
pub(crate) fn properties_of(config: &Config, sources: &dyn Sources) -> Properties {
    let mut properties = Properties::new();
    let mut add = |name: String, value: Value| {
        if !is_nothing(&value) {
            properties.insert(name, value);
        }
    };
    let content = |file: &Utf8Path| {
        let bytes = sources.read(file).ok().flatten();
        bytes.map_or(Value::Null, |bytes| json!(short_digest(&bytes)))
    };
    let shown = |file: &Utf8Path| file.strip_prefix(&config.workspace).unwrap_or(file).to_string();
    match &config.container {
        ContainerSource::Image { image } => add("image".to_owned(), json!(image)),
        ContainerSource::Build(build) => {
            add("build.dockerfile".to_owned(), json!(shown(&build.dockerfile)));
            add(format!("content of {}", shown(&build.dockerfile)), content(&build.dockerfile));
            add("build.context".to_owned(), json!(shown(&build.context)));
            add("build.target".to_owned(), json!(build.target));
            add("build.cacheFrom".to_owned(), json!(build.cache_from));
            add("build.options".to_owned(), json!(build.options));
            for (name, value) in &build.args {
                add(format!("build.args.{name}"), json!(value));
            }
        }
        ContainerSource::Compose(compose) => {
            let files: Vec<String> = compose.files.iter().map(|file| shown(file)).collect();
            add("dockerComposeFile".to_owned(), json!(files));
            for file in &compose.files {
                add(format!("content of {}", shown(file)), content(file));
            }
            add("service".to_owned(), json!(compose.service));
            add("runServices".to_owned(), json!(compose.run_services));
        }
    }
    add("name".to_owned(), json!(config.name));
    add("workspaceFolder".to_owned(), json!(config.workspace_folder));
    add("workspaceMount".to_owned(), json!(config.workspace_mount.as_ref().map(ToString::to_string)));
    add("worktreeMount".to_owned(), json!(config.additional_mount.as_ref().map(ToString::to_string)));
    add("runArgs".to_owned(), json!(config.run_args));
    add("appPort".to_owned(), json!(config.app_ports));
    add("initializeCommand".to_owned(), json!(config.initialize_command));
    add("overrideFeatureInstallOrder".to_owned(), json!(config.override_feature_install_order));
    for (reference, options) in &config.features {
        // A feature without options is one all the same.
        properties_insert(&mut add, format!("features[{reference}]"), options);
    }
    for mount in &config.properties.mounts {
        add(format!("mounts[{}]", mount.target), json!(mount.to_string()));
    }
    for (name, value) in merged_properties(config) {
        match value {
            Value::Object(parts) if WITH_PARTS.contains(&name.as_str()) => {
                for (part, value) in parts {
                    properties_insert(&mut add, format!("{name}.{part}"), &value);
                }
            }
            value => add(name, value),
        }
    }
    properties
}

/// Adds a part of a property; one that is empty is told as such.
fn properties_insert(add: &mut impl FnMut(String, Value), name: String, value: &Value) {
    add(name, if is_nothing(value) { json!(value.to_string()) } else { value.clone() });
}

/// The properties that images and features can say too, but for the mounts.
fn merged_properties(config: &Config) -> Map<String, Value> {
    let properties =
        devcontainer::Properties { mounts: Vec::new(), written: Map::new(), ..config.properties.clone() };
    match serde_json::to_value(properties) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// SHA-256, in hex, over the properties whose change needs a new container.
pub(crate) fn digest_of(properties: &Properties) -> String {
    let counting: Vec<(&String, String)> = properties
        .iter()
        .filter(|(name, _)| effect_of(name) == api::ChangeEffect::NewContainer)
        .map(|(name, value)| (name, canonical(value)))
        .collect();
    hex(&Sha256::digest(format!("{counting:?}")))
}

/// A value as text, keys sorted.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut parts: Vec<_> = map.iter().map(|(key, value)| (key, canonical(value))).collect();
            parts.sort();
            format!("{parts:?}")
        }
        Value::Array(items) => format!("{:?}", items.iter().map(canonical).collect::<Vec<_>>()),
        scalar => scalar.to_string(),
    }
}

fn short_digest(bytes: &[u8]) -> String {
    let mut text = hex(&Sha256::digest(bytes));
    text.truncate(SHOWN_DIGITS);
    format!("sha256:{text}")
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use camino::Utf8PathBuf;

    use super::*;
    use crate::sources::Person;

    fn read(text: &str, dockerfile: &str) -> Properties {
        let temp = tempfile::tempdir().unwrap();
        // One name for all, so that paths are equal.
        let folder = Utf8PathBuf::from_path_buf(temp.path().join("app")).unwrap();
        fs_err::create_dir(&folder).unwrap();
        fs_err::write(folder.join(".devcontainer.json"), text).unwrap();
        fs_err::write(folder.join("Dockerfile"), dockerfile).unwrap();
        let variables = BTreeMap::from([("WHO".to_owned(), "ada".to_owned())]);
        let sources = Person::new(&variables);
        let located = devcontainer::locate(&sources, &folder, None).unwrap();
        let mut config = devcontainer::read(&sources, &folder, &located, "base").unwrap();
        config.workspace_mount = None;
        properties_of(&config, &sources)
    }

    #[test]
    fn properties_are_called_as_people_write_them() {
        let properties = read(
            r#"{
                "build": {"dockerfile": "Dockerfile", "args": {"A": "1"}},
                "containerEnv": {"WHO": "${localEnv:WHO}"}, "remoteEnv": {"X": null},
                "features": {"ghcr.io/devcontainers/features/git:1": {}, "./own": {"version": "2"}},
                "mounts": ["type=volume,source=v,target=/v"], "updateRemoteUserUID": false,
                "postCreateCommand": {"a": "b"}, "hostRequirements": {"cpus": 4}
            }"#,
            "FROM base",
        );
        let named: Vec<&str> = properties.keys().map(String::as_str).collect();
        assert_eq!(
            named,
            [
                "build.args.A",
                "build.context",
                "build.dockerfile",
                "containerEnv.WHO",
                "content of Dockerfile",
                "features[./own]",
                "features[ghcr.io/devcontainers/features/git:1]",
                "hostRequirements",
                "mounts[/v]",
                "postCreateCommand",
                "remoteEnv.X",
                "updateRemoteUserUID",
                "workspaceFolder",
            ]
        );
        assert_eq!(properties["containerEnv.WHO"], "ada");
    }

    #[test]
    fn the_digest_is_of_what_a_container_is_made_from() {
        let digest = |text: &str, dockerfile: &str| digest_of(&read(text, dockerfile));
        let first = digest(r#"{"build": {"dockerfile": "Dockerfile"}, "postStartCommand": "a"}"#, "FROM a");
        let other_hook =
            digest(r#"{"postStartCommand": "b", "build": {"dockerfile": "Dockerfile"}}"#, "FROM a");
        assert_eq!(first, other_hook);
        let other_file =
            digest(r#"{"build": {"dockerfile": "Dockerfile"}, "postStartCommand": "a"}"#, "FROM b");
        assert_ne!(first, other_file);
    }
}
