//! The file that we lay over a person's compose files. Pure.

use devcontainer::{Config, Mount, MountKind, Resolved};
use serde_json::{Map, Value, json};

use super::ComposeService;
use crate::containers::{
    ContainerSize, ENVIRONMENT_LABEL, Extras, FirstProcess, Identity, LOCAL_HOSTS, first_process,
};
use crate::images::ImageInfo;

/// What we add to one service of a compose project.
#[derive(Debug, Clone, PartialEq)]
pub struct ComposeOverride(Value);

impl ComposeOverride {
    /// The file's text. It is JSON, which is YAML too, and has none of YAML's surprises.
    pub fn to_file(&self) -> String {
        format!("{:#}\n", self.0)
    }
}

/// Computes what to add to the service `name`, the dev container. `service` is what the files say of it,
/// `facts` what the engine says of its image. `image` replaces the service's image, for instance by one with
/// another user; it is not pulled or built then.
///
/// `identity` is none on an engine that is not ours: nothing is added there but what the configuration means.
pub fn plan_override<'a>(
    config: &Config,
    resolved: &Resolved,
    (name, service): (&str, &ComposeService),
    facts: &ImageInfo,
    image: Option<&str>,
    identity: impl Into<Option<&'a Identity>>,
    extras: Extras,
) -> ComposeOverride {
    let identity = identity.into();
    let mut added = Map::new();
    let mut labels = extras.labels;
    labels.extend(config.labels());
    if let Some(identity) = identity {
        labels.insert(ENVIRONMENT_LABEL.to_owned(), identity.environment.clone());
    }
    added.insert("labels".into(), labels.iter().map(|(key, value)| (key.clone(), literal(value))).collect());
    let mut env = extras.env;
    env.extend(resolved.container_env.clone());
    if !env.is_empty() {
        let env = env.iter().map(|(key, value)| (key.clone(), literal(value)));
        added.insert("environment".into(), env.collect());
    }
    if let Some(image) = image {
        added.insert("image".into(), literal(image));
        added.insert("pull_policy".into(), json!("never"));
    }
    if let Some(user) = &resolved.container_user {
        added.insert("user".into(), literal(user));
    }
    for (key, wanted) in [("init", resolved.init), ("privileged", resolved.privileged)] {
        if wanted {
            added.insert(key.into(), json!(true));
        }
    }
    for (key, values) in [("cap_add", &resolved.cap_add), ("security_opt", &resolved.security_opt)] {
        if !values.is_empty() {
            added.insert(key.into(), values.iter().map(|value| literal(value)).collect());
        }
    }
    let mut resources = add_size(&mut added, extras.size, service);
    if extras.gpu {
        resources.insert("reservations".into(), json!({ "devices": [{ "capabilities": ["gpu"] }] }));
    }
    if !resources.is_empty() {
        added.insert("deploy".into(), json!({ "resources": resources }));
    }
    if identity.is_some() && service.network_mode.as_deref().is_none_or(|mode| mode == "bridge") {
        added.insert("extra_hosts".into(), json!(LOCAL_HOSTS));
    }
    add_first_process(&mut added, resolved, service, facts);

    let mounts: Vec<&Mount> = resolved.mounts.iter().chain(&extras.mounts).collect();
    let mut file = Map::new();
    if !mounts.is_empty() {
        added.insert("volumes".into(), mounts.iter().map(|mount| volume(mount)).collect());
        let named = mounts.iter().filter(|mount| mount.kind == MountKind::Volume);
        // As in the reference, compose puts the project's name before it, unless the files say another.
        let named = named.filter_map(|mount| mount.source.as_ref()).map(|source| (source.clone(), json!({})));
        let named: Map<String, Value> = named.collect();
        if !named.is_empty() {
            file.insert("volumes".into(), named.into());
        }
    }
    file.insert("services".into(), json!({ name: added }));
    ComposeOverride(file.into())
}

/// Adds how much of the machine the service gets; what is to stand below `deploy.resources` for that. Where files have limits
/// there, compose takes those, and refuses one of the service itself that is not the same: so ours go there as well, and
/// beside it only where the files have one.
fn add_size(
    added: &mut Map<String, Value>,
    size: ContainerSize,
    service: &ComposeService,
) -> Map<String, Value> {
    let limits = service.deploy.as_ref().and_then(|deploy| deploy.pointer("/resources/limits"));
    let limits = limits.filter(|limits| !limits.is_null());
    let mut deployed = Map::new();
    let cpus = size.cpus.map(|count| json!(count.to_string()));
    let memory = size.memory_gib.map(|gib| json!(format!("{gib}g")));
    for (own, key, value, in_files) in
        [("cpus", "cpus", cpus, &service.cpus), ("mem_limit", "memory", memory, &service.mem_limit)]
    {
        let Some(value) = value else { continue };
        if limits.is_none() || in_files.is_some() {
            added.insert(own.into(), value.clone());
        }
        if limits.is_some() {
            deployed.insert(key.into(), value);
        }
    }
    if size.memory_gib.is_some() && service.memswap_limit.is_some() {
        // One below the memory would be refused; nor is swap what a class is about.
        added.insert("memswap_limit".into(), json!(-1));
    }
    let deployed = Some(deployed).filter(|limits| !limits.is_empty());
    deployed.map(|limits| ("limits".to_owned(), Value::from(limits))).into_iter().collect()
}

fn add_first_process(
    added: &mut Map<String, Value>,
    resolved: &Resolved,
    service: &ComposeService,
    facts: &ImageInfo,
) {
    // A service that sets its entrypoint thereby drops the image's command.
    let entrypoint = service.entrypoint.as_ref().unwrap_or(&facts.entrypoint);
    let no_command = Vec::new();
    let inherited = if service.entrypoint.is_some() { &no_command } else { &facts.cmd };
    let command = service.command.as_ref().unwrap_or(inherited);
    if let FirstProcess::Script { script, arguments } = first_process(resolved, entrypoint, command) {
        let entrypoint = ["/bin/sh", "-c", &script, "-"].map(literal);
        added.insert("entrypoint".into(), entrypoint.into_iter().collect());
        added.insert("command".into(), arguments.iter().map(|argument| literal(argument)).collect());
    }
}

fn volume(mount: &Mount) -> Value {
    let kind = match mount.kind {
        MountKind::Bind => "bind",
        MountKind::Volume => "volume",
        MountKind::Tmpfs => "tmpfs",
    };
    let mut volume =
        Map::from_iter([("type".to_owned(), json!(kind)), ("target".to_owned(), literal(&mount.target))]);
    if let Some(source) = &mount.source {
        volume.insert("source".into(), literal(source));
    }
    if mount.read_only {
        volume.insert("read_only".into(), json!(true));
    }
    if let Some(consistency) = &mount.consistency {
        volume.insert("consistency".into(), literal(consistency));
    }
    // `bind-propagation=rslave` is `bind: { propagation: rslave }`; one that stands alone is true.
    let mut options: Map<String, Value> = Map::new();
    for (name, value) in &mount.options {
        let Some(name) = name.strip_prefix(kind).and_then(|name| name.strip_prefix('-')) else { continue };
        let value = match value.as_deref() {
            None | Some("true" | "1") => json!(true),
            Some(number) if kind == "tmpfs" && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                let base = if name == "mode" { 8 } else { 10 };
                i64::from_str_radix(number, base).map_or_else(|_| literal(number), |number| json!(number))
            }
            Some(text) => literal(text),
        };
        options.insert(name.to_owned(), value);
    }
    if !options.is_empty() {
        volume.insert(kind.into(), options.into());
    }
    volume.into()
}

/// A text that compose does not take variables out of.
fn literal(text: &str) -> Value {
    json!(text.replace('$', "$$"))
}
