//! What changed in a configuration since a container was made from it, property by property.
//!
//! A configuration is a flat map here: the name of a property as people write it, and its value after variables.
//! Parts of an object are properties of their own (`containerEnv.PATH`).

use std::collections::{BTreeMap, BTreeSet};

use api::{ChangeEffect, PropertyChange};
use serde_json::Value;

/// A configuration as a flat map, by property.
pub type Properties = BTreeMap<String, Value>;

/// Properties that count at once: they say what is done with a running container, or are for other tools.
const AT_ONCE: &[&str] = &[
    "name",
    "remoteEnv",
    "userEnvProbe",
    "waitFor",
    "shutdownAction",
    "customizations",
    "secrets",
    "initializeCommand",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
    "hostRequirements",
];

/// Properties that count at the next start of the container.
const NEXT_START: &[&str] = &["forwardPorts", "portsAttributes", "otherPortsAttributes"];

/// Parts of a variable's name that say that its value is a secret.
const SECRET_WORDS: &[&str] = &["TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "APIKEY", "API_KEY"];

/// More of them, which only count at the end of a name.
const SECRET_ENDINGS: &[&str] = &["_KEY", "_PAT", "_PWD", "_CREDENTIALS"];

/// What is shown instead of a secret.
const MASK: &str = "***";

/// What it takes for a change of a property to count. A property that is not known makes a container: it is better to
/// tell once too often.
pub fn effect_of(property: &str) -> ChangeEffect {
    let is_of = |names: &[&str]| {
        names.iter().any(|name| {
            property.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    };
    if is_of(AT_ONCE) {
        ChangeEffect::AtOnce
    } else if is_of(NEXT_START) {
        ChangeEffect::NextStart
    } else {
        ChangeEffect::NewContainer
    }
}

/// The properties in which the two differ: those first that need a new container. Values of variables that are called
/// like secrets are masked.
pub fn changes(made_from: &Properties, now: &Properties) -> Vec<PropertyChange> {
    let names: BTreeSet<&String> = made_from.keys().chain(now.keys()).collect();
    let mut changes: Vec<PropertyChange> = names
        .into_iter()
        .filter(|name| made_from.get(*name) != now.get(*name))
        .map(|name| PropertyChange {
            property: name.clone(),
            old: made_from.get(name).map(|value| masked(name, value)),
            new: now.get(name).map(|value| masked(name, value)),
            effect: effect_of(name),
        })
        .collect();
    changes.sort_by_key(|change| change.effect);
    changes
}

fn masked(property: &str, value: &Value) -> Value {
    if is_secret(property) { Value::from(MASK) } else { value.clone() }
}

/// Whether the last part of a property's name is that of a secret. Only variables and build arguments have such.
fn is_secret(property: &str) -> bool {
    let Some((parent, variable)) = property.split_once("Env.").or_else(|| property.split_once(".args."))
    else {
        return false;
    };
    matches!(parent, "container" | "remote" | "build") && is_secret_variable(variable)
}

/// Whether a variable is called like a secret.
pub fn is_secret_variable(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
        || SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use ChangeEffect::{AtOnce, NewContainer, NextStart};
    use serde_json::json;

    use super::*;

    fn properties(value: &Value) -> Properties {
        value.as_object().expect("an object").clone().into_iter().collect()
    }

    #[test]
    fn what_needs_a_container_comes_first_and_secrets_are_masked() {
        let before = properties(&json!({
            "image": "debian:12", "remoteEnv.A": "1", "containerEnv.GITHUB_TOKEN": "abc", "forwardPorts": [80],
            "workspaceFolder": "/w", "portsAttributes.80": {"label": "x"},
        }));
        let now = properties(&json!({
            "image": "debian:13", "remoteEnv.A": "2", "containerEnv.GITHUB_TOKEN": "def", "forwardPorts": [81],
            "workspaceFolder": "/w", "mounts[/data]": "type=volume,source=data,target=/data",
        }));
        let seen: Vec<(String, Option<Value>, Option<Value>, ChangeEffect)> =
            changes(&before, &now).into_iter().map(|it| (it.property, it.old, it.new, it.effect)).collect();
        let expected = [
            ("containerEnv.GITHUB_TOKEN", Some(json!("***")), Some(json!("***")), NewContainer),
            ("image", Some(json!("debian:12")), Some(json!("debian:13")), NewContainer),
            ("mounts[/data]", None, Some(json!("type=volume,source=data,target=/data")), NewContainer),
            ("forwardPorts", Some(json!([80])), Some(json!([81])), NextStart),
            ("portsAttributes.80", Some(json!({"label": "x"})), None, NextStart),
            ("remoteEnv.A", Some(json!("1")), Some(json!("2")), AtOnce),
        ];
        assert_eq!(seen, expected.map(|(name, old, new, effect)| (name.to_owned(), old, new, effect)));
        assert!(changes(&now, &now).is_empty());
    }

    #[test]
    fn only_variables_are_secrets() {
        for (property, secret) in [
            ("containerEnv.DB_PASSWORD", true),
            ("remoteEnv.Npm_Token", true),
            ("build.args.SIGNING_KEY", true),
            ("containerEnv.KEYBOARD", false),
            ("features.ghcr.io/x/token", false),
            ("remoteUser", false),
        ] {
            assert_eq!(is_secret(property), secret, "{property}");
        }
    }

    #[test]
    fn a_property_begins_with_a_whole_name() {
        assert_eq!(effect_of("name"), ChangeEffect::AtOnce);
        assert_eq!(effect_of("nameless"), ChangeEffect::NewContainer);
        assert_eq!(effect_of("remoteEnv.PATH"), ChangeEffect::AtOnce);
    }
}
