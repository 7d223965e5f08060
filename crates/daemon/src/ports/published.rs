//! Ports that containers publish (`docker run -p`, compose `ports:`), on the loopback of this computer.
//!
//! Whoever made the container, the engine publishes its ports in the guest; the same ports are opened here. A
//! publication on all addresses means this computer's loopback and nothing more: what a container opens is not
//! shown to the network that this computer is in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{EngineState, MachinePhase, Problem, ProblemCode, Transport};
use engine::{ContainerEventKind, Engine, EngineError, PublishedPort};
use futures::StreamExt;
use tokio::sync::watch;

use super::dial::Target;
use super::listener::Listener;
use super::refused::{self, is_privileged};
use super::{Inner, Table};
use crate::automations::sidecar;
use crate::machine::MachineState;

/// Pause before the engine is asked again after it broke off.
const PAUSE: Duration = Duration::from_secs(1);

/// An open published port.
pub(super) struct Publication {
    /// Id of the container.
    pub(super) container: String,
    /// Name of the container.
    pub(super) name: String,
    /// Port in the container.
    pub(super) container_port: u16,
    pub(super) listener: Listener,
    /// Where its connections go.
    pub(super) target: watch::Sender<Target>,
}

/// Keeps the open ports equal to the published ones, for as long as the process lives.
pub(super) async fn follow(inner: Arc<Inner>) {
    let mut state = inner.machine.changed();
    loop {
        // The sender lives in `inner.machine`, so these waits end with a change and with nothing else.
        if state.wait_for(|state| state.is_ready()).await.is_err() {
            return;
        }
        tokio::select! {
            outcome = follow_engine(&inner) => if let Err(error) = outcome {
                tracing::debug!(%error, "the engine's events broke off");
            },
            _ = state.wait_for(|state| !is_held(*state)) => {}
        }
        if !is_held(inner.machine.state()) {
            reconcile(&inner, Published::default()).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether ports stay open: a machine that is paused has them still, and whoever connects meanwhile is refused.
fn is_held(state: MachineState) -> bool {
    let on = matches!(state.phase, MachinePhase::Running | MachinePhase::Paused);
    on && state.engine == EngineState::Ready
}

async fn follow_engine(inner: &Inner) -> Result<(), EngineError> {
    let engine = inner.machine.engine();
    // Events first, then the list: what changes in between is told twice rather than never.
    let mut events = engine.events(&[]).await?;
    reconcile(inner, published(&engine).await?).await;
    while let Some(event) = events.next().await {
        match event?.kind {
            ContainerEventKind::Started | ContainerEventKind::Died | ContainerEventKind::Removed => {
                reconcile(inner, published(&engine).await?).await;
            }
            ContainerEventKind::Created
            | ContainerEventKind::OutOfMemory
            | ContainerEventKind::Health { .. } => {}
        }
    }
    Ok(())
}

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// Its id.
    pub(super) id: String,
    /// The compose project it belongs to.
    pub(super) project: Option<String>,
    /// Its service there.
    pub(super) service: Option<String>,
    /// The container that it stands beside, for one task or service of its, in the same network.
    pub(super) beside: Option<String>,
    /// What it publishes.
    pub(super) ports: Vec<PublishedPort>,
}

/// What containers publish.
#[derive(Default)]
pub(super) struct Published {
    /// What should be open, by the port on this computer.
    pub(super) wanted: BTreeMap<(u16, Transport), WantedPublication>,
    /// What cannot be, by the container's id.
    pub(super) troubles: BTreeMap<String, Vec<Problem>>,
    /// The containers that run, oldest first.
    pub(super) containers: Vec<Known>,
}

/// A published port.
pub(super) struct WantedPublication {
    /// Id of the container.
    pub(super) container: String,
    /// Its name.
    pub(super) name: String,
    /// Port in it.
    pub(super) container_port: u16,
}

async fn published(engine: &Engine) -> Result<Published, EngineError> {
    let mut containers = engine.find_containers(&[]).await?;
    containers.retain(|container| container.running);
    containers.sort_by_key(|container| container.created);
    let mut published = Published::default();
    for container in containers {
        // The engine lists a port once for each address family.
        for port in container.ports.iter().filter(|port| port.host_port != 0) {
            let transport = match port.protocol.as_str() {
                "tcp" => Transport::Tcp,
                "udp" => Transport::Udp,
                other => {
                    let title = format!(
                        "port {} is published for {}, which does not reach this computer",
                        port.host_port,
                        other.to_uppercase()
                    );
                    let problem = Problem::new(ProblemCode::PortNotForwarded, title);
                    let troubles = published.troubles.entry(container.id.clone()).or_default();
                    if !troubles.contains(&problem) {
                        troubles.push(problem);
                    }
                    continue;
                }
            };
            published.wanted.entry((port.host_port, transport)).or_insert_with(|| WantedPublication {
                container: container.id.clone(),
                name: container.name.clone(),
                container_port: port.container_port,
            });
        }
        let is_lasting = container.labels.get("com.docker.compose.oneoff").is_none_or(|it| it != "True");
        let label = |name: &str| container.labels.get(name).filter(|_| is_lasting).cloned();
        published.containers.push(Known {
            project: label("com.docker.compose.project"),
            service: label("com.docker.compose.service"),
            beside: sidecar::main_of(&container.labels).map(str::to_owned),
            id: container.id,
            ports: container.ports,
        });
    }
    Ok(published)
}

pub(super) async fn reconcile(inner: &Inner, published: Published) {
    let Published { wanted, mut troubles, containers } = published;
    inner.containers.send_if_modified(|known| {
        let is_news = **known != containers;
        *known = Arc::new(containers);
        is_news
    });
    let closed: Vec<Publication> = {
        let mut table = inner.lock();
        let gone: Vec<(u16, Transport)> = table
            .published
            .iter()
            .filter(|(port, open)| {
                wanted.get(port).is_none_or(|wanted| {
                    (&wanted.name, wanted.container_port) != (&open.name, open.container_port)
                })
            })
            .map(|(port, _)| *port)
            .collect();
        let closed = gone.iter().filter_map(|port| table.published.remove(port)).collect();
        // One that was made anew under its name keeps what is open for it.
        for (port, open) in &mut table.published {
            if let Some(wanted) = wanted.get(port) {
                open.container.clone_from(&wanted.container);
                open.target.send_replace(Target::Guest { port: port.0, container: wanted.container.clone() });
            }
        }
        closed
    };
    for publication in closed {
        publication.listener.close().await;
    }
    for ((port, transport), WantedPublication { container, name, container_port }) in wanted {
        if is_open(&inner.lock(), (port, transport), &container, container_port) {
            continue;
        }
        // In the guest's own network, where the engine listens for it.
        let target = watch::Sender::new(Target::Guest { port, container: container.clone() });
        match Listener::open(inner.dialer.clone(), transport, port, target.subscribe()).await {
            Ok(listener) => {
                let publication = Publication { container, name, container_port, listener, target };
                inner.lock().published.insert((port, transport), publication);
            }
            Err(error) => {
                let what = format!("the published port {port}");
                let problem = if is_privileged(port, error.kind()) {
                    let near = refused::instead_of(port);
                    refused::privileged(&what, port, &error).with_hint(format!(
                        "publish it under a port that needs none, for instance `-p {near}:{container_port}`"
                    ))
                } else {
                    refused::taken(&what, inner.holder_of(port, transport).await.as_deref(), &error)
                        .with_hint(
                            "free it, then stop and start the container, or publish it under another number",
                        )
                };
                tracing::warn!(container = name, %error, "{}", problem.title);
                troubles.entry(container).or_default().push(problem);
            }
        }
    }
    let open = inner.lock().published.iter().map(|((port, _), open)| (*port, open.name.clone())).collect();
    inner.machine.set_published_ports(open);
    inner.troubles.send_if_modified(|known| {
        let is_news = *known != troubles;
        *known = troubles;
        is_news
    });
}

/// Whether the port leads into the container already, as a publication or as a forward of an environment.
fn is_open(table: &Table, at: (u16, Transport), container: &str, container_port: u16) -> bool {
    let mut forwards = table.forwards.values().flatten();
    table.published.contains_key(&at)
        || forwards.any(|it| it.listener.port() == at.0 && it.leads_to(at.1, container, container_port))
}
