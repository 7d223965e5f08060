//! Byte streams to sockets inside: the engine's, a container's, the guest's own.

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
    /// A TCP port.
    #[error("cannot connect to {host}:{port}")]
    Tcp {
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
pub(crate) async fn serve(mut channel: Channel, target: Target) -> Result<(), ChannelError> {
    match target {
        Target::Unix { path } => match UnixStream::connect(&path).await {
            Ok(socket) => carry(channel, socket).await,
            Err(source) => refuse(channel, &ConnectError::Unix { path, source }).await,
        },
        Target::Tcp { host, port, network_of } => match dial(host, port, network_of).await {
            Ok(socket) => carry(channel, socket).await,
            Err(error @ ConnectError::Namespace { .. }) => {
                let refusal = Refusal::because(&error).of_kind(FailureKind::NotFound);
                channel.outgoing.message(&Reply::from(refusal)).await?;
                channel.outgoing.end().await
            }
            Err(error) => refuse(channel, &error).await,
        },
    }
}

async fn refuse(channel: Channel, error: &ConnectError) -> Result<(), ChannelError> {
    channel.finish(&Reply::from(Refusal::because(error))).await
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
    let fail = |source| ConnectError::Tcp { host: host.clone(), port, source };
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

/// A thread's network namespace is its own, so one is made for the purpose and ends with it. The socket belongs
/// to the namespace it was made in, wherever it is used.
async fn dial_in_network_of(pid: i32, host: String, port: u16) -> Result<StdTcpStream, ConnectError> {
    let (tell, told) = oneshot::channel();
    let spawned = std::thread::Builder::new().name("network-of".to_owned()).spawn(move || {
        // The asker may have gone; then the connection is dropped here.
        let _ = tell.send(dial_from_thread(pid, host, port));
    });
    spawned.map_err(|source| ConnectError::Namespace { pid, source })?;
    told.await.unwrap_or_else(|_| {
        Err(ConnectError::Namespace { pid, source: io::Error::other("the connecting thread ended early") })
    })
}

fn dial_from_thread(pid: i32, host: String, port: u16) -> Result<StdTcpStream, ConnectError> {
    let entered = File::open(format!("/proc/{pid}/ns/net")).and_then(|namespace| {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).map_err(Into::into)
    });
    entered.map_err(|source| ConnectError::Namespace { pid, source })?;
    let connected = (host.as_str(), port).to_socket_addrs().and_then(|addresses| {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match connect_to(address) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    });
    connected.map_err(|source| ConnectError::Tcp { host, port, source })
}

fn connect_to(address: SocketAddr) -> io::Result<StdTcpStream> {
    let stream = StdTcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
