//! One port on the loopback, and its connections into the guest.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use protocol::agent;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::machine::{MachineHost, splice};

/// Pause after a failed accept: there is no descriptor left, and an immediate retry would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target {
    /// The port, on the loopback there.
    pub(super) port: u16,
    /// The process whose network it is in; the guest's own if absent.
    pub(super) network_of: Option<i32>,
}

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
        machine: MachineHost,
        port: u16,
        target: watch::Receiver<Target>,
    ) -> io::Result<Self> {
        let first = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let port = first.local_addr()?.port();
        let second = match TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
            Ok(listener) => Some(listener),
            // `localhost` means ::1 to most programs: they would reach whoever is there.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(_) => None,
        };
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        for listener in [Some(first), second].into_iter().flatten() {
            let accepting = accept(listener, machine.clone(), target.clone(), cancel.clone(), tasks.clone());
            tasks.spawn(cancel.clone().run_until_cancelled_owned(accepting));
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

async fn accept(
    listener: TcpListener,
    machine: MachineHost,
    target: watch::Receiver<Target>,
    cancel: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let carrying = carry(machine.clone(), client, *target.borrow());
                tasks.spawn(cancel.clone().run_until_cancelled_owned(carrying));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to a forwarded port was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn carry(machine: MachineHost, mut client: TcpStream, target: Target) {
    let connecting = async {
        let target = agent::Target::Tcp {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port: target.port,
            network_of: target.network_of,
        };
        let agent = machine.agent().map_err(|problem| problem.to_string())?;
        agent.connect(target).await.map_err(|error| error.to_string())
    };
    match connecting.await {
        Ok(mut guest) => {
            // Each write goes out at once, as its writer meant it.
            if let Err(error) = client.set_nodelay(true) {
                tracing::debug!(%error, "a forwarded connection keeps its delay");
            }
            if let Err(error) = splice::tcp(&mut client, &mut guest).await {
                tracing::debug!(%error, "a forwarded connection was cut");
            }
        }
        Err(reason) => {
            tracing::debug!(port = target.port, %reason, "nobody answers on a forwarded port");
            // The client sees what it would see without us: a connection that is reset.
            if let Err(error) = client.set_zero_linger() {
                tracing::debug!(%error, "a refused connection is closed and not reset");
            }
        }
    }
}
