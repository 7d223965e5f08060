//! The reference's merge of a configuration with the metadata of an image, on plain JSON: values stay as
//! they were written, where ours are typed.

use crate::mount::Mount;
use crate::requirements::Size;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

type Entry = Map<String, Value>;

/// Properties of the file that the result has in another form.
const REPLACED: &[&str] = &[
    "customizations",
    "entrypoint",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
    "shutdownAction",
];

/// Merges the file with the entries, of which its own is the last.
pub(super) fn merge(mut configuration: Map<String, Value>, entries: &[Entry]) -> Map<String, Value> {
    for name in REPLACED {
        configuration.shift_remove(*name);
    }
    let mut set = |name: &str, value: Option<Value>| match value {
        Some(value) => {
            configuration.insert(name.to_owned(), value);
        }
        None => {
            configuration.shift_remove(name);
        }
    };
    for name in ["init", "privileged"] {
        set(name, Some(Value::Bool(entries.iter().any(|entry| entry.get(name).is_some_and(is_truthy)))));
    }
    for name in ["capAdd", "securityOpt"] {
        set(name, filled(union(entries, name)));
    }
    set("entrypoints", filled(all(entries, "entrypoint")));
    set("mounts", filled(mounts(entries)));
    set("customizations", customizations(entries));
    for stage in ["onCreate", "updateContent", "postCreate", "postStart", "postAttach"] {
        let commands = all(entries, &format!("{stage}Command"));
        set(&format!("{stage}Commands"), Some(Value::Array(commands)));
    }
    for name in ["waitFor", "remoteUser", "containerUser", "userEnvProbe"] {
        set(name, last(entries, name, is_truthy));
    }
    set("remoteEnv", Some(per_key(entries, "remoteEnv")));
    set("containerEnv", Some(per_key(entries, "containerEnv")));
    set("overrideCommand", last(entries, "overrideCommand", Value::is_boolean));
    set("portsAttributes", Some(per_key(entries, "portsAttributes")));
    set("otherPortsAttributes", last(entries, "otherPortsAttributes", is_truthy));
    set("forwardPorts", filled(forward_ports(entries)));
    set("shutdownAction", last(entries, "shutdownAction", is_truthy));
    set("updateRemoteUserUID", last(entries, "updateRemoteUserUID", Value::is_boolean));
    set("hostRequirements", host_requirements(entries));
    configuration
}

/// What a condition of JavaScript takes for true.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

fn filled(values: Vec<Value>) -> Option<Value> {
    (!values.is_empty()).then_some(Value::Array(values))
}

fn all(entries: &[Entry], name: &str) -> Vec<Value> {
    entries.iter().filter_map(|entry| entry.get(name)).filter(|value| is_truthy(value)).cloned().collect()
}

fn last(entries: &[Entry], name: &str, counts: impl Fn(&Value) -> bool) -> Option<Value> {
    entries.iter().rev().filter_map(|entry| entry.get(name)).find(|value| counts(value)).cloned()
}

/// The elements of the arrays, and values that stand alone.
fn elements<'a>(entries: &'a [Entry], name: &'a str) -> impl DoubleEndedIterator<Item = &'a Value> {
    entries.iter().filter_map(move |entry| entry.get(name)).filter(|value| is_truthy(value)).flat_map(
        |value| match value {
            Value::Array(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        },
    )
}

fn union(entries: &[Entry], name: &str) -> Vec<Value> {
    let mut seen = HashSet::new();
    elements(entries, name).filter(|value| seen.insert(value.to_string())).cloned().collect()
}

/// Of the mounts to one target only the last stays, as it was written.
fn mounts(entries: &[Entry]) -> Vec<Value> {
    let target = |mount: &Value| match mount {
        Value::String(text) => text.parse::<Mount>().map(|mount| mount.target).ok(),
        other => other.get("target").and_then(Value::as_str).map(str::to_owned),
    };
    let mut seen = HashSet::new();
    let mut kept: Vec<Value> =
        elements(entries, "mounts").rev().filter(|mount| seen.insert(target(mount))).cloned().collect();
    kept.reverse();
    kept
}

fn per_key(entries: &[Entry], name: &str) -> Value {
    let mut all = Map::new();
    for map in entries.iter().filter_map(|entry| entry.get(name)?.as_object()) {
        all.extend(map.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    Value::Object(all)
}

/// What every entry says to a tool, in a list.
fn customizations(entries: &[Entry]) -> Option<Value> {
    let mut tools = Map::new();
    for (tool, value) in entries.iter().filter_map(|entry| entry.get("customizations")?.as_object()).flatten()
    {
        let list = tools.entry(tool.clone()).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(value.clone());
        }
    }
    (!tools.is_empty()).then_some(Value::Object(tools))
}

/// Ports of the container itself as numbers; `"localhost:80"` is the same port as `80`.
fn forward_ports(entries: &[Entry]) -> Vec<Value> {
    let mut seen = HashSet::new();
    let plain = elements(entries, "forwardPorts").map(|port| match port {
        Value::String(text) => match text.strip_prefix("localhost:").map(str::parse::<u16>) {
            Some(Ok(number)) => Value::from(number),
            _ => port.clone(),
        },
        _ => port.clone(),
    });
    plain.filter(|port| seen.insert(port.to_string())).collect()
}

fn host_requirements(entries: &[Entry]) -> Option<Value> {
    let said: Vec<&Value> = entries.iter().filter_map(|entry| entry.get("hostRequirements")).collect();
    let cpus = said.iter().filter_map(|value| value.get("cpus")?.as_u64()).max().unwrap_or(0);
    let most = |name: &str| {
        let sizes = said.iter().filter_map(|value| size(value.get(name)?));
        sizes.max().filter(|bytes| *bytes > 0).map(|bytes| Value::from(bytes.to_string()))
    };
    let (memory, storage) = (most("memory"), most("storage"));
    let gpu = said.iter().filter_map(|value| value.get("gpu")).fold(None, stronger);
    if cpus == 0 && memory.is_none() && storage.is_none() && gpu.as_ref().is_none_or(|gpu| !is_truthy(gpu)) {
        return None;
    }
    let mut all = Map::from_iter([("cpus".to_owned(), Value::from(cpus))]);
    let rest = [("memory", memory), ("storage", storage), ("gpu", gpu)];
    all.extend(rest.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Some(Value::Object(all))
}

fn size(value: &Value) -> Option<u64> {
    Size::from_text(value.as_str()?).map(|size| size.0)
}

/// The stronger wish for a graphics processor; two wishes for one become an object of the larger numbers.
fn stronger(one: Option<Value>, two: &Value) -> Option<Value> {
    match (one, two) {
        (None | Some(Value::Bool(false)), two) => Some(two.clone()),
        (one, Value::Bool(false)) => one,
        (Some(Value::String(one)), Value::String(_)) => Some(Value::String(one)),
        (Some(one), two) => {
            let cores =
                one.get("cores").and_then(Value::as_u64).max(two.get("cores").and_then(Value::as_u64));
            let memory = one.get("memory").and_then(size).max(two.get("memory").and_then(size));
            let cores = cores.filter(|cores| *cores > 0).map(|cores| ("cores".to_owned(), cores.into()));
            let memory = memory.filter(|memory| *memory > 0);
            let memory = memory.map(|memory| ("memory".to_owned(), Value::from(memory.to_string())));
            Some(Value::Object(cores.into_iter().chain(memory).collect()))
        }
    }
}
