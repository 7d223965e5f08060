//! The properties that a configuration, an image and a feature can all say, and that are therefore merged.

use crate::decode::{Choice, Fields, Mistakes, Spot};
use crate::jsonc::NodeKind;
use crate::lifecycle::Command;
use crate::mount::Mount;
use crate::ordered;
use crate::ports::{ForwardPort, PortAttributes};
use crate::requirements::HostRequirements;
use crate::substitute::for_each_text;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The properties of a configuration that go into the label of an image built from it.
pub(crate) const IN_LABEL: &[&str] = &[
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
    "waitFor",
    "customizations",
    "mounts",
    "containerEnv",
    "containerUser",
    "init",
    "privileged",
    "capAdd",
    "securityOpt",
    "remoteUser",
    "userEnvProbe",
    "remoteEnv",
    "overrideCommand",
    "portsAttributes",
    "otherPortsAttributes",
    "forwardPorts",
    "shutdownAction",
    "updateRemoteUserUID",
    "hostRequirements",
];

/// The properties of a feature that go into the label. Its `containerEnv` is not among them: it is part of
/// the image itself.
pub(crate) const OF_FEATURE: &[&str] = &[
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
    "init",
    "privileged",
    "capAdd",
    "securityOpt",
    "entrypoint",
    "mounts",
    "customizations",
];

/// One entry of what is merged: an image's, a feature's or the configuration's. Absent means not said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Properties {
    /// The feature that says this; only in metadata of images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Whether a small init process reaps orphans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<bool>,
    /// Whether the container has every right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged: Option<bool>,
    /// Capabilities to add.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Security options, as the engine takes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_opt: Vec<String>,
    /// A feature's entrypoint, run before the container's command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<String>,
    /// More mounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Variables of the container itself.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub container_env: BTreeMap<String, String>,
    /// Variables of what tools start in it; `None` unsets one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub remote_env: BTreeMap<String, Option<String>>,
    /// The user that the container runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_user: Option<String>,
    /// The user that tools and commands run as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_user: Option<String>,
    /// Whether the user's numbers are made those of the host's user.
    #[serde(rename = "updateRemoteUserUID", skip_serializing_if = "Option::is_none")]
    pub update_remote_user_uid: Option<bool>,
    /// The shell whose start-up files are asked for variables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_env_probe: Option<UserEnvProbe>,
    /// Whether the image's command is replaced by one that only waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_command: Option<bool>,
    /// Ports to forward to the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forward_ports: Vec<ForwardPort>,
    /// What is said about ports, by port, range, `host:port` or a pattern for command lines; in order,
    /// because the first match counts.
    #[serde(with = "ordered", skip_serializing_if = "Vec::is_empty")]
    pub ports_attributes: Vec<(String, PortAttributes)>,
    /// What is said about all other ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_ports_attributes: Option<PortAttributes>,
    /// The least the machine should have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_requirements: Option<HostRequirements>,
    /// What is said to single tools, by tool.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub customizations: Map<String, Value>,
    /// The stage after which a tool may attach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_for: Option<WaitFor>,
    /// What happens when the last tool has gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shutdown_action: Option<ShutdownAction>,
    /// See [`Lifecycle::on_create`](crate::Lifecycle).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_create_command: Option<Command>,
    /// See [`Lifecycle::update_content`](crate::Lifecycle).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_content_command: Option<Command>,
    /// See [`Lifecycle::post_create`](crate::Lifecycle).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_create_command: Option<Command>,
    /// See [`Lifecycle::post_start`](crate::Lifecycle).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_start_command: Option<Command>,
    /// See [`Lifecycle::post_attach`](crate::Lifecycle).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_attach_command: Option<Command>,
    /// The same as it was written, for those who are to see it so: labels and other tools.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub written: Map<String, Value>,
}

/// How the user's environment is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UserEnvProbe {
    /// It is not.
    None,
    /// By an interactive shell.
    InteractiveShell,
    /// By a login shell.
    LoginShell,
    /// By a shell that is both; the default.
    LoginInteractiveShell,
}

impl Choice for UserEnvProbe {
    const ALL: &'static [Self] =
        &[Self::None, Self::LoginShell, Self::LoginInteractiveShell, Self::InteractiveShell];
}

/// A stage of the lifecycle to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WaitFor {
    /// The command on the host.
    InitializeCommand,
    /// The first one in the container.
    OnCreateCommand,
    /// The second; the default.
    UpdateContentCommand,
    /// The third.
    PostCreateCommand,
    /// The one of every start.
    PostStartCommand,
    /// The one of every attach: nothing runs in the background.
    PostAttachCommand,
}

impl Choice for WaitFor {
    const ALL: &'static [Self] = &[
        Self::InitializeCommand,
        Self::OnCreateCommand,
        Self::UpdateContentCommand,
        Self::PostCreateCommand,
        Self::PostStartCommand,
        Self::PostAttachCommand,
    ];
}

/// What happens when the last tool has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ShutdownAction {
    /// Everything goes on.
    None,
    /// The container stops; the default for one from an image or a Dockerfile.
    StopContainer,
    /// The whole compose project stops; the default for one of compose.
    StopCompose,
}

impl Choice for ShutdownAction {
    const ALL: &'static [Self] = &[Self::None, Self::StopContainer, Self::StopCompose];
}

impl Properties {
    /// What a changed file can still say about a container that exists.
    pub(crate) const UPDATABLE: &[&str] = &["remoteUser", "userEnvProbe", "remoteEnv"];

    /// Takes every property out of an entry of a label. What is not known stays in `written`, so that it is
    /// not lost when the label is written again.
    pub(crate) fn decode_entry(fields: &mut Fields, mistakes: &mut Mistakes) -> Self {
        let written = fields.rest();
        Self {
            id: fields.filled_text("id", mistakes),
            entrypoint: fields.filled_text("entrypoint", mistakes),
            ..Self { written, ..Self::decode(fields, mistakes) }
        }
    }

    /// Takes what a feature can say out of its metadata; the caller sets `id`.
    pub(crate) fn decode_feature(fields: &mut Fields, mistakes: &mut Mistakes) -> Self {
        let written = fields.only(OF_FEATURE);
        let all =
            Self { entrypoint: fields.filled_text("entrypoint", mistakes), ..Self::decode(fields, mistakes) };
        Self {
            init: all.init,
            privileged: all.privileged,
            cap_add: all.cap_add,
            security_opt: all.security_opt,
            entrypoint: all.entrypoint,
            mounts: all.mounts,
            customizations: all.customizations,
            on_create_command: all.on_create_command,
            update_content_command: all.update_content_command,
            post_create_command: all.post_create_command,
            post_start_command: all.post_start_command,
            post_attach_command: all.post_attach_command,
            written,
            ..Self::default()
        }
    }

    /// The entry of a label for this: its `id` first, and the rest as it was written.
    pub fn to_entry(&self) -> Map<String, Value> {
        if self.written.is_empty() {
            // Not read from a text but made by us.
            return match serde_json::to_value(self) {
                Ok(Value::Object(entry)) => entry,
                _ => Map::new(),
            };
        }
        let id = self.id.iter().map(|id| ("id".to_owned(), Value::from(id.as_str())));
        let rest = self.written.iter().filter(|(name, _)| self.id.is_none() || *name != "id");
        id.chain(rest.map(|(name, value)| (name.clone(), value.clone()))).collect()
    }

    /// The part that a changed file can still say about a container that exists.
    pub fn updatable(&self) -> Self {
        let written = self.written.iter().filter(|(name, _)| Self::UPDATABLE.contains(&name.as_str()));
        Self {
            remote_user: self.remote_user.clone(),
            user_env_probe: self.user_env_probe,
            remote_env: self.remote_env.clone(),
            written: written.map(|(name, value)| (name.clone(), value.clone())).collect(),
            ..Self::default()
        }
    }

    /// Takes every property of this kind out of an object.
    pub(crate) fn decode(fields: &mut Fields, mistakes: &mut Mistakes) -> Self {
        let written = fields.only(IN_LABEL);
        let mut command = |name: &str, mistakes: &mut Mistakes| {
            fields.take(name).and_then(|spot| Command::decode(spot, mistakes))
        };
        let on_create_command = command("onCreateCommand", mistakes);
        let update_content_command = command("updateContentCommand", mistakes);
        let post_create_command = command("postCreateCommand", mistakes);
        let post_start_command = command("postStartCommand", mistakes);
        let post_attach_command = command("postAttachCommand", mistakes);
        Self {
            id: None,
            init: fields.flag("init", mistakes),
            privileged: fields.flag("privileged", mistakes),
            cap_add: fields.texts("capAdd", mistakes).unwrap_or_default(),
            security_opt: fields.texts("securityOpt", mistakes).unwrap_or_default(),
            entrypoint: None,
            mounts: fields.take("mounts").map(|spot| mount_list(spot, mistakes)).unwrap_or_default(),
            container_env: container_env(fields, mistakes),
            remote_env: remote_env(fields, mistakes),
            container_user: fields.filled_text("containerUser", mistakes),
            remote_user: fields.filled_text("remoteUser", mistakes),
            update_remote_user_uid: fields.flag("updateRemoteUserUID", mistakes),
            user_env_probe: fields.choice("userEnvProbe", mistakes),
            override_command: fields.flag("overrideCommand", mistakes),
            forward_ports: forward_ports(fields, mistakes),
            ports_attributes: ports_attributes(fields, mistakes),
            other_ports_attributes: fields
                .fields("otherPortsAttributes", mistakes)
                .map(|fields| PortAttributes::decode(fields, mistakes)),
            host_requirements: fields
                .fields("hostRequirements", mistakes)
                .map(|fields| HostRequirements::decode(fields, mistakes)),
            customizations: fields.map("customizations", mistakes).unwrap_or_default(),
            wait_for: fields.choice("waitFor", mistakes),
            shutdown_action: fields.choice("shutdownAction", mistakes),
            on_create_command,
            update_content_command,
            post_create_command,
            post_start_command,
            post_attach_command,
            written,
        }
    }

    /// Calls `change` with every string that may hold variables; keys and names are not among them.
    pub(crate) fn for_each_text(&mut self, change: &mut dyn FnMut(&mut String)) {
        self.cap_add.iter_mut().chain(&mut self.security_opt).for_each(&mut *change);
        let single = [&mut self.entrypoint, &mut self.container_user, &mut self.remote_user];
        single.into_iter().flatten().for_each(&mut *change);
        self.mounts.iter_mut().for_each(|mount| mount.for_each_text(change));
        self.container_env.values_mut().for_each(&mut *change);
        self.remote_env.values_mut().flatten().for_each(&mut *change);
        self.ports_attributes
            .iter_mut()
            .map(|(_, attributes)| attributes)
            .chain(&mut self.other_ports_attributes)
            .filter_map(|attributes| attributes.label.as_mut())
            .for_each(&mut *change);
        self.customizations.values_mut().for_each(|value| for_each_text(value, change));
        self.written.values_mut().for_each(|value| for_each_text(value, change));
        let commands = [
            &mut self.on_create_command,
            &mut self.update_content_command,
            &mut self.post_create_command,
            &mut self.post_start_command,
            &mut self.post_attach_command,
        ];
        for command in commands.into_iter().flatten() {
            command.for_each_text(change);
        }
    }
}

/// Reads `mounts`: an array of strings and objects. One mount alone is taken as a list of it.
fn mount_list(spot: Spot, mistakes: &mut Mistakes) -> Vec<Mount> {
    let spots = match spot.node.kind {
        NodeKind::Text(_) | NodeKind::Map(_) => vec![spot],
        _ => spot.items("an array of strings and objects", mistakes).unwrap_or_default(),
    };
    spots.into_iter().filter_map(|spot| Mount::decode(spot, mistakes)).collect()
}

fn container_env(fields: &mut Fields, mistakes: &mut Mistakes) -> BTreeMap<String, String> {
    let Some(env) = fields.fields("containerEnv", mistakes) else { return BTreeMap::new() };
    env.into_spots()
        .filter(|(_, spot)| spot.node.kind != NodeKind::Null)
        .filter_map(|(name, spot)| Some((name, spot.scalar(mistakes)?)))
        .collect()
}

fn remote_env(fields: &mut Fields, mistakes: &mut Mistakes) -> BTreeMap<String, Option<String>> {
    let Some(env) = fields.fields("remoteEnv", mistakes) else { return BTreeMap::new() };
    env.into_spots()
        .filter_map(|(name, spot)| match spot.node.kind {
            NodeKind::Null => Some((name, None)),
            _ => Some((name, Some(spot.scalar(mistakes)?))),
        })
        .collect()
}

fn forward_ports(fields: &mut Fields, mistakes: &mut Mistakes) -> Vec<ForwardPort> {
    let Some(spot) = fields.take("forwardPorts") else { return Vec::new() };
    // One port without its list is refused, though the reference takes a string for a list of it: the
    // specification has only the list, and a number alone fails with the reference as well.
    // A mistake in an element is named by the whole property: its place says which one it is.
    let path = spot.path.clone();
    let spots = spot.items("an array of numbers and \"host:port\"", mistakes).unwrap_or_default();
    let spots = spots.into_iter().map(|spot| Spot { path: path.clone(), ..spot });
    spots.filter_map(|spot| ForwardPort::decode(&spot, mistakes)).collect()
}

fn ports_attributes(fields: &mut Fields, mistakes: &mut Mistakes) -> Vec<(String, PortAttributes)> {
    let Some(ports) = fields.fields("portsAttributes", mistakes) else { return Vec::new() };
    ports
        .into_spots()
        .filter_map(|(key, spot)| {
            let attributes = spot.fields("an object", mistakes)?;
            Some((key, PortAttributes::decode(attributes, mistakes)))
        })
        .collect()
}
