//! Computes, from what a configuration says, the container that has to be made. Pure.

use std::collections::BTreeMap;

use devcontainer::{Config, Mount, Resolved};

use super::run_options::run_options;
use crate::images::ImageInfo;

/// The label that carries the id of the environment a container belongs to.
pub(crate) const ENVIRONMENT_LABEL: &str = "dev.cove.environment";

/// What every container knows the engine's host by, beside what a configuration adds.
pub(crate) const LOCAL_HOSTS: [&str; 1] = ["host.docker.internal:host-gateway"];

/// A container to make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Its name; the engine makes one up where it is empty.
    pub name: String,
    /// The image it is made of, which the engine must have.
    pub image: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its variables, on top of the image's.
    pub env: BTreeMap<String, String>,
    /// The user it runs as; the image's when `None`.
    pub user: Option<String>,
    /// What is mounted into it.
    pub mounts: Vec<Mount>,
    /// Ports to publish, in the words of `docker create --publish`.
    pub publish: Vec<String>,
    /// Whether a small init process reaps orphans.
    pub init: bool,
    /// Whether it has every right.
    pub privileged: bool,
    /// Capabilities to add.
    pub cap_add: Vec<String>,
    /// Security options, as the engine takes them.
    pub security_opt: Vec<String>,
    /// Whether it gets all graphics processors.
    pub gpu: bool,
    /// Names it can resolve, `name:address`.
    pub hosts: Vec<String>,
    /// The network it is in, in the words of `docker create --network`; the engine's usual one when `None`.
    pub network: Option<String>,
    /// More arguments for `docker create`, as a person wrote them.
    pub run_args: Vec<String>,
    /// What it runs.
    pub first_process: FirstProcess,
}

/// What a container runs as its first process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FirstProcess {
    /// What the image says.
    #[default]
    OfImage,
    /// A program and its arguments, in the place of what the image says.
    Program(Vec<String>),
    /// A script for `/bin/sh -c`, and the arguments it gets from `$1` on.
    Script {
        /// The script.
        script: String,
        /// Its arguments.
        arguments: Vec<String>,
    },
}

impl ContainerSpec {
    /// Whether the container does nothing but wait to be stopped, so that it does not end by itself.
    pub fn only_waits(&self) -> bool {
        let waits =
            matches!(&self.first_process, FirstProcess::Script { script, .. } if *script == waiting(&[]));
        waits && !self.run_args.iter().any(|argument| argument.starts_with("--entrypoint"))
    }
}

/// Whose container it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The environment's id.
    pub environment: String,
    /// The environment's name, from which readable names are made.
    pub name: String,
}

/// What we add to what the configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// More labels.
    pub labels: BTreeMap<String, String>,
    /// More variables; the configuration's own win.
    pub env: BTreeMap<String, String>,
    /// More mounts; one of the configuration with the same target wins.
    pub mounts: Vec<Mount>,
    /// Whether the container gets all graphics processors; see [`Engine::gpu_for`](crate::Engine::gpu_for).
    pub gpu: bool,
    /// How much of the machine the container gets; it counts before what the configuration says.
    pub size: ContainerSize,
}

/// How much of a machine a container gets. What is absent is as the configuration has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerSize {
    /// Processors.
    pub cpus: Option<u64>,
    /// Memory, in GiB.
    pub memory_gib: Option<u64>,
}

impl ContainerSize {
    /// As arguments of `docker create`, behind those of the configuration: the later ones count.
    fn arguments(self, configured: &[String]) -> impl Iterator<Item = String> {
        let cpus = self.cpus.map(|count| format!("--cpus={count}"));
        let memory = self.memory_gib.map(|gib| format!("--memory={gib}g"));
        // Memory and swap together, which the engine refuses below the memory; nor is swap what a class is about.
        let limits_swap =
            memory.is_some() && run_options(configured).iter().any(|option| option.name == "--memory-swap");
        let swap = limits_swap.then(|| "--memory-swap=-1".to_owned());
        cpus.into_iter().chain(memory).chain(swap)
    }
}

/// Computes the container for a configuration without compose. `image` names the image to use, `facts` is
/// what the engine says of it. `identity` is none on an engine that is not ours: the container gets no name and
/// nothing but what the configuration means.
pub fn plan_container<'a>(
    config: &Config,
    resolved: &Resolved,
    image: &str,
    facts: &ImageInfo,
    identity: impl Into<Option<&'a Identity>>,
    extras: Extras,
) -> ContainerSpec {
    let identity = identity.into();
    let mut labels = extras.labels;
    labels.extend(config.labels());
    if let Some(identity) = identity {
        labels.insert(ENVIRONMENT_LABEL.to_owned(), identity.environment.clone());
    }
    let mut env = extras.env;
    env.extend(resolved.container_env.clone());
    let mounts = config.workspace_mount.iter().chain(&resolved.mounts).cloned().chain(extras.mounts);

    ContainerSpec {
        name: identity.map(|identity| format!("cove-{}", resource_name(&identity.name))).unwrap_or_default(),
        image: image.to_owned(),
        labels,
        env,
        user: resolved.container_user.clone(),
        mounts: first_per_target(mounts),
        publish: config.app_ports.clone(),
        init: resolved.init,
        privileged: resolved.privileged,
        cap_add: resolved.cap_add.clone(),
        security_opt: resolved.security_opt.clone(),
        gpu: extras.gpu,
        hosts: if identity.is_none() || shares_a_network(&config.run_args) {
            Vec::new()
        } else {
            LOCAL_HOSTS.map(str::to_owned).to_vec()
        },
        network: None,
        run_args: config.run_args.iter().cloned().chain(extras.size.arguments(&config.run_args)).collect(),
        first_process: first_process(resolved, &facts.entrypoint, &facts.cmd),
    }
}

/// What the container runs: the image's own command, or a script that runs the entrypoints of features and
/// then either that command or waits to be stopped.
pub(crate) fn first_process(resolved: &Resolved, entrypoint: &[String], cmd: &[String]) -> FirstProcess {
    let own: Vec<String> = entrypoint.iter().chain(cmd).cloned().collect();
    if !resolved.override_command && resolved.entrypoints.is_empty() && !own.is_empty() {
        return FirstProcess::OfImage;
    }
    if resolved.override_command || own.is_empty() {
        return FirstProcess::Script { script: waiting(&resolved.entrypoints), arguments: Vec::new() };
    }
    let mut lines = vec![STARTED.to_owned()];
    lines.extend(resolved.entrypoints.iter().cloned());
    lines.push("exec \"$@\"".to_owned());
    FirstProcess::Script { script: lines.join("\n"), arguments: own }
}

/// What every script of ours says first; other tools look for it.
const STARTED: &str = "echo Container started";

/// A script that runs the entrypoints of features, and then waits to be stopped.
fn waiting(entrypoints: &[String]) -> String {
    // The shell is process 1, for which no signal has a default effect.
    let mut lines = vec![STARTED.to_owned(), "trap 'exit 0' TERM INT".to_owned()];
    lines.extend(entrypoints.iter().cloned());
    // `wait` is what a signal can interrupt; the sleep itself it cannot.
    lines.push("while :; do sleep 3600 & wait $!; done".to_owned());
    lines.join("\n")
}

/// What a container runs that is never started: an image without a command could not be used otherwise.
pub(crate) fn never() -> FirstProcess {
    FirstProcess::Script { script: "exit 0".to_owned(), arguments: Vec::new() }
}

/// Turns a name into one that the engine takes for containers, volumes and images alike: lower-case
/// letters, digits and single dashes.
pub(crate) fn resource_name(name: &str) -> String {
    let mut cleaned = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_ascii_alphanumeric() {
            cleaned.push(character.to_ascii_lowercase());
        } else if !cleaned.is_empty() && !cleaned.ends_with('-') {
            cleaned.push('-');
        }
    }
    let cleaned = cleaned.trim_end_matches('-');
    if cleaned.is_empty() { "environment".to_owned() } else { cleaned.to_owned() }
}

/// Two mounts at one place are an error for the engine.
fn first_per_target(mounts: impl Iterator<Item = Mount>) -> Vec<Mount> {
    let mut kept: Vec<Mount> = Vec::new();
    for mount in mounts {
        if !kept.iter().any(|other| other.target.trim_end_matches('/') == mount.target.trim_end_matches('/'))
        {
            kept.push(mount);
        }
    }
    kept
}

/// Whether the arguments put the container into another one's network, where names cannot be added.
fn shares_a_network(run_args: &[String]) -> bool {
    let mut after_flag = false;
    run_args.iter().any(|argument| {
        let value = argument.strip_prefix("--network=").or_else(|| argument.strip_prefix("--net="));
        let value = value.or(after_flag.then_some(argument.as_str()));
        after_flag = argument == "--network" || argument == "--net";
        value.is_some_and(|value| value.starts_with("container:"))
    })
}
