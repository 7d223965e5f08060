//! Ports on this computer's loopback that lead into containers.
//!
//! Two kinds, in one table so that they never fight over a port: those of an environment (named by its configuration,
//! asked for by a person, or found because a program of one of its containers listens, also on its own loopback), and
//! those that containers publish with `docker run -p`. The listeners live in this process; after its restart they are
//! opened again from what is wanted.
//!
//! ```text
//! guest's listeners (seen) --+
//! containers that run -------+--> wanted::ports, a function --> open --> status, events
//! configuration, wishes -----+    (keep, beside the steps)        \---> names: <port>.<environment>.cove.localhost
//! ```

mod bind;
mod datagrams;
mod dial;
mod doorbell;
mod holder;
mod keep;
mod listener;
mod names;
mod open;
mod published;
mod refused;
mod seen;
#[cfg(test)]
pub(crate) mod testing;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use api::{Environment, EnvironmentId, Https, Name, PortOrigin, PortStatus, Problem, Transport};
use protocol::agent::Listener;
use tokio::sync::{Notify, watch};

pub(crate) use self::bind::patiently;
pub use self::names::{AuthorityPlace, Names, NamesSettings};
pub use self::wanted::{EnvironmentPorts, Program, WantedPort};

use self::dial::Dialer;
use self::doorbell::Doorbells;
use self::open::{Forward, numbers_of};
use self::published::Known;
use crate::machine::MachineHost;
use crate::store::Store;

/// Ports below this need a privilege on most systems.
const FIRST_FREE: u16 = 1024;

/// Where the search begins for such a port: 80 becomes 8080.
const UNPRIVILEGED_OFFSET: u16 = 8000;

/// A port inside: its service, its number, what it carries.
type PortKey = (Option<String>, u16, Transport);

fn key_of(port: &PortStatus) -> PortKey {
    (port.service.clone(), port.container_port, port.transport)
}

/// All open ports. Clones share them.
#[derive(Clone)]
pub struct Ports {
    inner: Arc<Inner>,
}

struct Inner {
    this: Weak<Inner>,
    machine: MachineHost,
    store: Store,
    dialer: Dialer,
    names: Names,
    table: Mutex<Table>,
    /// Who held a port that was not to be had.
    holders: Mutex<open::Holders>,
    /// Held while ports of an environment are opened or closed.
    applying: tokio::sync::Mutex<()>,
    /// What listens in the guest.
    listeners: watch::Receiver<Arc<Vec<Listener>>>,
    /// The containers that run.
    containers: watch::Sender<Arc<Vec<Known>>>,
    /// How many environments have ports: while there are some, the guest is followed.
    interest: watch::Sender<usize>,
    /// Told when a person wishes other ports.
    look: Notify,
    /// Counts changes that the tasks of environments should see.
    changed: watch::Sender<u64>,
    /// Published ports that are not open on this computer, by the id of the container.
    troubles: watch::Sender<BTreeMap<String, Vec<Problem>>>,
}

#[derive(Default)]
struct Table {
    /// What was said of the ports of environments that run.
    environments: BTreeMap<EnvironmentId, EnvironmentPorts>,
    names: BTreeMap<EnvironmentId, Name>,
    /// What was wanted last.
    wanted: BTreeMap<EnvironmentId, Vec<WantedPort>>,
    forwards: BTreeMap<EnvironmentId, Vec<Forward>>,
    /// Ports of this computer that were not to be had at the last look.
    refused: BTreeMap<EnvironmentId, BTreeSet<(u16, Transport)>>,
    /// Ports of environments that start when somebody comes.
    doorbells: BTreeMap<EnvironmentId, Doorbells>,
    /// What a person should know of them.
    problems: BTreeMap<EnvironmentId, Vec<Problem>>,
    published: BTreeMap<(u16, Transport), published::Publication>,
    /// The numbers that ports had last: bookmarks stay good over a restart.
    earlier: BTreeMap<EnvironmentId, BTreeMap<PortKey, u16>>,
    /// Ports of which an earlier daemon told that somebody listens.
    told_before: BTreeMap<EnvironmentId, BTreeSet<PortKey>>,
    /// Ports that were told once, where once is enough: the container's id and the port.
    browsed: BTreeSet<(String, u16)>,
}

impl Ports {
    /// No open port yet. The guest and its containers are followed from now on, for as long as the process lives.
    pub fn new(machine: MachineHost, store: Store, names: Names) -> Self {
        // Read now: an environment whose ports are not open yet has none in its status soon.
        let environments = store.environments().unwrap_or_default();
        let mut table = Table::default();
        for environment in environments {
            if let Some(doorbells) = Doorbells::of(&environment, environment.status.ports.clone()) {
                table.doorbells.insert(environment.id.clone(), doorbells);
            }
            let ports = environment.status.ports;
            let told = ports.iter().filter(|port| port.listening).map(key_of).collect();
            table.earlier.insert(environment.id.clone(), numbers_of(&ports));
            table.told_before.insert(environment.id, told);
        }
        let (seen, listeners) = watch::channel(Arc::default());
        let inner = Arc::new_cyclic(|this| Inner {
            this: this.clone(),
            dialer: Dialer::new(machine.clone(), listeners.clone()),
            machine,
            store,
            names,
            table: Mutex::new(table),
            holders: Mutex::default(),
            applying: tokio::sync::Mutex::default(),
            listeners,
            containers: watch::Sender::default(),
            interest: watch::Sender::default(),
            look: Notify::new(),
            changed: watch::Sender::default(),
            troubles: watch::Sender::default(),
        });
        let waiting = inner.lock().doorbells.clone();
        for (id, doorbells) in waiting {
            let inner = Arc::clone(&inner);
            tokio::spawn(async move { inner.await_somebody(&id, doorbells).await });
        }
        tokio::spawn(published::follow(Arc::clone(&inner)));
        tokio::spawn(seen::follow(Arc::clone(&inner), seen));
        tokio::spawn(keep::follow(Arc::clone(&inner)));
        Self { inner }
    }

    /// Keeps the ports of an environment as they are to be from now on, and opens them. Those that are open and still
    /// wanted stay open.
    pub async fn set(&self, id: &EnvironmentId, ports: EnvironmentPorts) {
        self.inner.take_doorbells_away(id).await;
        self.inner.lock().environments.insert(id.clone(), ports);
        self.inner.count_interest();
        self.inner.apply(id).await;
    }

    /// Something was wished: look again.
    pub fn look(&self) {
        self.inner.look.notify_one();
    }

    /// How https for names stands.
    pub fn https(&self) -> Https {
        self.inner.names.https()
    }

    /// Serves names by https from now on, or no more.
    ///
    /// # Errors
    /// The authority could not be made or removed.
    pub async fn set_https(&self, on: bool) -> Result<Https, Problem> {
        self.inner.names.set_https(on).await?;
        let has_ports = !self.inner.lock().environments.is_empty();
        if has_ports {
            self.inner.names.open(&self.inner.this).await;
        }
        self.look();
        Ok(self.https())
    }

    /// Closes all ports of an environment and cuts their connections.
    pub async fn close(&self, id: &EnvironmentId) {
        let _turn = self.inner.applying.lock().await;
        let (closed, ports) = {
            let mut table = self.inner.lock();
            let ports = self.inner.statuses_in(&table, id);
            table.environments.remove(id);
            table.wanted.remove(id);
            table.problems.remove(id);
            table.names.remove(id);
            table.refused.remove(id);
            (table.forwards.remove(id), ports)
        };
        self.inner.count_interest();
        for forward in closed.into_iter().flatten() {
            forward.listener.close().await;
        }
        self.inner.hang_doorbells(id, ports).await;
    }

    /// What a person should know of the ports of an environment: [`PortTaken`](api::ProblemCode::PortTaken),
    /// [`PortPrivileged`](api::ProblemCode::PortPrivileged) and [`ServiceUnknown`](api::ProblemCode::ServiceUnknown) for
    /// a port that is not open, [`PortMoved`](api::ProblemCode::PortMoved) for one that is open elsewhere.
    pub(crate) fn problems_of(&self, id: &EnvironmentId) -> Vec<Problem> {
        self.inner.lock().problems.get(id).cloned().unwrap_or_default()
    }

    /// Why ports that a container publishes are not open on this computer.
    pub(crate) fn troubles_of(&self, container: &str) -> Vec<Problem> {
        self.inner.troubles.borrow().get(container).cloned().unwrap_or_default()
    }

    /// Tells when [`troubles_of`](Self::troubles_of) some container has changed.
    pub(crate) fn troubles_changed(&self) -> watch::Receiver<impl Sized> {
        self.inner.troubles.subscribe()
    }

    /// How many containers run in the machine, whoever made them.
    pub(crate) fn running_containers(&self) -> usize {
        self.inner.containers.borrow().len()
    }

    /// Tells when the ports of some environment have changed by themselves.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Whether an environment has ports on this computer that it is not to have while it is down: those that are kept
    /// for it, and those that wait for somebody although it does not start on use any more.
    pub(crate) fn any_open(&self, environment: &Environment) -> bool {
        let table = self.inner.lock();
        let waits = table.doorbells.contains_key(&environment.id);
        table.environments.contains_key(&environment.id) || (waits && !environment.spec.starts_on_use())
    }

    /// The ports of an environment: those that are wanted, and those that its containers publish; of one that starts on
    /// use, those that wait for somebody.
    pub fn statuses(&self, id: &EnvironmentId) -> Vec<PortStatus> {
        self.inner.statuses(id)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // Entries are put in and taken out whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_interest(&self) {
        let count = self.lock().environments.len();
        self.interest.send_if_modified(|known| std::mem::replace(known, count) != count);
    }

    fn statuses(&self, id: &EnvironmentId) -> Vec<PortStatus> {
        let containers = Arc::clone(&self.containers.borrow());
        let table = self.lock();
        let mut statuses = self.statuses_in(&table, id);
        let Some(of) = table.environments.get(id) else {
            return table.doorbells.get(id).map_or(statuses, |doorbells| doorbells.ports.clone());
        };
        for known in containers.iter() {
            let Some(part) = of.part(known) else { continue };
            for ((host_port, transport), open) in &table.published {
                let key = (part.service(), open.container_port, *transport);
                if open.container == known.id && !statuses.iter().any(|status| key_of(status) == key) {
                    statuses.push(PortStatus {
                        service: key.0,
                        transport: *transport,
                        host_port: Some(*host_port),
                        origin: PortOrigin::Published,
                        ..PortStatus::new(open.container_port)
                    });
                }
            }
        }
        statuses
    }
}

#[cfg(test)]
mod tests;
