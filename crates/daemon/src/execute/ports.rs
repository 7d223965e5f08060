//! Open the wanted ports on this computer.

use api::{PortProtocol, Problem, ProblemCode};
use devcontainer::{ForwardPort, PortAttributes, Protocol, Resolved};

use super::Turn;
use crate::observe;
use crate::ports::WantedPort;
use crate::reconcile::OpenPorts;

pub(super) async fn open(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let observation = turn.observation;
    let (Some(state), Some(resolved)) = (&observation.state, &observation.resolved) else { return Ok(()) };
    let (Some(run), Some(pid)) = (observe::run_of(state), state.pid) else { return Ok(()) };
    let engine = turn.parts.machine.engine();
    let (mut wanted, mut absent) = (Vec::new(), Vec::new());
    for port in &resolved.forward_ports {
        let (service, container, pid) = match &port.host {
            None => (None, &state.id, pid),
            Some(host) if host == "localhost" => (None, &state.id, pid),
            Some(host) => {
                let Some(service) = observation.services.iter().find(|service| service.name == *host) else {
                    let title = format!("`forwardPorts` names the service `{host}`, which does not run");
                    absent.push(Problem::new(ProblemCode::ServiceUnknown, title));
                    continue;
                };
                let other = engine
                    .container(&service.container)
                    .await
                    .map_err(|error| crate::problems::from_engine(&error))?;
                let Some(pid) = other.and_then(|other| other.pid) else { continue };
                (Some(host.clone()), &service.container, pid)
            }
        };
        wanted.push(WantedPort {
            service,
            container: container.clone(),
            pid: i32::try_from(pid).unwrap_or_default(),
            ..wanted_port(resolved, port)
        });
    }
    let (_, mut warnings) = turn.parts.ports.set(&turn.environment.id, wanted).await;
    warnings.append(&mut absent);
    turn.memory.ports = Some(OpenPorts { run, warnings });
    Ok(())
}

/// What the configuration says of a port, for no container yet.
fn wanted_port(resolved: &Resolved, port: &ForwardPort) -> WantedPort {
    let attributes: Option<PortAttributes> = resolved.attributes_of(port).cloned();
    let attributes = attributes.unwrap_or_default();
    WantedPort {
        service: None,
        container: String::new(),
        container_port: port.port,
        host_port: port.port,
        require_local: attributes.require_local_port.unwrap_or(false),
        label: attributes.label,
        protocol: match attributes.protocol {
            Some(Protocol::Http) => PortProtocol::Http,
            Some(Protocol::Https) => PortProtocol::Https,
            None => PortProtocol::Tcp,
        },
        pid: 0,
    }
}
