//! Environments that were stopped because nobody used them start when somebody comes to one of their ports.
//!
//! Their forwarded TCP ports stay taken meanwhile, also by the next daemon. Who connects waits until the environment has
//! its ports again and is joined with the real one then; so is a request for a name of a port.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::{DesiredPhase, Environment, EnvironmentId, PortStatus, Session, Transport, Unasked};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Inner;
use super::names::{HostName, Route};

/// How long who came waits for the start.
const PATIENCE: Duration = Duration::from_mins(2);

/// Pause between two looks at whether it is there.
const PAUSE: Duration = Duration::from_millis(200);

/// Looks at a port that somebody else has, before it is theirs: a program that was just being started may hold it for a
/// moment, and so may a connection that goes out from it.
const TRIES: usize = 5;

/// Who may wait at one port.
const MOST_WAITING: usize = 64;

/// Ports that wait for somebody.
#[derive(Clone)]
pub(super) struct Doorbells {
    cancel: CancellationToken,
    tasks: TaskTracker,
    pub(super) ports: Vec<PortStatus>,
}

impl Doorbells {
    /// Those of an environment with these ports, none of which is taken yet. `None` if it does not start on use.
    pub(super) fn of(environment: &Environment, mut ports: Vec<PortStatus>) -> Option<Self> {
        ports.retain(|port| port.transport == Transport::Tcp && port.host_port.is_some());
        if ports.is_empty() || !environment.spec.starts_on_use() {
            return None;
        }
        for port in &mut ports {
            (port.listening, port.program, port.waits) = (false, None, true);
        }
        Some(Self { cancel: CancellationToken::new(), tasks: TaskTracker::new(), ports })
    }
}

impl Inner {
    /// Lets the ports that an environment had on this computer wait for somebody, if it starts on use.
    pub(super) async fn hang_doorbells(&self, id: &EnvironmentId, ports: Vec<PortStatus>) {
        self.take_doorbells_away(id).await;
        if let Some(environment) = self.store.environment(id).ok().flatten()
            && let Some(doorbells) = Doorbells::of(&environment, ports)
        {
            self.lock().doorbells.insert(id.clone(), doorbells.clone());
            self.await_somebody(id, doorbells).await;
        }
    }

    /// Takes the ports. One that somebody else took meanwhile is theirs.
    pub(super) async fn await_somebody(&self, id: &EnvironmentId, doorbells: Doorbells) {
        let Doorbells { cancel, tasks, ports } = doorbells;
        for number in ports.iter().filter_map(|port| port.host_port) {
            let listeners = take(number, &cancel).await;
            if listeners.is_empty()
                && let Some(doorbells) = self.lock().doorbells.get_mut(id)
            {
                doorbells.ports.retain(|port| port.host_port != Some(number));
            }
            for listener in listeners {
                let waiting = wait(listener, self.this.clone(), id.clone());
                tasks.spawn(cancel.clone().run_until_cancelled_owned(waiting));
            }
        }
        tasks.close();
    }

    /// Frees the ports, so that they can be opened in earnest; who waits goes on waiting.
    pub(super) async fn take_doorbells_away(&self, id: &EnvironmentId) {
        let taken = self.lock().doorbells.remove(id);
        if let Some(Doorbells { cancel, tasks, ports: _ }) = taken {
            cancel.cancel();
            tasks.wait().await;
        }
    }

    /// Wishes an environment running that was stopped because nobody used it. Whether it is on its way.
    fn ring(&self, environment: &Environment) -> bool {
        let status = &environment.status;
        if !environment.spec.starts_on_use() {
            let is_heard = status.observed_generation == environment.metadata.generation;
            let is_coming = environment.spec.desired_phase == DesiredPhase::Running
                && status.started_at.is_some()
                && !(is_heard && status.step.is_none());
            // With its ports open, what is not there will not come by waiting.
            return is_coming && !self.lock().environments.contains_key(&environment.id);
        }
        let version = Some(environment.metadata.resource_version);
        let changed = self.store.change_spec(&environment.id, version, |spec| {
            spec.desired_phase = DesiredPhase::Running;
            spec.retry = Session::fresh();
            spec.idle_since = None;
            spec.unasked = Unasked::LeaveOut;
        });
        match changed {
            Ok(_) => {
                tracing::info!(environment = %environment.metadata.name, "starts: somebody came to a port of it");
                // Its task is woken by that.
                self.changed.send_modify(|count| *count += 1);
                true
            }
            // Somebody else was first, with whatever they want.
            Err(error) => {
                tracing::debug!(%error, "an environment was not started by a use of its port");
                true
            }
        }
    }

    fn has_open(&self, id: &EnvironmentId, port: u16) -> bool {
        let table = self.lock();
        let mut open = table.forwards.get(id).into_iter().flatten();
        open.any(|forward| forward.listener.port() == port && forward.wanted.transport == Transport::Tcp)
    }
}

/// Takes a port of this computer at those of its two loopback addresses that are free. None of them after some tries, if
/// it is somebody else's.
async fn take(number: u16, cancel: &CancellationToken) -> Vec<TcpListener> {
    for _ in 0..TRIES {
        let mut taken = Vec::new();
        for address in [(Ipv4Addr::LOCALHOST, number).into(), (Ipv6Addr::LOCALHOST, number).into()] {
            taken.extend(super::bind::listen(address).await.ok());
        }
        if !taken.is_empty() || cancel.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return taken;
        }
    }
    Vec::new()
}

/// Waits at one port for as long as the environment starts on use.
async fn wait(listener: TcpListener, inner: Weak<Inner>, id: EnvironmentId) {
    let Ok(port) = listener.local_addr().map(|address| address.port()) else { return };
    let room = Arc::new(tokio::sync::Semaphore::new(MOST_WAITING));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        let Ok((client, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Some(strong) = inner.upgrade() else { return };
        let environment = strong.store.environment(&id).ok().flatten();
        if !environment.is_some_and(|environment| strong.ring(&environment)) {
            return;
        }
        let (inner, id) = (inner.clone(), id.clone());
        // Not with the listener: that makes room for the real one while this goes on.
        tokio::spawn(async move {
            join(client, &inner, &id, port).await;
            drop(place);
        });
    }
}

/// Joins a client with the port once that is open in earnest.
async fn join(mut client: TcpStream, inner: &Weak<Inner>, id: &EnvironmentId, port: u16) {
    let is_open = || inner.upgrade().is_some_and(|inner| inner.has_open(id, port));
    if !until(is_open).await {
        return;
    }
    let joined = async {
        let mut real = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        tokio::io::copy_bidirectional(&mut client, &mut real).await
    };
    if let Err(error) = joined.await {
        tracing::debug!(%error, "a connection that started an environment was cut");
    }
}

/// The route of a name once its environment runs, if it starts on use or is on its way.
pub(super) async fn route_after_start(inner: &Weak<Inner>, host: &HostName) -> Option<Route> {
    {
        let inner = inner.upgrade()?;
        let environment = inner.store.find(&host.environment).ok().flatten()?;
        if !inner.ring(&environment) {
            return None;
        }
    }
    let mut route = None;
    until(|| {
        route = inner.upgrade().and_then(|inner| inner.route(host));
        route.is_some()
    })
    .await;
    route
}

/// Waits until something holds; whether it does in time.
async fn until(mut holds: impl FnMut() -> bool) -> bool {
    let waited = async {
        while !holds() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.is_ok()
}

#[cfg(test)]
mod tests {
    use test_support::free_port;

    use super::*;

    #[tokio::test]
    async fn a_port_that_is_held_for_a_moment_is_had_and_one_that_stays_held_is_not() {
        let (number, cancel) = (free_port(), CancellationToken::new());
        let held = TcpListener::bind((Ipv6Addr::UNSPECIFIED, number)).await.unwrap();
        assert!(take(number, &cancel).await.is_empty());
        let (taken, ()) = tokio::join!(take(number, &cancel), async {
            tokio::time::sleep(PAUSE * 2).await;
            drop(held);
        });
        assert_eq!(taken.len(), 2);
    }
}
