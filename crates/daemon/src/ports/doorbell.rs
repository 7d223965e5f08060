//! Environments that were stopped because nobody used them start when somebody comes to one of their ports.
//!
//! Their forwarded TCP ports stay taken meanwhile, also by the next daemon. Who connects waits until the environment has
//! its ports again and is joined with the real one then; so is a request for a name of a port.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::{
    DesiredPhase, Environment, EnvironmentId, Phase, PortStatus, Session, Transport, Unasked, UseKind,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::names::{HostName, Route};
use super::open::Forward;
use super::wanted::WantedPort;
use super::{Inner, bind};
use crate::idle::{Use, Used};
use crate::store::StoreError;

/// How long who came waits for the start.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long a program may take to listen once the environment is up. What listens is not always seen, so it is tried then.
const LISTEN_TIME: Duration = Duration::from_secs(10);

/// Pause between two looks at whether it is there.
const PAUSE: Duration = Duration::from_millis(200);

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
        let rung = self.try_to_ring(environment).or_else(|error| match error {
            // Somebody else was first, with whatever they want: perhaps that it stays down.
            StoreError::Stale { .. } => {
                let now = self.store.environment(&environment.id)?;
                now.map_or(Ok(false), |now| self.try_to_ring(&now))
            }
            error => Err(error),
        });
        rung.unwrap_or_else(|error| {
            tracing::warn!(%error, "an environment was not started by a use of its port");
            false
        })
    }

    fn try_to_ring(&self, environment: &Environment) -> Result<bool, StoreError> {
        let status = &environment.status;
        if !environment.spec.starts_on_use() {
            let is_heard = status.observed_generation == environment.metadata.generation;
            let is_coming = environment.spec.desired_phase == DesiredPhase::Running
                && status.started_at.is_some()
                && !(is_heard && status.step.is_none());
            // With its ports open, what is not there will not come by waiting.
            return Ok(is_coming && !self.lock().environments.contains_key(&environment.id));
        }
        let version = Some(environment.metadata.resource_version);
        self.store.change_spec(&environment.id, version, |spec| {
            spec.desired_phase = DesiredPhase::Running;
            spec.retry = Session::fresh();
            spec.idle_since = None;
            spec.unasked = Unasked::LeaveOut;
        })?;
        tracing::info!(environment = %environment.metadata.name, "starts: somebody came to a port of it");
        // Its task is woken by that.
        self.changed.send_modify(|count| *count += 1);
        Ok(true)
    }

    /// What is forwarded on a port of this computer, once that is open in earnest.
    fn open_at(&self, id: &EnvironmentId, port: u16) -> Option<WantedPort> {
        let table = self.lock();
        let mut open = table.forwards.get(id)?.iter();
        let is_it = |it: &&Forward| it.listener.port() == port && it.wanted.transport == Transport::Tcp;
        open.find(is_it).map(|forward| forward.wanted.clone())
    }

    /// Whether all that begins with an environment has been done. Programs of it may still be on their way to listen.
    fn is_up(&self, id: &EnvironmentId) -> bool {
        let environment = self.store.environment(id).ok().flatten();
        environment.is_some_and(|Environment { metadata, status, .. }| {
            let is_heard = status.observed_generation == metadata.generation;
            is_heard && status.phase == Phase::Running && status.step.is_none()
        })
    }
}

/// Tells when a port that is open is worth a connection: ports are open before hooks and services run, by which mostly
/// comes who listens there.
struct Awaited<'a> {
    inner: &'a Weak<Inner>,
    up_since: Option<Instant>,
}

impl<'a> Awaited<'a> {
    fn new(inner: &'a Weak<Inner>) -> Self {
        Self { inner, up_since: None }
    }

    /// Whether a program listens there, or none is going to.
    fn is_there(&mut self, id: &EnvironmentId, port: &WantedPort) -> bool {
        if port.listener.is_some() {
            return true;
        }
        let is_up = self.inner.upgrade().is_some_and(|inner| inner.is_up(id));
        let since = is_up.then(|| self.up_since.unwrap_or_else(Instant::now));
        self.up_since = since;
        since.is_some_and(|since| since.elapsed() >= LISTEN_TIME)
    }
}

/// Takes a port of this computer at those of its two loopback addresses that are free. None of them after some tries, if
/// it is somebody else's.
async fn take(number: u16, cancel: &CancellationToken) -> Vec<TcpListener> {
    let take = || async {
        let mut taken = Vec::new();
        for address in [(Ipv4Addr::LOCALHOST, number).into(), (Ipv6Addr::LOCALHOST, number).into()] {
            taken.extend(bind::listen(address).await.ok());
        }
        if taken.is_empty() { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(taken) }
    };
    let taken = cancel.run_until_cancelled(bind::patiently(take)).await;
    taken.and_then(io::Result::ok).unwrap_or_default()
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

/// Joins a client with the port once that is open in earnest, and somebody listens.
async fn join(mut client: TcpStream, inner: &Weak<Inner>, id: &EnvironmentId, port: u16) {
    let mut awaited = Awaited::new(inner);
    // Who waits uses it, as who is joined does.
    let waits = use_of(inner, id, port);
    let is_there = || {
        let open = inner.upgrade().and_then(|inner| inner.open_at(id, port));
        open.is_some_and(|open| awaited.is_there(id, &open))
    };
    if !until(is_there).await {
        return;
    }
    drop(waits);
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
    let (mut route, mut awaited, mut waits) = (None, Awaited::new(inner), None);
    until(|| {
        let Some((id, port)) = inner.upgrade().and_then(|inner| inner.named_by(host)) else { return false };
        waits = waits.take().or_else(|| use_of(inner, &id, port.container_port));
        route = Some(Route::to(&port));
        awaited.is_there(&id, &port)
    })
    .await;
    route
}

/// The use of an environment by who waits for one of its ports.
fn use_of(inner: &Weak<Inner>, id: &EnvironmentId, port: u16) -> Option<Use> {
    let inner = inner.upgrade()?;
    Some(inner.machine.uses().begin(Used::Environment(id.clone()), UseKind::Connection, port.to_string()))
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
    use crate::machine::testing::Fixture;
    use crate::ports::Ports;
    use crate::ports::testing::no_names;
    use api::{EnvironmentSpec, UpRequest};

    /// One that was stopped because nobody used it.
    fn asleep(fixture: &Fixture) -> (Ports, Environment) {
        let request: UpRequest = serde_json::from_value(serde_json::json!({ "folder": "/src/web" })).unwrap();
        let (environment, _) = fixture.store.up(&request, Session::fresh(), jiff::Timestamp::now()).unwrap();
        let rest = |spec: &mut EnvironmentSpec| {
            spec.desired_phase = DesiredPhase::Stopped;
            spec.idle_since = Some(jiff::Timestamp::now());
        };
        let asleep = fixture.store.change_spec(&environment.id, None, rest).unwrap();
        let names = no_names(&fixture.paths);
        (Ports::new(fixture.machine.clone(), fixture.store.clone(), names), asleep)
    }

    #[tokio::test]
    async fn it_is_on_its_way_only_where_it_is() {
        let fixture = Fixture::new();
        let (ports, known) = asleep(&fixture);
        let phase = || fixture.store.environment(&known.id).unwrap().unwrap().spec.desired_phase;
        // Something else of it was changed since it was read.
        fixture.store.change_spec(&known.id, None, |spec| spec.idle.stop_after = Some(60)).unwrap();
        assert!(ports.inner.ring(&known));
        assert_eq!(phase(), DesiredPhase::Running);
        // A person stopped it since.
        let (_, known) = asleep(&fixture);
        fixture.store.change_spec(&known.id, None, |spec| spec.idle_since = None).unwrap();
        assert!(!ports.inner.ring(&known));
        assert_eq!(phase(), DesiredPhase::Stopped);
    }

    #[tokio::test]
    async fn a_port_that_is_held_for_a_moment_is_had_and_one_that_stays_held_is_not() {
        let (number, cancel) = (free_port(), CancellationToken::new());
        let held = TcpListener::bind((Ipv6Addr::UNSPECIFIED, number)).await.unwrap();
        assert!(take(number, &cancel).await.is_empty());
        let (taken, ()) = tokio::join!(take(number, &cancel), async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(held);
        });
        assert_eq!(taken.len(), 2);
    }
}
