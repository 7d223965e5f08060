//! Ports that containers publish (`docker run -p`, compose `ports:`), on the loopback of this computer.
//!
//! Whoever made the container, the engine publishes its ports in the guest; the same ports are opened here. A
//! publication on all addresses means this computer's loopback and nothing more: what a container opens is not
//! shown to the network that this computer is in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::{ContainerEventKind, Engine, EngineError};
use futures::StreamExt;
use tokio::sync::watch;

use super::listener::{Listener, Target};
use super::{Inner, Table};
use crate::machine::MachineState;

/// Pause before the engine is asked again after it broke off.
const PAUSE: Duration = Duration::from_secs(1);

/// An open published port.
pub(super) struct Publication {
    /// Name of the container.
    pub(super) name: String,
    /// Port in the container.
    pub(super) container_port: u16,
    pub(super) listener: Listener,
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
            _ = state.wait_for(|state| *state != ready()) => {}
        }
        if !inner.machine.state().is_ready() {
            reconcile(&inner, BTreeMap::new()).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn ready() -> MachineState {
    MachineState { phase: api::MachinePhase::Running, engine: api::EngineState::Ready }
}

async fn follow_engine(inner: &Inner) -> Result<(), EngineError> {
    let engine = inner.machine.engine();
    // Events first, then the list: what changes in between is told twice rather than never.
    let mut events = engine.events(&[]).await?;
    reconcile(inner, wanted(&engine).await?).await;
    while let Some(event) = events.next().await {
        match event?.kind {
            ContainerEventKind::Started | ContainerEventKind::Died | ContainerEventKind::Removed => {
                reconcile(inner, wanted(&engine).await?).await;
            }
            ContainerEventKind::Created
            | ContainerEventKind::OutOfMemory
            | ContainerEventKind::Health { .. } => {}
        }
    }
    Ok(())
}

/// What should be open: host port to the container's name and its port.
async fn wanted(engine: &Engine) -> Result<BTreeMap<u16, (String, u16)>, EngineError> {
    let containers = engine.find_containers(&[]).await?;
    let mut wanted = BTreeMap::new();
    for container in containers.into_iter().filter(|container| container.running) {
        // Only TCP passes so far; the engine lists a port once for each address family.
        for port in container.ports.iter().filter(|port| port.protocol == "tcp" && port.host_port != 0) {
            wanted.entry(port.host_port).or_insert_with(|| (container.name.clone(), port.container_port));
        }
    }
    Ok(wanted)
}

async fn reconcile(inner: &Inner, wanted: BTreeMap<u16, (String, u16)>) {
    let closed: Vec<Publication> = {
        let mut table = inner.lock();
        let gone: Vec<u16> = table
            .published
            .iter()
            .filter(|(port, open)| wanted.get(port) != Some(&(open.name.clone(), open.container_port)))
            .map(|(port, _)| *port)
            .collect();
        gone.iter().filter_map(|port| table.published.remove(port)).collect()
    };
    for publication in closed {
        publication.listener.close().await;
    }
    for (port, (name, container_port)) in wanted {
        if is_open(&inner.lock(), port) {
            continue;
        }
        // In the guest's own network, where the engine listens for it.
        let (_, target) = watch::channel(Target { port, network_of: None });
        match Listener::open(inner.machine.clone(), port, target).await {
            Ok(listener) => {
                inner.lock().published.insert(port, Publication { name, container_port, listener });
            }
            Err(error) => {
                let holder = inner.holder_of(port).unwrap_or_else(|| "another program".to_owned());
                tracing::warn!(port, container = name, %error, "a published port is held by {holder}");
            }
        }
    }
    let open = inner.lock().published.iter().map(|(port, open)| (*port, open.name.clone())).collect();
    inner.machine.set_published_ports(open);
}

/// Whether the port leads into the machine already, as a publication or as a forward of an environment.
fn is_open(table: &Table, port: u16) -> bool {
    table.published.contains_key(&port)
        || table.forwards.values().flatten().any(|forward| forward.listener.port() == port)
}
