//! One port on the loopback, and what it carries into the guest.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use api::Transport;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bind;
use super::datagrams;
use super::dial::{Dialer, Target};
use crate::machine::splice;

/// Pause after a failed accept: there is no descriptor left, and an immediate retry would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An open port. Dropping it closes it and cuts its connections, in its own time.
#[derive(Debug)]
pub(super) struct Listener {
    port: u16,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Listener {
    /// Opens a port (0: any) on 127.0.0.1, and on ::1 where this computer has it.
    pub(super) async fn open(
        dialer: Dialer,
        transport: Transport,
        port: u16,
        target: watch::Receiver<Target>,
    ) -> io::Result<Self> {
        let first = Bound::new(transport, (Ipv4Addr::LOCALHOST, port).into()).await?;
        let port = first.port()?;
        let second = match Bound::new(transport, (Ipv6Addr::LOCALHOST, port).into()).await {
            Ok(bound) => Some(bound),
            // `localhost` means ::1 to most programs: they would reach whoever is there.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(_) => None,
        };
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        for bound in [Some(first), second].into_iter().flatten() {
            let (dialer, target) = (dialer.clone(), target.clone());
            let (until, inside) = (cancel.clone(), tasks.clone());
            match bound {
                Bound::Tcp(listener) => tasks.spawn(
                    cancel.clone().run_until_cancelled_owned(accept(listener, dialer, target, until, inside)),
                ),
                Bound::Udp(socket) => tasks.spawn(
                    cancel
                        .clone()
                        .run_until_cancelled_owned(datagrams::serve(socket, dialer, target, until, inside)),
                ),
            };
        }
        tasks.close();
        Ok(Self { port, cancel, tasks })
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Closes the port and cuts its connections; it can be opened again when this returns.
    pub(super) async fn close(self) {
        self.cancel.cancel();
        self.tasks.wait().await;
    }
}

/// A socket at its address.
enum Bound {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Bound {
    async fn new(transport: Transport, address: SocketAddr) -> io::Result<Self> {
        match transport {
            Transport::Tcp => bind::listen(address).await.map(Self::Tcp),
            Transport::Udp => UdpSocket::bind(address).await.map(Self::Udp),
        }
    }

    fn port(&self) -> io::Result<u16> {
        let address = match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        };
        address.map(|address| address.port())
    }
}

async fn accept(
    listener: TcpListener,
    dialer: Dialer,
    target: watch::Receiver<Target>,
    cancel: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let carrying = carry(dialer.clone(), client, target.borrow().clone());
                tasks.spawn(cancel.clone().run_until_cancelled_owned(carrying));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to a forwarded port was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn carry(dialer: Dialer, mut client: TcpStream, target: Target) {
    match dialer.dial(&target, Transport::Tcp).await {
        Ok(mut guest) => {
            // Each write goes out at once, as its writer meant it.
            if let Err(error) = client.set_nodelay(true) {
                tracing::debug!(%error, "a forwarded connection keeps its delay");
            }
            let (guest, moved) = guest.parts();
            if let Err(error) = splice::tcp(&mut client, guest, moved).await {
                tracing::debug!(%error, "a forwarded connection was cut");
            }
        }
        Err(reason) => {
            tracing::debug!(?target, %reason, "nobody answers on a forwarded port");
            // The client sees what it would see without us: a connection that is reset.
            if let Err(error) = client.set_zero_linger() {
                tracing::debug!(%error, "a refused connection is closed and not reset");
            }
        }
    }
}
