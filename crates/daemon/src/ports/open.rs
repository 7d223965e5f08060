//! Opens what is wanted: under its own number, or near it, telling who is in the way.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::PoisonError;
use std::time::Duration;

use api::{EnvironmentId, PortOrigin, PortStatus, Problem, ProblemCode, Transport};
use tokio::sync::watch;
use tokio::time::Instant;

use super::bind::patiently;
use super::dial::Target;
use super::listener::Listener;
use super::refused::{self, is_privileged};
use super::wanted::WantedPort;
use super::{Inner, PortKey, Table, holder, key_of};

/// How many ports above the wanted one are tried before any free one is taken.
const NEAR: u16 = 50;

/// How long it is known who holds a port: to find out costs a walk through all processes, and it is asked at each look.
const HOLDER_AGE: Duration = Duration::from_secs(10);

/// What is said where a configuration asks for a privilege.
const NEVER_ELEVATED: &str = "`elevateIfNeeded` asks for it, and Cove takes no privilege of this computer";

/// Who held a port when, in words.
pub(super) type Holders = BTreeMap<(u16, Transport), (Instant, Option<String>)>;

/// Ports of this computer that were not to be had for an environment.
struct Refusals {
    /// At the last look.
    before: BTreeSet<(u16, Transport)>,
    /// At this one.
    now: BTreeSet<(u16, Transport)>,
}

/// A port that is open for an environment.
pub(super) struct Forward {
    pub(super) wanted: WantedPort,
    pub(super) listener: Listener,
    target: watch::Sender<Target>,
    /// Why the wanted port was not to be had, where another is open.
    refused: Option<io::ErrorKind>,
    /// Since when nobody listens there.
    pub(super) silent_since: Option<Instant>,
    /// Whether clients were told that somebody listens.
    pub(super) told: bool,
}

impl Forward {
    /// Whether what is open will do for what is wanted now.
    fn satisfies(&self, wanted: &WantedPort) -> bool {
        self.wanted.is_same(wanted)
            && self.wanted.host_port == wanted.host_port
            && (!wanted.require_local || self.listener.port() == wanted.host_port)
    }

    pub(super) fn leads_to(&self, transport: Transport, container: &str, container_port: u16) -> bool {
        self.wanted.transport == transport
            && self.wanted.container == container
            && self.wanted.container_port == container_port
    }
}

impl Inner {
    /// Opens exactly these ports for an environment; others of it are closed, and open ones stay open. Connections
    /// go to the process that is named now, also those of a port that was open before.
    ///
    /// The problems are of three kinds: [`ProblemCode::PortTaken`] and [`ProblemCode::PortPrivileged`] for a port that is
    /// not open, and [`ProblemCode::PortMoved`] for one that is open elsewhere.
    pub(super) async fn set(
        &self,
        id: &EnvironmentId,
        wanted: Vec<WantedPort>,
    ) -> (Vec<PortStatus>, Vec<Problem>) {
        let (gone, earlier, promised, refused_before) = {
            let mut table = self.lock();
            let open = table.forwards.entry(id.clone()).or_default();
            let is_gone = |open: &mut Forward| !wanted.iter().any(|wanted| open.satisfies(wanted));
            let gone: Vec<Forward> = open.extract_if(.., is_gone).collect();
            let earlier = table.earlier.get(id).cloned().unwrap_or_default();
            (gone, earlier, table.promised(id), table.refused.remove(id).unwrap_or_default())
        };
        let mut refusals = Refusals { before: refused_before, now: BTreeSet::new() };
        for forward in gone {
            forward.listener.close().await;
        }
        let mut problems = Vec::new();
        for wanted in &wanted {
            if self.lock().keep(id, wanted) {
                continue;
            }
            let earlier = earlier.get(&key(wanted)).copied();
            let is_promised = promised.contains(&(wanted.host_port, wanted.transport));
            match self.open_one(wanted, earlier, is_promised, &mut refusals).await {
                Ok(forward) => self.lock().forwards.entry(id.clone()).or_default().push(forward),
                Err(problem) => problems.push(problem),
            }
        }
        // Where somebody is in the way is told for as long as that is so, of what a person named.
        let moved: Vec<Moved> = {
            let table = self.lock();
            let open = table.forwards.get(id).into_iter().flatten();
            let is_told = |open: &&Forward| open.wanted.origin != PortOrigin::Found;
            open.filter(is_told).filter_map(Moved::of).collect()
        };
        for moved in moved {
            problems.push(self.moved(&moved).await);
        }
        let mut table = self.lock();
        table.forwards.retain(|_, open| !open.is_empty());
        if !refusals.now.is_empty() {
            table.refused.insert(id.clone(), refusals.now);
        }
        table.wanted.insert(id.clone(), wanted);
        let statuses = self.statuses_in(&table, id);
        table.earlier.entry(id.clone()).or_default().extend(numbers_of(&statuses));
        (statuses, problems)
    }

    async fn open_one(
        &self,
        wanted: &WantedPort,
        earlier: Option<u16>,
        is_promised: bool,
        refusals: &mut Refusals,
    ) -> Result<Forward, Problem> {
        let target = watch::Sender::new(target_of(wanted));
        let mut refused: Option<io::Error> = None;
        for port in candidates(wanted, earlier, is_promised) {
            self.make_way(port, wanted).await;
            let open = || Listener::open(self.dialer.clone(), wanted.transport, port, target.subscribe());
            // A number that people know is not given up for somebody who has it for a moment. Who had it at the last look
            // has it for longer, and ports of other environments would wait along.
            let at = (port, wanted.transport);
            let is_known = port == wanted.host_port || Some(port) == earlier;
            let is_news = is_known && !refusals.before.contains(&at);
            let opened = if is_news && self.holder_among_ours(port, wanted.transport).is_none() {
                patiently(open).await
            } else {
                open().await
            };
            match opened {
                Ok(listener) => {
                    let refused = refused.map(|error| error.kind());
                    let (silent_since, told) = (None, false);
                    return Ok(Forward {
                        wanted: wanted.clone(),
                        listener,
                        target,
                        refused,
                        silent_since,
                        told,
                    });
                }
                Err(error) => {
                    refusals.now.insert(at);
                    // What stands in the way of the wanted port is what people want to know.
                    refused.get_or_insert(error);
                }
            }
        }
        let error = refused.unwrap_or_else(|| io::ErrorKind::AddrInUse.into());
        let port = wanted.host_port;
        let what = format!("port {port} of this computer");
        if is_privileged(port, error.kind()) {
            let mut problem = refused::privileged(&what, port, &error);
            if wanted.elevate {
                problem.causes.push(NEVER_ELEVATED.to_owned());
            }
            let hint = format!(
                "take `requireLocalPort` away from port {} in devcontainer.json, and a port that needs none is used",
                wanted.container_port
            );
            return Err(problem.with_hint(hint));
        }
        let holder = self.holder_of(port, wanted.transport).await;
        let mut problem = refused::taken(&what, holder.as_deref(), &error);
        if wanted.require_local {
            problem = problem.with_hint(format!(
                "stop it, or take `requireLocalPort` away from port {} in devcontainer.json",
                wanted.container_port
            ));
        }
        Err(problem)
    }

    async fn moved(&self, moved: &Moved) -> Problem {
        let Moved { port, to, transport, is_privileged, elevate } = *moved;
        let reason = if is_privileged {
            "needs a privilege that Cove does not have".to_owned()
        } else {
            match self.holder_of(port, transport).await {
                Some(holder) => format!("is taken by {holder}"),
                None => "was taken when it was to be opened".to_owned(),
            }
        };
        let title = format!("port {port} of this computer {reason}; {to} is used instead");
        let mut problem = Problem::new(ProblemCode::PortMoved, title);
        if is_privileged && elevate {
            problem.causes.push(NEVER_ELEVATED.to_owned());
        }
        if is_privileged { refused::with_ways(problem, port) } else { problem }
    }

    /// Takes a port away from a publication of the very port of a container that is to be forwarded: both lead to the
    /// same server, and a forward also reaches one on the container's own loopback.
    async fn make_way(&self, port: u16, wanted: &WantedPort) {
        let at = (port, wanted.transport);
        let publication = {
            let mut table = self.lock();
            let same = table.published.get(&at).is_some_and(|it| {
                it.container == wanted.container && it.container_port == wanted.container_port
            });
            if same { table.published.remove(&at) } else { None }
        };
        if let Some(publication) = publication {
            publication.listener.close().await;
        }
    }

    /// Who holds a port, in words; `None` when that cannot be found out.
    pub(super) async fn holder_of(&self, port: u16, transport: Transport) -> Option<String> {
        if let Some(holder) = self.holder_among_ours(port, transport) {
            return Some(holder);
        }
        let known =
            self.holders.lock().unwrap_or_else(PoisonError::into_inner).get(&(port, transport)).cloned();
        if let Some((_, holder)) = known.filter(|(at, _)| at.elapsed() < HOLDER_AGE) {
            return holder;
        }
        // All processes of this computer are gone through.
        let holder = tokio::task::spawn_blocking(move || holder::of(port, transport)).await.ok().flatten();
        let holder = holder.map(|holder| holder.to_string());
        let mut known = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| at.elapsed() < HOLDER_AGE);
        known.insert((port, transport), (Instant::now(), holder.clone()));
        holder
    }

    fn holder_among_ours(&self, port: u16, transport: Transport) -> Option<String> {
        let table = self.lock();
        if let Some(publication) = table.published.get(&(port, transport)) {
            return Some(format!("the container `{}`", publication.name));
        }
        let is_it = |open: &Forward| open.listener.port() == port && open.wanted.transport == transport;
        let (id, _) = table.forwards.iter().find(|(_, open)| open.iter().any(is_it))?;
        let environment = self.store.environment(id).ok().flatten();
        let name = environment.map_or_else(|| id.to_string(), |found| found.metadata.name.to_string());
        Some(format!("the environment `{name}`"))
    }

    /// The ports that were wanted last, as they are.
    pub(super) fn statuses_in(&self, table: &Table, id: &EnvironmentId) -> Vec<PortStatus> {
        let open = table.forwards.get(id).map(Vec::as_slice).unwrap_or_default();
        let wanted = table.wanted.get(id).into_iter().flatten();
        let status = |wanted: &WantedPort| {
            let forward = open.iter().find(|open| open.wanted.is_same(wanted));
            let status = wanted.status(forward.map(|forward| forward.listener.port()));
            PortStatus { address: self.address_of(table, id, wanted), ..status }
        };
        wanted.map(status).collect()
    }
}

impl Table {
    /// The numbers that other environments had last.
    fn promised(&self, id: &EnvironmentId) -> BTreeSet<(u16, Transport)> {
        let others = self.earlier.iter().filter(|(other, _)| *other != id);
        others
            .flat_map(|(_, numbers)| numbers)
            .map(|((_, _, transport), number)| (*number, *transport))
            .collect()
    }

    /// Leads an open port to what is wanted now, if it is the same; whether it is.
    fn keep(&mut self, id: &EnvironmentId, wanted: &WantedPort) -> bool {
        let mut open = self.forwards.get_mut(id).into_iter().flatten();
        let Some(forward) = open.find(|forward| forward.satisfies(wanted)) else { return false };
        forward.target.send_replace(target_of(wanted));
        forward.wanted = wanted.clone();
        true
    }
}

impl WantedPort {
    /// How it stands.
    pub(super) fn status(&self, host_port: Option<u16>) -> PortStatus {
        PortStatus {
            service: self.service.clone(),
            container_port: self.container_port,
            transport: self.transport,
            host_port,
            address: None,
            label: self.label.clone(),
            protocol: self.protocol,
            origin: self.origin,
            listening: self.listener.is_some(),
            waits: false,
            program: self.listener.as_ref().and_then(|program| program.name.clone()),
            on_listen: self.on_listen,
        }
    }
}

/// A port that is open elsewhere than it was wanted.
struct Moved {
    port: u16,
    to: u16,
    transport: Transport,
    is_privileged: bool,
    elevate: bool,
}

impl Moved {
    fn of(open: &Forward) -> Option<Self> {
        let (port, to) = (open.wanted.host_port, open.listener.port());
        (port != to).then_some(Self {
            port,
            to,
            transport: open.wanted.transport,
            is_privileged: open.refused.is_some_and(|kind| is_privileged(port, kind)),
            elevate: open.wanted.elevate,
        })
    }
}

fn target_of(wanted: &WantedPort) -> Target {
    Target::Container { id: wanted.container.clone(), port: wanted.container_port }
}

fn key(wanted: &WantedPort) -> PortKey {
    (wanted.service.clone(), wanted.container_port, wanted.transport)
}

/// The numbers that ports have on this computer.
pub(super) fn numbers_of(ports: &[PortStatus]) -> BTreeMap<PortKey, u16> {
    ports.iter().filter_map(|port| Some((key_of(port), port.host_port?))).collect()
}

/// Ports to try, in order: the wanted one, the one it had before, its neighbours, and any (0). Where another environment
/// had the wanted one, the earlier comes first: whoever starts first, each has its own again, and bookmarks stay true.
pub(super) fn candidates(wanted: &WantedPort, earlier: Option<u16>, is_promised: bool) -> Vec<u16> {
    let first = wanted.host_port;
    if wanted.require_local {
        return vec![first];
    }
    let near = refused::instead_of(first);
    let mut ports: Vec<u16> = earlier.filter(|_| is_promised).into_iter().collect();
    ports.push(first);
    ports.extend(earlier);
    ports.extend(near..=near.saturating_add(NEAR));
    ports.push(0);
    let mut seen = BTreeSet::new();
    ports.retain(|port| seen.insert(*port));
    ports
}
