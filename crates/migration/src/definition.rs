//! A container as it is defined, from what an engine says of it: the body that makes one like it elsewhere.
//!
//! Pure, and stable: the definition read back from the copy is that of the original, which is how copies are verified
//! and how a later run finds that there is nothing to do.

use std::collections::{BTreeMap, BTreeSet};

use engine::{ContainerRecord, EngineFacts};
use serde_json::{Map, Value, json};

use crate::observe::Side;

/// How Docker Desktop and OrbStack call the host's folders inside of their machines.
const HOST_FOLDERS: [&str; 2] = ["/host_mnt/", "/mnt/mac/"];

/// Networks that every engine has.
pub(crate) const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

/// Characters of an id that an engine gives as a host name and an alias.
const SHORT_ID: usize = 12;

/// What the ids of one side mean.
#[derive(Debug, Clone, Default)]
pub struct Names {
    containers: BTreeMap<String, String>,
    networks: BTreeMap<String, String>,
    volumes_of: BTreeMap<String, BTreeSet<String>>,
    facts: EngineFacts,
}

impl Names {
    /// Those of a side.
    pub fn of(side: &Side) -> Self {
        let containers = side.containers.iter();
        let volumes = |it: &ContainerRecord| it.volumes.values().cloned().collect();
        Self {
            containers: containers.clone().map(|it| (it.id.clone(), it.name.clone())).collect(),
            networks: side.networks.iter().map(|it| (it.id.clone(), it.name.clone())).collect(),
            volumes_of: containers.map(|it| (it.name.clone(), volumes(it))).collect(),
            facts: side.facts.clone(),
        }
    }

    /// Adds a container that is new.
    pub(crate) fn add(&mut self, container: &ContainerRecord) {
        self.containers.insert(container.id.clone(), container.name.clone());
        self.volumes_of.insert(container.name.clone(), container.volumes.values().cloned().collect());
    }

    fn container(&self, reference: &str) -> String {
        let by_id = self.containers.get(reference);
        by_id.map_or_else(|| reference.trim_start_matches('/').to_owned(), Clone::clone)
    }
}

/// What a container needs to exist before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct References {
    pub(crate) containers: BTreeSet<String>,
    pub(crate) networks: BTreeSet<String>,
    pub(crate) volumes: BTreeSet<String>,
    /// Paths of the host.
    pub(crate) host_paths: BTreeSet<String>,
}

/// The body that makes a container like this one. `Image` is its name for the image, which need not mean the same
/// elsewhere.
pub fn body(record: &ContainerRecord, names: &Names) -> Value {
    let mut config = object(&record.inspect["Config"]);
    let mut host = object(&record.inspect["HostConfig"]);
    let mode = network_mode(&host, names);
    let short = record.id.get(..SHORT_ID).unwrap_or(&record.id);
    let joined = mode.starts_with("container:");
    let hostname = config.get("Hostname").and_then(Value::as_str).unwrap_or_default();
    // A name of the machine's, or of another container's, is noted here once the container has run.
    if hostname == short || joined || mode == "host" || host.get("UTSMode") == Some(&json!("host")) {
        config.remove("Hostname");
        config.remove("Domainname");
    }
    if joined {
        config.remove("ExposedPorts");
    }
    host.remove("ContainerIDFile");
    host.remove("ConsoleSize");
    drop_defaults(&mut host, &names.facts);
    host.insert("NetworkMode".to_owned(), json!(mode));
    for key in ["IpcMode", "PidMode"] {
        if let Some(Value::String(mode)) = host.get_mut(key) {
            *mode = with_name(mode, names);
        }
    }
    for from in strings_of(&mut host, "VolumesFrom") {
        let (container, rest) =
            from.split_once(':').map_or((from.as_str(), None), |(it, rest)| (it, Some(rest)));
        let name = names.container(container);
        *from = rest.map_or_else(|| name.clone(), |rest| format!("{name}:{rest}"));
    }
    for link in strings_of(&mut host, "Links") {
        // `/db:/web/alias` is how the engine writes `db:alias`.
        let (target, alias) = link.split_once(':').unwrap_or((link, link));
        let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        *link = format!("{}:{}", last(target), last(alias));
    }
    mounts(record, &mut host, names);
    let endpoints = endpoints(record, &mode, short);
    let mut body = config;
    body.insert("HostConfig".to_owned(), Value::Object(host));
    if !endpoints.is_empty() {
        body.insert("NetworkingConfig".to_owned(), json!({ "EndpointsConfig": endpoints }));
    }
    Value::Object(body)
}

/// What has to be there for a body.
pub(crate) fn references(body: &Value) -> References {
    let host = &body["HostConfig"];
    let mut found = References::default();
    for key in ["NetworkMode", "IpcMode", "PidMode"] {
        found
            .containers
            .extend(host[key].as_str().and_then(|mode| mode.strip_prefix("container:")).map(owned));
    }
    let first_part = |it: &Value| it.as_str().map(|it| it.split(':').next().unwrap_or(it).to_owned());
    for key in ["VolumesFrom", "Links"] {
        found.containers.extend(host[key].as_array().into_iter().flatten().filter_map(first_part));
    }
    let endpoints = body["NetworkingConfig"]["EndpointsConfig"].as_object().into_iter().flatten();
    let mode = host["NetworkMode"].as_str().unwrap_or_default();
    let by_mode = (!mode.contains(':') && mode != "default").then_some(mode);
    found.networks = endpoints.map(|(name, _)| name.as_str()).chain(by_mode).map(owned).collect();
    found.networks.retain(|name| !name.is_empty() && !BUILT_IN.contains(&name.as_str()));
    let binds = host["Binds"].as_array().into_iter().flatten().filter_map(first_part);
    let mounts = host["Mounts"].as_array().into_iter().flatten();
    let mounted = mounts.filter(|mount| mount["Type"] == "bind" || mount["Type"] == "volume");
    for source in binds.chain(mounted.filter_map(|mount| mount["Source"].as_str().map(owned))) {
        if source.starts_with('/') {
            found.host_paths.insert(source);
        } else if !source.is_empty() {
            found.volumes.insert(source);
        }
    }
    found
}

/// Whether two bodies, each from its own side, define the same.
pub fn same_definition(one: &Value, other: &Value) -> bool {
    difference(one, other).is_none()
}

/// The first property in which two bodies differ.
pub(crate) fn difference(one: &Value, other: &Value) -> Option<String> {
    first_difference(&comparable(one), &comparable(other))
}

fn first_difference(one: &Value, other: &Value) -> Option<String> {
    if one == other {
        return None;
    }
    let fields =
        |value: &Value| value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
    let (ours, theirs): (BTreeSet<String>, BTreeSet<String>) = (fields(one), fields(other));
    let inner = ours.union(&theirs).find_map(|key| {
        let deeper = first_difference(&one[key], &other[key])?;
        Some(if deeper.is_empty() { key.clone() } else { format!("{key}.{deeper}") })
    });
    Some(inner.unwrap_or_default())
}

/// Says of every mount of these volumes that the image's files are not copied into it: they are empty on purpose.
pub(crate) fn keep_empty(body: &mut Value, empty: &BTreeSet<String>) {
    let host = &mut body["HostConfig"];
    for bind in host["Binds"].as_array_mut().into_iter().flatten() {
        let Some(text) = bind.as_str() else { continue };
        let parts: Vec<_> = text.split(':').collect();
        let said = parts.get(2).is_some_and(|options| options.split(',').any(|option| option == "nocopy"));
        if !said && parts.first().is_some_and(|name| empty.contains(*name)) {
            let joint = if parts.len() > 2 { ',' } else { ':' };
            *bind = json!(format!("{text}{joint}nocopy"));
        }
    }
    for mount in host["Mounts"].as_array_mut().into_iter().flatten() {
        if mount["Type"] == "volume" && mount["Source"].as_str().is_some_and(|name| empty.contains(name)) {
            mount["VolumeOptions"]["NoCopy"] = json!(true);
        }
    }
}

/// Lets a container be made though a folder of the host is not in sight: the definition stays what it is.
pub(crate) fn allow_missing_folders(body: &mut Value) {
    for mount in body["HostConfig"]["Mounts"].as_array_mut().into_iter().flatten() {
        if mount["Type"] == "bind" {
            mount["BindOptions"]["CreateMountpoint"] = json!(true);
        }
    }
}

fn network_mode(host: &Map<String, Value>, names: &Names) -> String {
    let mode = host.get("NetworkMode").and_then(Value::as_str).unwrap_or("default");
    names.networks.get(mode).cloned().unwrap_or_else(|| with_name(mode, names))
}

/// `container:` with a name instead of an id.
fn with_name(mode: &str, names: &Names) -> String {
    match mode.strip_prefix("container:") {
        Some(container) => format!("container:{}", names.container(container)),
        None => mode.to_owned(),
    }
}

/// What every engine chooses for itself where nothing is asked.
fn drop_defaults(host: &mut Map<String, Value>, facts: &EngineFacts) {
    if host.get("Runtime").and_then(Value::as_str) == Some(&facts.default_runtime) {
        host.remove("Runtime");
    }
    let log = host.get("LogConfig").unwrap_or(&Value::Null);
    let plain = log["Config"].as_object().is_none_or(Map::is_empty);
    if plain && log["Type"].as_str() == Some(&facts.default_logging) {
        host.remove("LogConfig");
    }
}

/// Folders of the host as the host calls them, and anonymous volumes by their names, so that their content is found.
fn mounts(record: &ContainerRecord, host: &mut Map<String, Value>, names: &Names) {
    let inherited: BTreeSet<_> = strings_of(host, "VolumesFrom")
        .filter_map(|from| names.volumes_of.get(from.split(':').next().unwrap_or(from)))
        .flatten()
        .cloned()
        .collect();
    let mut taken = BTreeSet::new();
    for bind in strings_of(host, "Binds") {
        let mut parts = bind.splitn(3, ':');
        if let (Some(source), Some(target)) = (parts.next(), parts.next()) {
            taken.insert(cleaned(target));
            let source = on_the_host(source);
            let options = parts.next().map(|options| format!(":{options}")).unwrap_or_default();
            *bind = format!("{source}:{target}{options}");
        }
    }
    for mount in host.get_mut("Mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        let target = cleaned(mount["Target"].as_str().unwrap_or_default());
        if mount["Type"] == "bind" {
            mount["Source"] = json!(on_the_host(mount["Source"].as_str().unwrap_or_default()));
        } else if mount["Type"] == "volume"
            && mount["Source"].as_str().is_none_or(str::is_empty)
            && let Some(name) = record.volumes.get(&target)
        {
            mount["Source"] = json!(name);
        }
        taken.insert(target);
    }
    let anonymous = record.volumes.iter().filter(|(target, name)| {
        !taken.contains(&cleaned(target)) && !inherited.contains(*name) && !name.is_empty()
    });
    let added: Vec<_> = anonymous.map(|(target, name)| json!(format!("{name}:{target}"))).collect();
    if !added.is_empty() {
        match host.get_mut("Binds").and_then(Value::as_array_mut) {
            Some(binds) => binds.extend(added),
            None => drop(host.insert("Binds".to_owned(), Value::Array(added))),
        }
    }
}

/// What was asked of each network; not what the engine found for it.
fn endpoints(record: &ContainerRecord, mode: &str, short: &str) -> Map<String, Value> {
    let mut endpoints = Map::new();
    if mode == "host" || mode == "none" || mode.starts_with("container:") {
        return endpoints;
    }
    let networks = record.inspect["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
    for (name, endpoint) in networks {
        let mut asked = Map::new();
        for key in ["IPAMConfig", "Aliases", "Links", "DriverOpts", "GwPriority"] {
            asked.insert(key.to_owned(), endpoint[key].clone());
        }
        if let Some(aliases) = asked.get_mut("Aliases").and_then(Value::as_array_mut) {
            aliases.retain(|alias| alias != short);
        }
        let asked = pruned(&Value::Object(asked)).unwrap_or_else(|| json!({}));
        endpoints.insert(name.clone(), asked);
    }
    let only_default = endpoints.len() == 1
        && endpoints.get("bridge").is_some_and(|asked| asked.as_object().is_some_and(Map::is_empty));
    if only_default { Map::new() } else { endpoints }
}

/// A body without what differs between engines and means nothing.
fn comparable(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(body) = body.as_object_mut() {
        // The image is compared by its content.
        body.remove("Image");
    }
    let host = &mut body["HostConfig"];
    if matches!(host["NetworkMode"].as_str(), Some("default" | "bridge")) {
        host["NetworkMode"] = Value::Null;
    }
    for bind in host["Binds"].as_array_mut().into_iter().flatten() {
        if let Some((rest, options)) = bind.as_str().and_then(|bind| bind.rsplit_once(':')) {
            let kept: Vec<_> = options.split(',').filter(|option| *option != "nocopy").collect();
            *bind = if kept.is_empty() { json!(rest) } else { json!(format!("{rest}:{}", kept.join(","))) };
        }
    }
    for mount in host["Mounts"].as_array_mut().into_iter().flatten() {
        for (options, key) in [("VolumeOptions", "NoCopy"), ("BindOptions", "CreateMountpoint")] {
            if let Some(options) = mount.get_mut(options).and_then(Value::as_object_mut) {
                options.remove(key);
            }
        }
    }
    pruned(&body).unwrap_or_default()
}

/// A value without what says nothing: nulls, empty texts, lists and objects, zeros, `false`.
pub(crate) fn pruned(value: &Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Number(number) if number.as_f64() == Some(0.0) => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(list) if list.is_empty() => None,
        // The places of a list mean something.
        Value::Array(list) => {
            Some(Value::Array(list.iter().map(|it| pruned(it).unwrap_or_default()).collect()))
        }
        Value::Object(fields) => {
            let mut kept: Vec<_> =
                fields.iter().filter_map(|(key, value)| Some((key.clone(), pruned(value)?))).collect();
            kept.sort_by(|one, other| one.0.cmp(&other.0));
            (!kept.is_empty()).then(|| Value::Object(kept.into_iter().collect()))
        }
        value => Some(value.clone()),
    }
}

/// A path as the host calls it, where another product's machine calls it differently.
fn on_the_host(path: &str) -> String {
    let inside = HOST_FOLDERS.iter().find_map(|folder| path.strip_prefix(folder));
    inside.map_or_else(|| path.to_owned(), |path| format!("/{path}"))
}

fn cleaned(path: &str) -> String {
    let cleaned = path.trim_end_matches('/');
    if cleaned.is_empty() { path.to_owned() } else { cleaned.to_owned() }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// The texts of a list, to be changed in place.
fn strings_of<'a>(object: &'a mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'a mut String> {
    let list = object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten();
    list.filter_map(|value| if let Value::String(text) = value { Some(text) } else { None })
}

fn owned(text: &str) -> String {
    text.to_owned()
}

#[cfg(test)]
mod tests;
