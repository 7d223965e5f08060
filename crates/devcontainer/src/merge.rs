//! Merges what the image says about itself with what the configuration says.
//!
//! | how | properties |
//! |---|---|
//! | true if anyone says so | `init`, `privileged` |
//! | union | `capAdd`, `securityOpt`, `forwardPorts` |
//! | all of them, in order | `entrypoint`, the lifecycle commands, `customizations` per tool |
//! | the last one | `waitFor`, `remoteUser`, `containerUser`, `userEnvProbe`, `overrideCommand`, `shutdownAction`, `updateRemoteUserUID`, `otherPortsAttributes` |
//! | the last one per key | `remoteEnv`, `containerEnv`, `portsAttributes` |
//! | the last one per target | `mounts` |
//! | the largest | `hostRequirements` |

use crate::config::{Config, ContainerSource, Properties, ShutdownAction, UserEnvProbe, WaitFor};
use crate::lifecycle::{Command, Lifecycle};
use crate::mount::Mount;
use crate::ordered;
use crate::ports::{ForwardPort, PortAttributes};
use crate::requirements::HostRequirements;
use crate::substitute::Known;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What holds for a container, with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    /// Whether a small init process reaps orphans.
    pub init: bool,
    /// Whether the container has every right.
    pub privileged: bool,
    /// Capabilities to add.
    pub cap_add: Vec<String>,
    /// Security options, as the engine takes them.
    pub security_opt: Vec<String>,
    /// Commands to run, in this order, before the container's own.
    pub entrypoints: Vec<String>,
    /// Mounts beside the workspace's.
    pub mounts: Vec<Mount>,
    /// Variables of the container itself.
    pub container_env: BTreeMap<String, String>,
    /// Variables of what tools start in it; `None` unsets one.
    pub remote_env: BTreeMap<String, Option<String>>,
    /// The user that the container runs as; the image's (or the compose service's) when `None`.
    pub container_user: Option<String>,
    /// The user that tools and commands run as; the container's when `None`.
    pub remote_user: Option<String>,
    /// Whether the user's numbers are made those of the host's user.
    pub update_remote_user_uid: bool,
    /// How the user's environment is found out.
    pub user_env_probe: UserEnvProbe,
    /// Whether the image's command is replaced by one that only waits.
    pub override_command: bool,
    /// Ports to forward to the host.
    pub forward_ports: Vec<ForwardPort>,
    /// What is said about ports, in the order in which it counts.
    #[serde(with = "ordered")]
    pub ports_attributes: Vec<(String, PortAttributes)>,
    /// What is said about all other ports.
    pub other_ports_attributes: Option<PortAttributes>,
    /// The least the machine should have.
    pub host_requirements: HostRequirements,
    /// What everyone says to single tools, by tool.
    pub customizations: BTreeMap<String, Vec<Value>>,
    /// The stage after which a tool may attach.
    pub wait_for: WaitFor,
    /// What happens when the last tool has gone.
    pub shutdown_action: ShutdownAction,
    /// The commands of each stage.
    pub lifecycle: Lifecycle,
}

impl Resolved {
    /// The user that tools and commands run as, given the one that the image or service names.
    pub fn effective_user<'a>(&'a self, image_user: &'a str) -> &'a str {
        let user = self.remote_user.as_deref().or(self.container_user.as_deref()).unwrap_or(image_user);
        if user.is_empty() { "root" } else { user }
    }
}

/// Merges the metadata of the image, oldest entry first, and the configuration, which comes last.
///
/// Image metadata may hold variables. Those of the workspace and `${devcontainerId}` are replaced here;
/// for `${localEnv:…}` see [`substitute_local_env`](crate::substitute_local_env).
pub fn merge(image_metadata: &[Properties], config: &Config) -> Resolved {
    let known = Known::of(config);
    let mut entries = image_metadata.to_vec();
    for entry in &mut entries {
        entry.for_each_text(&mut |text| *text = known.expand(text));
    }
    entries.push(config.properties.clone());

    let is_compose = matches!(config.container, ContainerSource::Compose(_));
    let mut resolved = Resolved {
        init: entries.iter().any(|entry| entry.init == Some(true)),
        privileged: entries.iter().any(|entry| entry.privileged == Some(true)),
        cap_add: union(&entries, |entry| &entry.cap_add),
        security_opt: union(&entries, |entry| &entry.security_opt),
        entrypoints: entries.iter().filter_map(|entry| entry.entrypoint.clone()).collect(),
        mounts: last_per_target(&entries),
        container_env: BTreeMap::new(),
        remote_env: BTreeMap::new(),
        container_user: last(&entries, |entry| entry.container_user.clone()),
        remote_user: last(&entries, |entry| entry.remote_user.clone()),
        update_remote_user_uid: last(&entries, |entry| entry.update_remote_user_uid).unwrap_or(true),
        user_env_probe: last(&entries, |entry| entry.user_env_probe)
            .unwrap_or(UserEnvProbe::LoginInteractiveShell),
        override_command: last(&entries, |entry| entry.override_command).unwrap_or(!is_compose),
        forward_ports: union(&entries, |entry| &entry.forward_ports),
        ports_attributes: Vec::new(),
        other_ports_attributes: last(&entries, |entry| entry.other_ports_attributes.clone()),
        host_requirements: entries
            .iter()
            .filter_map(|entry| entry.host_requirements.clone())
            .fold(HostRequirements::default(), HostRequirements::maximum),
        customizations: BTreeMap::new(),
        wait_for: last(&entries, |entry| entry.wait_for).unwrap_or(WaitFor::UpdateContentCommand),
        shutdown_action: last(&entries, |entry| entry.shutdown_action).unwrap_or(if is_compose {
            ShutdownAction::StopCompose
        } else {
            ShutdownAction::StopContainer
        }),
        lifecycle: lifecycle(&entries),
    };
    for entry in entries {
        resolved.container_env.extend(entry.container_env);
        resolved.remote_env.extend(entry.remote_env);
        for (tool, value) in entry.customizations {
            resolved.customizations.entry(tool).or_default().push(value);
        }
        for (key, attributes) in entry.ports_attributes {
            match resolved.ports_attributes.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = attributes,
                None => resolved.ports_attributes.push((key, attributes)),
            }
        }
    }
    resolved
}

fn last<T>(entries: &[Properties], of: impl Fn(&Properties) -> Option<T>) -> Option<T> {
    entries.iter().rev().find_map(of)
}

fn union<T: Clone + PartialEq>(entries: &[Properties], of: impl Fn(&Properties) -> &Vec<T>) -> Vec<T> {
    let mut all: Vec<T> = Vec::new();
    for item in entries.iter().flat_map(of) {
        if !all.contains(item) {
            all.push(item.clone());
        }
    }
    all
}

/// Of the mounts to one target only the last stays, in its place.
fn last_per_target(entries: &[Properties]) -> Vec<Mount> {
    let mut kept: Vec<Mount> = Vec::new();
    for mount in entries.iter().flat_map(|entry| &entry.mounts).rev() {
        if !kept.iter().any(|later| later.target == mount.target) {
            kept.push(mount.clone());
        }
    }
    kept.reverse();
    kept
}

fn lifecycle(entries: &[Properties]) -> Lifecycle {
    let collect = |of: fn(&Properties) -> &Option<Command>| {
        entries.iter().filter_map(|entry| of(entry).clone()).collect::<Vec<_>>()
    };
    Lifecycle {
        on_create: collect(|entry| &entry.on_create_command),
        update_content: collect(|entry| &entry.update_content_command),
        post_create: collect(|entry| &entry.post_create_command),
        post_start: collect(|entry| &entry.post_start_command),
        post_attach: collect(|entry| &entry.post_attach_command),
    }
}

#[cfg(test)]
mod tests;
