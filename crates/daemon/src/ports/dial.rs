//! The way from this computer to a port inside.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use api::{Transport, UseKind};
use protocol::agent::{self, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::watch;

use crate::agent_client::AgentClient;
use crate::idle::{Use, Used};
use crate::machine::MachineHost;

/// Where a port of this computer leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A port of the guest itself, where the engine listens for what is published.
    Guest {
        /// The port.
        port: u16,
        /// Id of the container that publishes it.
        container: String,
    },
    /// A port of a container.
    Container {
        /// Its id.
        id: String,
        /// The port.
        port: u16,
    },
}

/// An address in a network of the guest: `None` is the guest's own.
type Place = (IpAddr, Option<i32>);

const LOOPBACKS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// A connection to a port inside, which counts as a use of its container while it is open.
pub(super) struct Dialed {
    stream: UnixStream,
    in_use: Use,
}

impl Dialed {
    /// The stream, and what tells that something moved on it.
    pub(super) fn parts(&mut self) -> (&mut UnixStream, impl Fn() + use<'_>) {
        (&mut self.stream, || self.in_use.moved())
    }
}

impl Deref for Dialed {
    type Target = UnixStream;

    fn deref(&self) -> &UnixStream {
        &self.stream
    }
}

impl DerefMut for Dialed {
    fn deref_mut(&mut self) -> &mut UnixStream {
        &mut self.stream
    }
}

impl AsyncRead for Dialed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if read.is_ready() {
            self.in_use.moved();
        }
        read
    }
}

impl AsyncWrite for Dialed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.in_use.moved();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Makes connections into the guest. Clones share what is known of it.
#[derive(Clone)]
pub(super) struct Dialer {
    machine: MachineHost,
    listeners: watch::Receiver<Arc<Vec<Listener>>>,
}

impl Dialer {
    pub(super) fn new(machine: MachineHost, listeners: watch::Receiver<Arc<Vec<Listener>>>) -> Self {
        Self { machine, listeners }
    }

    /// A stream of bytes, or of frames with datagrams, to a port inside.
    ///
    /// # Errors
    /// Why there is none, for the log: nobody listens, mostly.
    pub(super) async fn dial(&self, target: &Target, transport: Transport) -> Result<Dialed, String> {
        let (container, port) = match target {
            Target::Guest { port, container } => (container, port),
            Target::Container { id, port } => (id, port),
        };
        let of = Used::Container(container.clone());
        // Counted from here on: a try is a use too.
        let in_use = self.machine.uses().begin(of, UseKind::Connection, port.to_string());
        Ok(Dialed { stream: self.connect(target, transport).await?, in_use })
    }

    async fn connect(&self, target: &Target, transport: Transport) -> Result<UnixStream, String> {
        let agent = self.machine.agent().map_err(|problem| problem.to_string())?;
        let (id, port) = match target {
            Target::Guest { port, .. } => {
                return first(&agent, transport, *port, &[(LOOPBACKS[0], None)]).await;
            }
            Target::Container { id, port } => (id, *port),
        };
        let known = places(&self.listeners.borrow(), id, port, transport);
        if let Ok(stream) = first(&agent, transport, port, &known).await {
            return Ok(stream);
        }
        // It may have begun just now, or in a network that is new.
        let fresh = agent.listeners().await.map_err(|error| error.to_string())?;
        let fresh = places(&fresh, id, port, transport);
        if fresh != known
            && let Ok(stream) = first(&agent, transport, port, &fresh).await
        {
            return Ok(stream);
        }
        // Somebody else's program may hold the socket, where containers share a network.
        let state = self.machine.engine().container(id).await.map_err(|error| error.to_string())?;
        let pid = state.and_then(|state| state.pid).and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.ok_or("its container does not run")?;
        first(&agent, transport, port, &LOOPBACKS.map(|address| (address, Some(pid)))).await
    }
}

/// Where a container is seen to listen on a port: its loopback before its other addresses.
fn places(listeners: &[Listener], id: &str, port: u16, transport: Transport) -> Vec<Place> {
    let ours = listeners.iter().filter(|it| it.container.as_deref() == Some(id) && it.network_of.is_some());
    let mut places: Vec<Place> = match transport {
        Transport::Tcp => ours
            .filter(|it| it.port == port)
            .filter_map(|it| Some((it.address.parse::<IpAddr>().ok()?, it.network_of)))
            .flat_map(|(address, network)| match address {
                IpAddr::V4(v4) if v4.is_unspecified() => vec![(LOOPBACKS[0], network)],
                // Nearly always for both families; where it is not, the first is refused at once.
                IpAddr::V6(v6) if v6.is_unspecified() => LOOPBACKS.map(|it| (it, network)).to_vec(),
                address => vec![(address, network)],
            })
            .collect(),
        // Listeners of UDP are not told: only where the network is.
        Transport::Udp => ours.take(1).map(|it| (LOOPBACKS[0], it.network_of)).collect(),
    };
    places.sort_by_key(|(address, _)| (!address.is_loopback(), *address));
    places.dedup();
    places
}

/// The first of the places that takes a connection.
async fn first(
    agent: &AgentClient,
    transport: Transport,
    port: u16,
    places: &[Place],
) -> Result<UnixStream, String> {
    let mut reason = "nobody listens there".to_owned();
    for (address, network_of) in places {
        let (host, network_of) = (address.to_string(), *network_of);
        let target = match transport {
            Transport::Tcp => agent::Target::Tcp { host, port, network_of },
            Transport::Udp => agent::Target::Udp { host, port, network_of },
        };
        match agent.connect(target).await {
            Ok(stream) => return Ok(stream),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_dialled_where_it_listens() {
        let listener = |address: &str, container: &str, network_of| Listener {
            protocol: "tcp".into(),
            address: address.into(),
            port: 80,
            network_of,
            container: Some(container.into()),
            command: None,
        };
        let of = |address: &str| {
            let listeners = [listener(address, "c", Some(7)), listener("127.0.0.1", "other", Some(8))];
            let places = places(&listeners, "c", 80, Transport::Tcp);
            places.into_iter().map(|(address, pid)| (address.to_string(), pid)).collect::<Vec<_>>()
        };
        let at = |address: &str| (address.to_owned(), Some(7));
        assert_eq!(of("127.0.0.1"), [at("127.0.0.1")]);
        assert_eq!(of("0.0.0.0"), [at("127.0.0.1")]);
        assert_eq!(of("::1"), [at("::1")]);
        assert_eq!(of("::"), [at("127.0.0.1"), at("::1")]);
        assert_eq!(of("172.17.0.2"), [at("172.17.0.2")]);
        // From the guest, which is not trusted.
        assert_eq!(of("example.org"), []);
        let own = [listener("127.0.0.1", "c", None)];
        assert_eq!(places(&own, "c", 80, Transport::Tcp), [], "the guest's own network is no container's");
    }
}
