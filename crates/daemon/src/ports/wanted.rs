//! Which ports of an environment are to be open: a function of what was said of them and of what was seen.

use api::{PortAction, PortOrigin, PortProtocol, PortWish, Problem, ProblemCode, Transport};
use devcontainer::{ForwardPort, OnAutoForward, PortRules, Protocol, Resolved};
use protocol::agent::Listener;

use super::published::Known;

/// Most ports of an environment that are forwarded because a program listens there. Each costs descriptors of this
/// computer, and a container is not trusted with them.
const MOST_FOUND: usize = 64;

/// Longest name of a program that is shown, in characters.
const LONGEST_PROGRAM: usize = 40;

/// What holds for the ports of an environment while its container runs.
#[derive(Debug, Clone)]
pub struct EnvironmentPorts {
    /// Id of the main container.
    pub main: String,
    /// The compose project it belongs to.
    pub project: Option<String>,
    /// What the configuration forwards.
    pub forward: Vec<ForwardPort>,
    /// What it says about ports.
    pub rules: PortRules,
}

impl EnvironmentPorts {
    /// Those of a container with this configuration.
    pub fn new(main: String, project: Option<String>, resolved: &Resolved) -> Self {
        let rules = PortRules::new(&resolved.ports_attributes, resolved.other_ports_attributes.as_ref());
        Self { main, project, forward: resolved.forward_ports.clone(), rules }
    }

    /// What a container is to the environment; nothing if it belongs to others.
    pub(super) fn part<'a>(&self, known: &'a Known) -> Option<Part<'a>> {
        if known.id == self.main || known.beside.as_ref() == Some(&self.main) {
            return Some(Part::Main);
        }
        let is_of_project = self.project.is_some() && known.project == self.project;
        known.service.as_deref().filter(|_| is_of_project).map(Part::Service)
    }
}

/// What a container is to an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part<'a> {
    /// The one that a person works in.
    Main,
    /// Of another service of its compose project.
    Service(&'a str),
}

impl Part<'_> {
    /// The service, where it is another.
    pub(super) fn service(self) -> Option<String> {
        match self {
            Self::Main => None,
            Self::Service(name) => Some(name.to_owned()),
        }
    }
}

/// A port that an environment wants on this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPort {
    /// The compose service it belongs to; absent for the main container.
    pub service: Option<String>,
    /// Port in the container.
    pub container_port: u16,
    /// What it carries.
    pub transport: Transport,
    /// The port on this computer that is tried first.
    pub host_port: u16,
    /// Whether another port will not do.
    pub require_local: bool,
    /// Whether the configuration asks for the privilege that the port may need.
    pub elevate: bool,
    /// For people.
    pub label: Option<String>,
    /// How clients speak to it.
    pub protocol: PortProtocol,
    /// Why it is wanted.
    pub origin: PortOrigin,
    /// What clients do when a program begins to listen.
    pub on_listen: PortAction,
    /// The program that listens; `None` while none does.
    pub listener: Option<Program>,
    /// Id of the container.
    pub container: String,
}

/// A program that listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Its name, where known.
    pub name: Option<String>,
}

impl WantedPort {
    /// Whether both are the same port inside.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.service == other.service
            && self.container_port == other.container_port
            && self.transport == other.transport
    }
}

/// What there is to decide with.
pub(super) struct Seen<'a> {
    /// The containers that run.
    pub(super) containers: &'a [Known],
    /// What listens in the guest.
    pub(super) listeners: &'a [Listener],
}

/// The wanted ports, in a lasting order, and what a person should know of them.
pub(super) fn ports(
    of: &EnvironmentPorts,
    wishes: &[PortWish],
    seen: &Seen<'_>,
) -> (Vec<WantedPort>, Vec<Problem>) {
    let ours: Vec<(Part<'_>, &Known)> =
        seen.containers.iter().filter_map(|known| Some((of.part(known)?, known))).collect();
    let (mut wanted, mut problems): (Vec<WantedPort>, Vec<Problem>) = (Vec::new(), Vec::new());
    let mut want = |port: WantedPort| {
        if !wanted.iter().any(|other| other.is_same(&port)) {
            wanted.push(port);
        }
    };
    let configured = of.forward.iter().map(|port| (PortOrigin::Configured, wish_of(port)));
    let asked = wishes.iter().map(|wish| (PortOrigin::Asked, wish.clone()));
    // What a person asked for comes first: it may move what the configuration says.
    for (origin, wish) in asked.chain(configured) {
        let Some((service, containers)) = containers_of(wish.service.as_deref(), &ours) else {
            let name = wish.service.as_deref().unwrap_or_default();
            let who =
                if origin == PortOrigin::Asked { "a port that was asked for" } else { "`forwardPorts`" };
            let title = format!("{who} names the service `{name}`, which does not run");
            problems.push(Problem::new(ProblemCode::ServiceUnknown, title));
            continue;
        };
        want(wanted_port(of, origin, service, &wish, &containers, seen.listeners));
    }
    let mut found: Vec<(Part<'_>, &Known, &Listener)> =
        seen.listeners
            .iter()
            .filter_map(|listener| {
                let id = listener.container.as_deref()?;
                let (part, known) = ours.iter().find(|(_, known)| known.id == id)?;
                // What is published leads there already.
                let is_published = known.ports.iter().any(|it| {
                    it.protocol == "tcp" && it.container_port == listener.port && it.host_port != 0
                });
                (!is_published).then_some((*part, *known, listener))
            })
            .collect();
    found.sort_by_key(|(part, _, listener)| (*part, listener.port));
    found.dedup_by_key(|(part, _, listener)| (*part, listener.port));
    for (part, known, listener) in found.into_iter().take(MOST_FOUND) {
        let wish = PortWish {
            service: part.service(),
            container_port: listener.port,
            transport: Transport::Tcp,
            host_port: None,
        };
        let port = wanted_port(of, PortOrigin::Found, wish.service.clone(), &wish, &[known], seen.listeners);
        if port.on_listen != PortAction::Ignore {
            want(port);
        }
    }
    problems.extend(of.rules.refused().iter().map(|refused| {
        let title = format!("the key `{}` of `portsAttributes` names no ports", refused.key);
        let mut problem = Problem::new(ProblemCode::PortKeyRefused, title);
        problem.causes.push(refused.reason.clone());
        problem
    }));
    (wanted, problems)
}

fn wish_of(port: &ForwardPort) -> PortWish {
    PortWish {
        service: port.host.clone(),
        container_port: port.port,
        transport: Transport::Tcp,
        host_port: None,
    }
}

/// The containers of a service, and its name where it is not the main container's own. A service that was scaled has
/// several.
fn containers_of<'a>(
    service: Option<&str>,
    ours: &[(Part<'_>, &'a Known)],
) -> Option<(Option<String>, Vec<&'a Known>)> {
    let all = |wanted: Part<'_>| -> Vec<&'a Known> {
        let (beside, own): (Vec<&Known>, Vec<&Known>) = ours
            .iter()
            .filter(|(part, _)| *part == wanted)
            .map(|(_, known)| *known)
            .partition(|known| known.beside.is_some());
        own.into_iter().chain(beside).collect()
    };
    let main = all(Part::Main);
    let is_main = |name: &str| main.iter().any(|main| main.service.as_deref() == Some(name));
    let (name, containers) = match service {
        Some(name) if !is_main(name) => (Some(name.to_owned()), all(Part::Service(name))),
        Some(_) | None => (None, main),
    };
    (!containers.is_empty()).then_some((name, containers))
}

fn wanted_port(
    of: &EnvironmentPorts,
    origin: PortOrigin,
    service: Option<String>,
    wish: &PortWish,
    containers: &[&Known],
    listeners: &[Listener],
) -> WantedPort {
    let port = wish.container_port;
    let is_it = |listener: &&Listener| {
        let id = listener.container.as_deref();
        wish.transport == Transport::Tcp
            && listener.port == port
            && containers.iter().any(|known| id == Some(known.id.as_str()))
    };
    let listener = listeners.iter().find(is_it);
    // Of several it is one that has a listener.
    let id = listener.and_then(|it| it.container.clone()).or_else(|| Some(containers.first()?.id.clone()));
    // What stands beside the main one is reached as that, whose network it is in.
    let is_beside = containers.iter().any(|known| Some(&known.id) == id.as_ref() && known.beside.is_some());
    let id = if is_beside { Some(of.main.clone()) } else { id };
    let command = listener.and_then(|it| it.command.as_deref());
    let attributes = of.rules.attributes(&ForwardPort { host: service.clone(), port }, command);
    WantedPort {
        service,
        container_port: port,
        transport: wish.transport,
        host_port: wish.host_port.unwrap_or(port),
        require_local: attributes.require_local_port.unwrap_or(false),
        elevate: attributes.elevate_if_needed.unwrap_or(false),
        label: attributes.label,
        protocol: match attributes.protocol {
            Some(Protocol::Http) => PortProtocol::Http,
            Some(Protocol::Https) => PortProtocol::Https,
            None => PortProtocol::Tcp,
        },
        origin,
        on_listen: match attributes.on_auto_forward {
            None | Some(OnAutoForward::Notify) => PortAction::Notify,
            Some(OnAutoForward::OpenBrowser) => PortAction::OpenBrowser,
            Some(OnAutoForward::OpenBrowserOnce) => PortAction::OpenBrowserOnce,
            Some(OnAutoForward::OpenPreview) => PortAction::OpenPreview,
            Some(OnAutoForward::Silent) => PortAction::Silent,
            Some(OnAutoForward::Ignore) => PortAction::Ignore,
        },
        listener: listener.map(|_| Program { name: command.and_then(program) }),
        container: id.unwrap_or_default(),
    }
}

/// The name of a program, from its command line: the rest may hold secrets.
fn program(command: &str) -> Option<String> {
    let path = command.split(' ').next()?.trim_end_matches(':');
    let name: String = path.rsplit('/').next()?.chars().take(LONGEST_PROGRAM).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests;
