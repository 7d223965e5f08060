//! Containers: making, finding, starting, stopping and removing them.

mod plan;
mod run_line;
mod run_options;

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::{
    ContainerInspectResponse, ContainerSummary as ApiSummary, HealthStatusEnum, PortSummary,
};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    StartContainerOptions, StopContainerOptionsBuilder,
};

pub use plan::{ContainerSize, ContainerSpec, Extras, FirstProcess, Identity, plan_container};
pub(crate) use plan::{ENVIRONMENT_LABEL, LOCAL_HOSTS, first_process, never, resource_name};
pub use run_options::{RunOption, run_options};

use crate::connect::Engine;
use crate::error::{EngineError, absent_is_none};
use crate::images::{filters, split_variable};
use crate::tools::run_to_end;

/// A container in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerSummary {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image as it was named.
    pub image: String,
    /// Whether it runs.
    pub running: bool,
    /// Whether it is being removed by somebody.
    pub removing: bool,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The ports it publishes; empty while it does not run.
    pub ports: Vec<PublishedPort>,
}

/// A container at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerState {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The id of its image.
    pub image_id: String,
    /// The image as it was named when the container was made.
    pub image: String,
    /// When it was made, RFC 3339, in the engine's own spelling.
    pub created_at: Option<String>,
    /// Whether it runs.
    pub running: bool,
    /// The verdict of its health check; `None` without a check or before its first verdict.
    pub healthy: Option<bool>,
    /// The exit status of its first process, once that ended.
    pub exit_code: Option<i64>,
    /// When it was last started, RFC 3339, in the engine's own spelling; `None` if never.
    pub started_at: Option<String>,
    /// Its first process, as the engine's host numbers it, while it runs.
    pub pid: Option<u32>,
    /// The user it runs as, as written; empty for root.
    pub user: String,
    /// Its variables.
    pub env: BTreeMap<String, String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its address in each network it is in, while it runs.
    pub addresses: BTreeMap<String, String>,
    /// The ports it publishes, while it runs.
    pub ports: Vec<PublishedPort>,
    /// What is mounted where.
    pub mounts: Vec<MountedAt>,
}

/// A port of a container that the engine publishes on its host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedPort {
    /// The container's id.
    pub container: String,
    /// The address on the engine's host, `0.0.0.0` for all.
    pub host_address: String,
    /// The port on the engine's host.
    pub host_port: u16,
    /// The port in the container.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// A mount of an existing container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountedAt {
    /// What is mounted.
    pub kind: MountedKind,
    /// The volume's name, or the path on the engine's host.
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// Whether the container may only read.
    pub read_only: bool,
    /// Whether later mounts below it are seen on the other side, in the kernel's words; empty where that has no meaning.
    pub propagation: String,
    /// The path below a volume, where a part of it is mounted alone.
    pub part: Option<String>,
}

impl MountedAt {
    /// Whether it is the whole of a volume.
    pub fn is_all_of(&self, volume: &str) -> bool {
        self.is_volume() && self.source == volume && self.part.is_none()
    }

    /// Whether it is a volume.
    pub fn is_volume(&self) -> bool {
        self.kind == MountedKind::Volume
    }
}

/// What a mount of an existing container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountedKind {
    /// A file or folder of the engine's host.
    Bind,
    /// A volume.
    Volume,
    /// Memory.
    Tmpfs,
    /// Something else, in the engine's word for it.
    Other(String),
}

/// What the engine knows of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeFacts {
    /// The driver that mounts it; `local` is the engine's own.
    pub driver: String,
    /// What the driver was told.
    pub options: BTreeMap<String, String>,
}

/// A container could not be made or started.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Another container has the name.
    #[error("there is already a container named `{name}`")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The engine does not have the image.
    #[error("the engine has no image `{image}`")]
    ImageNotFound {
        /// The image.
        image: String,
    },
    /// A folder to mount does not exist.
    #[error("cannot mount `{path}`: it does not exist")]
    MountSourceMissing {
        /// The folder.
        path: String,
    },
    /// `docker` did not understand the arguments, which means `runArgs`.
    #[error("the container's arguments are not valid: {message}")]
    BadArguments {
        /// The words of `docker`.
        message: String,
    },
    /// A port to publish is in use.
    #[error("a port that the container publishes is in use: {message}")]
    PortTaken {
        /// The engine's words, which name the port.
        message: String,
    },
    /// The first process could not be run, for instance in an image without a shell.
    #[error("the container's first process could not be run: {message}")]
    CannotRun {
        /// The runtime's words.
        message: String,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Engine {
    /// Makes a container and gives its id. It goes through the `docker` command, because a configuration may
    /// hold any argument of it and only itself reads them all as documented.
    pub async fn create_container(&self, spec: &ContainerSpec) -> Result<String, ContainerError> {
        let operation = format!("create the container `{}`", spec.name);
        let command = run_line::create_command(spec);
        let output = run_to_end(&*self.tools, command)
            .await
            .map_err(|source| Self::tool_failed(&operation, source))?;
        if output.code == 0 {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(self.create_error(spec, &operation, message))
    }

    /// Starts a container. One that runs already is fine.
    pub async fn start_container(&self, container: &str) -> Result<(), ContainerError> {
        let operation = format!("start the container `{container}`");
        let done = self.api(&operation)?.start_container(container, None::<StartContainerOptions>).await;
        done.map_err(|error| start_error(self.failed(&operation, error)))
    }

    /// Asks a container to stop and kills it after `grace`. One that is stopped or gone is fine.
    pub async fn stop_container(&self, container: &str, grace: Duration) -> Result<(), EngineError> {
        let operation = format!("stop the container `{container}`");
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let done = self.api(&operation)?.stop_container(container, Some(options)).await;
        match done.map_err(|error| self.failed(&operation, error)) {
            Err(error) if !error.is_not_found() && !error.is_conflict() => return Err(error),
            _ => {}
        }
        // The engine answers a moment before its lists know. It holds the container's lock until they do,
        // and looking at the container waits for that lock.
        self.container(container).await.map(drop)
    }

    /// Kills and removes a container with its anonymous volumes; named volumes stay. One that is gone or
    /// being removed is fine.
    pub async fn remove_container(&self, container: &str) -> Result<(), EngineError> {
        let operation = format!("remove the container `{container}`");
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let done = self.api(&operation)?.remove_container(container, Some(options)).await;
        match done.map_err(|error| self.failed(&operation, error)) {
            Err(error) if !error.is_not_found() && !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }

    /// Lists the containers, stopped ones too, that carry all these labels (`key` or `key=value`).
    pub async fn find_containers(&self, labels: &[String]) -> Result<Vec<ContainerSummary>, EngineError> {
        self.list_containers(true, &[("label", labels.to_vec())]).await
    }

    /// A container at this moment; `None` when there is none of that name or id.
    pub async fn container(&self, container: &str) -> Result<Option<ContainerState>, EngineError> {
        let operation = format!("look at the container `{container}`");
        let found = self.api(&operation)?.inspect_container(container, None::<InspectContainerOptions>).await;
        let found = absent_is_none(found.map_err(|error| self.failed(&operation, error)))?;
        Ok(found.map(container_state))
    }

    /// What the engine knows of a volume; `None` when there is none of that name.
    pub async fn volume(&self, name: &str) -> Result<Option<VolumeFacts>, EngineError> {
        let operation = format!("look at the volume `{name}`");
        let found = self.api(&operation)?.inspect_volume(name).await;
        let found = absent_is_none(found.map_err(|error| self.failed(&operation, error)))?;
        Ok(found.map(|said| VolumeFacts { driver: said.driver, options: said.options.into_iter().collect() }))
    }

    /// The folder of the engine's host that a volume's content is in; `None` when there is no volume of that name.
    pub async fn volume_folder(&self, name: &str) -> Result<Option<String>, EngineError> {
        let operation = format!("look at the volume `{name}`");
        let found = self.api(&operation)?.inspect_volume(name).await;
        let found = absent_is_none(found.map_err(|error| self.failed(&operation, error)))?;
        Ok(found.map(|said| said.mountpoint))
    }

    /// All ports that running containers publish, whoever made them.
    pub async fn published_ports(&self) -> Result<Vec<PublishedPort>, EngineError> {
        let running = self.list_containers(false, &[]).await?;
        let mut ports: Vec<_> = running.into_iter().flat_map(|container| container.ports).collect();
        ports.sort();
        Ok(ports)
    }

    /// Sorts what `docker create` said.
    fn create_error(&self, spec: &ContainerSpec, operation: &str, message: String) -> ContainerError {
        let message = message.strip_prefix("docker: ").unwrap_or(&message).to_owned();
        if message.contains("is already in use by container") {
            return ContainerError::NameTaken { name: spec.name.clone() };
        }
        if message.contains("No such image") {
            return ContainerError::ImageNotFound { image: spec.image.clone() };
        }
        if let Some((_, path)) = message.split_once("bind source path does not exist: ") {
            let path = path.lines().next().unwrap_or(path).trim_end_matches('.').to_owned();
            return ContainerError::MountSourceMissing { path };
        }
        let answered = message.contains("Error response from daemon");
        if !answered && !message.contains("Cannot connect to the Docker daemon") {
            // Everything the command says by itself, it says about its arguments.
            return ContainerError::BadArguments { message };
        }
        self.tool_said(operation, message).into()
    }

    async fn list_containers(
        &self,
        stopped_too: bool,
        wanted: &[(&str, Vec<String>)],
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let operation = "list the containers";
        let options = ListContainersOptionsBuilder::new().all(stopped_too).filters(&filters(wanted)).build();
        let found = self.api(operation)?.list_containers(Some(options)).await;
        Ok(found.map_err(|error| self.failed(operation, error))?.into_iter().map(container_summary).collect())
    }
}

fn container_summary(said: ApiSummary) -> ContainerSummary {
    let id = said.id.unwrap_or_default();
    let names = said.names.unwrap_or_default();
    let ports = said.ports.unwrap_or_default();
    ContainerSummary {
        name: names.first().map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default(),
        image: said.image.unwrap_or_default(),
        running: said.state.is_some_and(|state| state.as_ref() == "running"),
        removing: said.state.is_some_and(|state| state.as_ref() == "removing"),
        created: said.created.unwrap_or_default(),
        labels: said.labels.unwrap_or_default().into_iter().collect(),
        ports: ports.into_iter().filter_map(|port| published_port(&id, port)).collect(),
        id,
    }
}

fn published_port(container: &str, said: PortSummary) -> Option<PublishedPort> {
    Some(PublishedPort {
        container: container.to_owned(),
        host_address: said.ip?,
        host_port: said.public_port?,
        container_port: said.private_port,
        protocol: said.typ.map(|kind| kind.as_ref().to_owned()).unwrap_or_default(),
    })
}

fn container_state(said: ContainerInspectResponse) -> ContainerState {
    let state = said.state.unwrap_or_default();
    let config = said.config.unwrap_or_default();
    let network = said.network_settings.unwrap_or_default();
    let running = state.running.unwrap_or(false);
    let id = said.id.unwrap_or_default();
    let mut ports = Vec::new();
    for (port, bindings) in network.ports.unwrap_or_default() {
        let (number, protocol) = port.split_once('/').unwrap_or((&port, "tcp"));
        for binding in bindings.unwrap_or_default() {
            let host_port = binding.host_port.and_then(|port| port.parse().ok());
            if let (Ok(container_port), Some(host_port)) = (number.parse(), host_port) {
                ports.push(PublishedPort {
                    container: id.clone(),
                    host_address: binding.host_ip.unwrap_or_default(),
                    host_port,
                    container_port,
                    protocol: protocol.to_owned(),
                });
            }
        }
    }
    ports.sort();
    let addresses = network.networks.unwrap_or_default().into_iter().filter_map(|(name, endpoint)| {
        Some((name, endpoint.ip_address.filter(|address| !address.is_empty())?))
    });
    // Only what was asked for tells of parts of volumes.
    let asked = said.host_config.and_then(|asked| asked.mounts).unwrap_or_default();
    let below: BTreeMap<String, String> = asked
        .into_iter()
        .filter_map(|mount| Some((mount.target?, mount.volume_options?.subpath.filter(|it| !it.is_empty())?)))
        .collect();
    let mounts = said.mounts.unwrap_or_default().into_iter().map(|mount| {
        let kind = match mount.typ.as_deref().unwrap_or_default() {
            "bind" => MountedKind::Bind,
            "volume" => MountedKind::Volume,
            "tmpfs" => MountedKind::Tmpfs,
            other => MountedKind::Other(other.to_owned()),
        };
        MountedAt {
            source: if kind == MountedKind::Volume { mount.name } else { mount.source }.unwrap_or_default(),
            part: mount.destination.as_ref().and_then(|target| below.get(target)).cloned(),
            target: mount.destination.unwrap_or_default(),
            read_only: !mount.rw.unwrap_or(true),
            propagation: mount.propagation.unwrap_or_default(),
            kind,
        }
    });
    // The engine writes the year 1 for "never", and keeps the status of the last run while a new one goes on.
    let started_at = state.started_at.filter(|moment| !moment.starts_with("0001-"));
    ContainerState {
        name: said.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image_id: said.image.unwrap_or_default(),
        image: config.image.unwrap_or_default(),
        created_at: said.created,
        running,
        healthy: state.health.and_then(|health| match health.status {
            Some(HealthStatusEnum::HEALTHY) => Some(true),
            Some(HealthStatusEnum::UNHEALTHY) => Some(false),
            _ => None,
        }),
        exit_code: state.exit_code.filter(|_| !running && started_at.is_some()),
        started_at,
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0),
        user: config.user.unwrap_or_default(),
        env: config.env.unwrap_or_default().iter().map(|pair| split_variable(pair)).collect(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        addresses: addresses.collect(),
        ports,
        mounts: mounts.collect(),
        id,
    }
}

/// Sorts a refused start.
fn start_error(error: EngineError) -> ContainerError {
    let EngineError::Refused { message, .. } = &error else { return error.into() };
    let message = message.clone();
    if message.contains("port is already allocated") || message.contains("address already in use") {
        ContainerError::PortTaken { message }
    } else if message.contains("OCI runtime create failed") || message.contains("failed to create task") {
        ContainerError::CannotRun { message }
    } else {
        error.into()
    }
}
