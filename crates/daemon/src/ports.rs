//! Ports on this computer's loopback that lead into containers.
//!
//! Two kinds, in one table so that they never fight over a port: those an environment forwards (any port that a
//! container listens on, also on its own loopback), and those that containers publish with `docker run -p`. The
//! listeners live in this process; after its restart they are opened again from what is wanted.

mod holder;
mod listener;
mod published;
mod refused;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{EnvironmentId, PortProtocol, PortStatus, Problem, ProblemCode};
use tokio::sync::watch;

use self::listener::{Listener, Target};
use self::refused::is_privileged;
use crate::machine::MachineHost;
use crate::store::Store;

/// How many ports above the wanted one are tried before any free one is taken.
const NEAR: u16 = 50;

/// Ports below this need a privilege on most systems.
const FIRST_FREE: u16 = 1024;

/// Where the search begins for such a port: 80 becomes 8080.
const UNPRIVILEGED_OFFSET: u16 = 8000;

/// A port that an environment wants on this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPort {
    /// The compose service it belongs to; absent for the main container.
    pub service: Option<String>,
    /// Port in the container.
    pub container_port: u16,
    /// The port on this computer that is tried first.
    pub host_port: u16,
    /// Whether another port will not do.
    pub require_local: bool,
    /// For people.
    pub label: Option<String>,
    /// How clients speak to it.
    pub protocol: PortProtocol,
    /// Id of the container.
    pub container: String,
    /// The container's first process, as the guest numbers it: its network is where the port is.
    pub pid: i32,
}

/// All open ports. Clones share them.
#[derive(Clone)]
pub struct Ports {
    inner: Arc<Inner>,
}

struct Inner {
    machine: MachineHost,
    store: Store,
    table: Mutex<Table>,
    /// Published ports that are not open on this computer, by the id of the container.
    troubles: watch::Sender<BTreeMap<String, Vec<Problem>>>,
}

#[derive(Default)]
struct Table {
    forwards: BTreeMap<EnvironmentId, Vec<Forward>>,
    published: BTreeMap<u16, published::Publication>,
    /// The numbers that forwarded ports had last: bookmarks stay good over a restart.
    earlier: BTreeMap<EnvironmentId, EarlierPorts>,
}

/// Host ports by service and port in the container.
type EarlierPorts = BTreeMap<(Option<String>, u16), u16>;

struct Forward {
    wanted: WantedPort,
    listener: Listener,
    target: watch::Sender<Target>,
    /// Why the wanted port was not to be had, where another is open.
    refused: Option<io::ErrorKind>,
}

impl Forward {
    fn is_for(&self, wanted: &WantedPort) -> bool {
        self.wanted.service == wanted.service && self.wanted.container_port == wanted.container_port
    }

    /// Whether what is open will do for what is wanted now.
    fn satisfies(&self, wanted: &WantedPort) -> bool {
        self.is_for(wanted)
            && self.wanted.host_port == wanted.host_port
            && (!wanted.require_local || self.listener.port() == wanted.host_port)
    }
}

impl Ports {
    /// No open port yet. Published ports are followed from now on, for as long as the process lives.
    pub fn new(machine: MachineHost, store: Store) -> Self {
        // Read now: an environment whose ports are not open yet has none in its status soon.
        let environments = store.environments().unwrap_or_default();
        let earlier = environments.into_iter().map(|it| (it.id, numbers_of(&it.status.ports))).collect();
        let table = Mutex::new(Table { earlier, ..Table::default() });
        let ports =
            Self { inner: Arc::new(Inner { machine, store, table, troubles: watch::Sender::default() }) };
        tokio::spawn(published::follow(Arc::clone(&ports.inner)));
        ports
    }

    /// Opens exactly these ports for an environment; others of it are closed, and open ones stay open. Connections
    /// go to the process that is named now, also those of a port that was open before.
    ///
    /// The problems are of three kinds: [`ProblemCode::PortTaken`] and [`ProblemCode::PortPrivileged`] for a port that is
    /// not open, and [`ProblemCode::PortMoved`] for one that is open elsewhere.
    pub async fn set(&self, id: &EnvironmentId, wanted: Vec<WantedPort>) -> (Vec<PortStatus>, Vec<Problem>) {
        let earlier = self.lock().earlier.get(id).cloned().unwrap_or_default();
        let mut problems = Vec::new();
        let before = self.lock().forwards.remove(id).unwrap_or_default();
        let (mut kept, gone): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|forward| wanted.iter().any(|wanted| forward.satisfies(wanted)));
        for forward in gone {
            forward.listener.close().await;
        }
        let mut now: Vec<Forward> = Vec::new();
        let mut statuses = Vec::new();
        for wanted in wanted {
            if now.iter().any(|forward| forward.is_for(&wanted)) {
                continue;
            }
            let known = kept.iter().position(|forward| forward.satisfies(&wanted));
            let forward = match known {
                Some(at) => {
                    let mut forward = kept.swap_remove(at);
                    forward.target.send_replace(target_of(&wanted));
                    forward.wanted = wanted.clone();
                    Some(forward)
                }
                None => match self.open_one(&wanted, earlier.get(&key(&wanted)).copied()).await {
                    Ok(forward) => Some(forward),
                    Err(problem) => {
                        problems.push(problem);
                        None
                    }
                },
            };
            statuses.push(status(&wanted, forward.as_ref()));
            if let Some(forward) = forward {
                if forward.listener.port() != wanted.host_port {
                    problems.push(self.moved(&forward).await);
                }
                now.push(forward);
            }
        }
        let mut table = self.lock();
        table.earlier.entry(id.clone()).or_default().extend(numbers_of(&statuses));
        if !now.is_empty() {
            table.forwards.insert(id.clone(), now);
        }
        (statuses, problems)
    }

    /// Closes all ports of an environment and cuts their connections.
    pub async fn close(&self, id: &EnvironmentId) {
        let closed = self.lock().forwards.remove(id);
        for forward in closed.into_iter().flatten() {
            forward.listener.close().await;
        }
    }

    /// Why ports that a container publishes are not open on this computer.
    pub(crate) fn troubles_of(&self, container: &str) -> Vec<Problem> {
        self.inner.troubles.borrow().get(container).cloned().unwrap_or_default()
    }

    /// Tells when [`troubles_of`](Self::troubles_of) some container has changed.
    pub(crate) fn troubles_changed(&self) -> watch::Receiver<impl Sized> {
        self.inner.troubles.subscribe()
    }

    /// The open ports of an environment.
    pub fn open(&self, id: &EnvironmentId) -> Vec<PortStatus> {
        let table = self.lock();
        let forwards = table.forwards.get(id).map(Vec::as_slice).unwrap_or_default();
        forwards.iter().map(|forward| status(&forward.wanted, Some(forward))).collect()
    }

    async fn open_one(&self, wanted: &WantedPort, earlier: Option<u16>) -> Result<Forward, Problem> {
        let target = watch::Sender::new(target_of(wanted));
        let mut refused: Option<io::Error> = None;
        for port in candidates(wanted, earlier) {
            self.inner.make_way(port, wanted).await;
            match Listener::open(self.inner.machine.clone(), port, target.subscribe()).await {
                Ok(listener) => {
                    let refused = refused.map(|error| error.kind());
                    return Ok(Forward { wanted: wanted.clone(), listener, target, refused });
                }
                Err(error) => {
                    // What stands in the way of the wanted port is what people want to know.
                    refused.get_or_insert(error);
                }
            }
        }
        let error = refused.unwrap_or_else(|| io::ErrorKind::AddrInUse.into());
        let port = wanted.host_port;
        let what = format!("port {port} of this computer");
        if is_privileged(port, error.kind()) {
            let hint = format!(
                "take `requireLocalPort` away from port {} in devcontainer.json, and a port that needs none is used",
                wanted.container_port
            );
            return Err(refused::privileged(&what, port, &error).with_hint(hint));
        }
        let holder = self.inner.holder_of(port).await;
        let mut problem = refused::taken(&what, holder.as_deref(), &error);
        if wanted.require_local {
            problem = problem.with_hint(format!(
                "stop it, or take `requireLocalPort` away from port {} in devcontainer.json",
                wanted.container_port
            ));
        }
        Err(problem)
    }

    async fn moved(&self, forward: &Forward) -> Problem {
        let (port, to) = (forward.wanted.host_port, forward.listener.port());
        let is_privileged = forward.refused.is_some_and(|kind| is_privileged(port, kind));
        let reason = if is_privileged {
            "needs a privilege that Cove does not have".to_owned()
        } else {
            match self.inner.holder_of(port).await {
                Some(holder) => format!("is taken by {holder}"),
                None => "was taken when it was to be opened".to_owned(),
            }
        };
        let title = format!("port {port} of this computer {reason}; {to} is used instead");
        let problem = Problem::new(ProblemCode::PortMoved, title);
        if is_privileged { refused::with_ways(problem, port) } else { problem }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.inner.lock()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // Entries are put in and taken out whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a port away from a publication of the very port of a container that is to be forwarded: both lead to the
    /// same server, and a forward also reaches one on the container's own loopback.
    async fn make_way(&self, port: u16, wanted: &WantedPort) {
        let publication = {
            let mut table = self.lock();
            let same = table.published.get(&port).is_some_and(|it| {
                it.container == wanted.container && it.container_port == wanted.container_port
            });
            if same { table.published.remove(&port) } else { None }
        };
        if let Some(publication) = publication {
            publication.listener.close().await;
        }
    }

    /// Who holds a port, in words; `None` when that cannot be found out.
    async fn holder_of(&self, port: u16) -> Option<String> {
        if let Some(holder) = self.holder_among_ours(port) {
            return Some(holder);
        }
        // All processes of this computer are gone through.
        let holder = tokio::task::spawn_blocking(move || holder::of(port)).await.ok().flatten();
        holder.map(|holder| holder.to_string())
    }

    fn holder_among_ours(&self, port: u16) -> Option<String> {
        let table = self.lock();
        if let Some(publication) = table.published.get(&port) {
            return Some(format!("the container `{}`", publication.name));
        }
        let owner = table
            .forwards
            .iter()
            .find(|(_, forwards)| forwards.iter().any(|forward| forward.listener.port() == port));
        let (id, _) = owner?;
        let environment = self.store.environment(id).ok().flatten();
        let name = environment.map_or_else(|| id.to_string(), |found| found.metadata.name.to_string());
        Some(format!("the environment `{name}`"))
    }
}

fn numbers_of(ports: &[PortStatus]) -> EarlierPorts {
    ports
        .iter()
        .filter_map(|port| Some(((port.service.clone(), port.container_port), port.host_port?)))
        .collect()
}

fn target_of(wanted: &WantedPort) -> Target {
    Target { port: wanted.container_port, network_of: Some(wanted.pid) }
}

fn key(wanted: &WantedPort) -> (Option<String>, u16) {
    (wanted.service.clone(), wanted.container_port)
}

fn status(wanted: &WantedPort, forward: Option<&Forward>) -> PortStatus {
    PortStatus {
        service: wanted.service.clone(),
        container_port: wanted.container_port,
        host_port: forward.map(|forward| forward.listener.port()),
        label: wanted.label.clone(),
        protocol: wanted.protocol,
    }
}

/// Ports to try, in order: the wanted one, the one it had before, its neighbours, and any (0).
fn candidates(wanted: &WantedPort, earlier: Option<u16>) -> Vec<u16> {
    let first = wanted.host_port;
    if wanted.require_local {
        return vec![first];
    }
    let near = refused::instead_of(first);
    let mut ports = vec![first];
    ports.extend(earlier);
    ports.extend(near..=near.saturating_add(NEAR));
    ports.push(0);
    let mut seen = std::collections::BTreeSet::new();
    ports.retain(|port| seen.insert(*port));
    ports
}

#[cfg(test)]
mod tests;
