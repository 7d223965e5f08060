//! Byte streams to sockets inside: the engine's, a container's, the guest's own.

mod udp;

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream, ToSocketAddrs as _};
use std::time::Duration;

use protocol::agent::{FailureKind, Reply, Target};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::AsFd as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;

use crate::server::{Channel, ChannelError, Refusal};

/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes copied at once.
const PIECE: usize = 64 << 10;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// A unix socket.
    #[error("cannot connect to {path}")]
    Unix {
        path: String,
        #[source]
        source: io::Error,
    },
    /// A port.
    #[error("cannot connect to {host}:{port}")]
    Port {
        host: String,
        port: u16,
        #[source]
        source: io::Error,
    },
    /// The process whose network was asked for.
    #[error("cannot enter the network of process {pid}")]
    Namespace {
        pid: i32,
        #[source]
        source: io::Error,
    },
}

/// Connects and then carries bytes until both sides have ended.
pub(crate) async fn serve(channel: Channel, target: Target) -> Result<(), ChannelError> {
    match target {
        Target::Unix { path } => match UnixStream::connect(&path).await {
            Ok(socket) => carry(channel, socket).await,
            Err(source) => refuse(channel, &ConnectError::Unix { path, source }).await,
        },
        Target::Tcp { host, port, network_of } => match dial(host, port, network_of).await {
            Ok(socket) => carry(channel, socket).await,
            Err(error) => refuse(channel, &error).await,
        },
        Target::Udp { host, port, network_of } => match udp::dial(host, port, network_of).await {
            Ok(socket) => udp::carry(channel, socket).await,
            Err(error) => refuse(channel, &error).await,
        },
    }
}

async fn refuse(channel: Channel, error: &ConnectError) -> Result<(), ChannelError> {
    let refusal = Refusal::because(error);
    let refusal = match error {
        ConnectError::Namespace { .. } => refusal.of_kind(FailureKind::NotFound),
        ConnectError::Unix { .. } | ConnectError::Port { .. } => refusal,
    };
    channel.finish(&Reply::from(refusal)).await
}

async fn carry<S>(mut channel: Channel, mut socket: S) -> Result<(), ChannelError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    channel.outgoing.message(&Reply::Done).await?;
    let (mut stream, early) = channel.into_raw();
    socket.write_all(&early).await?;
    copy_bidirectional_with_sizes(&mut stream, &mut socket, PIECE, PIECE).await?;
    Ok(())
}

async fn dial(host: String, port: u16, network_of: Option<i32>) -> Result<TcpStream, ConnectError> {
    let fail = |source| ConnectError::Port { host: host.clone(), port, source };
    let stream = match network_of {
        None => match tokio::time::timeout(PATIENCE, TcpStream::connect((host.as_str(), port))).await {
            Ok(connected) => connected.map_err(fail)?,
            Err(_) => return Err(fail(io::ErrorKind::TimedOut.into())),
        },
        Some(pid) => {
            let connected = dial_in_network_of(pid, host.clone(), port).await?;
            TcpStream::from_std(connected).map_err(fail)?
        }
    };
    // Interactive protocols over a forwarded port: each write goes out at once, as the sender meant it.
    stream.set_nodelay(true).map_err(fail)?;
    Ok(stream)
}

async fn dial_in_network_of(pid: i32, host: String, port: u16) -> Result<StdTcpStream, ConnectError> {
    in_network_of(pid, move || {
        first_of(&host, port, connect_to).map_err(|source| ConnectError::Port { host, port, source })
    })
    .await
}

/// Does something in the network of a process. A thread's network namespace is its own, so one is made for the purpose
/// and ends with it. A socket belongs to the namespace it was made in, wherever it is used.
async fn in_network_of<T: Send + 'static>(
    pid: i32,
    make: impl FnOnce() -> Result<T, ConnectError> + Send + 'static,
) -> Result<T, ConnectError> {
    let (tell, told) = oneshot::channel();
    let spawned = std::thread::Builder::new().name("network-of".to_owned()).spawn(move || {
        // The asker may have gone; then what was made is dropped here.
        let _ = tell.send(enter_network_of(pid).and_then(|()| make()));
    });
    spawned.map_err(|source| ConnectError::Namespace { pid, source })?;
    told.await.unwrap_or_else(|_| {
        Err(ConnectError::Namespace { pid, source: io::Error::other("the connecting thread ended early") })
    })
}

fn enter_network_of(pid: i32) -> Result<(), ConnectError> {
    let entered = File::open(format!("/proc/{pid}/ns/net")).and_then(|namespace| {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).map_err(Into::into)
    });
    entered.map_err(|source| ConnectError::Namespace { pid, source })
}

/// Tries the addresses of a name one after another.
fn first_of<T>(host: &str, port: u16, connect: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match connect(address) {
            Ok(made) => return Ok(made),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_to(address: SocketAddr) -> io::Result<StdTcpStream> {
    let stream = StdTcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
