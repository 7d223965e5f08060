//! Connections through the client: from it to places inside (`-L`, `-D`), and from places inside to it (`-R`).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::BytesMut;
use russh::server::{ChannelOpenHandle, Handle, Msg};
use russh::{Channel, ChannelOpenFailure, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::channels::{Channels, Inlet};
use crate::resolve;

/// Bytes carried at once.
const PIECE: usize = 32 << 10;
/// How long nobody is let in after that failed: there may be no descriptor left.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// Where a connection goes.
pub(super) enum Place {
    /// A host and a port; `None` for a port that there is not.
    Tcp(String, Option<u16>),
    /// A socket of the file system.
    Unix(PathBuf),
}

impl Place {
    pub(super) fn tcp(host: &str, port: u32) -> Self {
        Self::Tcp(host.to_owned(), u16::try_from(port).ok())
    }
}

/// Connects, and carries bytes both ways until both ends are done.
pub(super) async fn connect(
    to: Place,
    reply: ChannelOpenHandle,
    write: ChannelWriteHalf<Msg>,
    inlet: Inlet,
    closed: CancellationToken,
) {
    match to {
        Place::Tcp(host, port) => match tcp(&host, port).await {
            Ok(stream) => {
                reply.accept().await;
                let (read, to) = stream.into_split();
                splice(read, to, write, inlet, closed).await;
            }
            Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        },
        Place::Unix(path) => match UnixStream::connect(path).await {
            Ok(stream) => {
                reply.accept().await;
                let (read, to) = stream.into_split();
                splice(read, to, write, inlet, closed).await;
            }
            Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        },
    }
}

async fn tcp(host: &str, port: Option<u16>) -> io::Result<TcpStream> {
    let port = port.ok_or(io::ErrorKind::InvalidInput)?;
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for address in resolve::addresses(host).await? {
        match TcpStream::connect((address, port)).await {
            Ok(stream) => {
                // Keystrokes of whatever is spoken through it are not to be gathered.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Carries bytes both ways. Each direction ends by itself; the channel is closed when both have. A client that closes it
/// first wants nothing more, and what it sent before still arrives.
pub(super) async fn splice(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    write: ChannelWriteHalf<Msg>,
    mut inlet: Inlet,
    closed: CancellationToken,
) {
    let outward = async {
        loop {
            let mut piece = BytesMut::with_capacity(PIECE);
            match from.read_buf(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    if write.data_bytes(piece.freeze()).await.is_err() {
                        return;
                    }
                }
            }
        }
        let _ = write.eof().await;
    };
    let outward = closed.run_until_cancelled(outward);
    let inward = async move {
        while let Some(piece) = inlet.next().await {
            if to.write_all(&piece).await.is_err() {
                return None;
            }
        }
        let _ = to.shutdown().await;
        // Kept until the other direction is done: closed now, it would look like a reset.
        Some((inlet, to))
    };
    let (sent, _) = tokio::join!(outward, inward);
    if sent.is_some() {
        let _ = write.close().await;
    }
}

/// Sockets inside whose connections go to the client.
#[derive(Default)]
pub(super) struct Listeners {
    tcp: HashMap<(String, u32), Vec<AbortOnDropHandle<()>>>,
    unix: HashMap<String, (AbortOnDropHandle<()>, Removed)>,
}

impl Listeners {
    /// Listens on a port of this container's own address, whatever address is asked for: nobody else is to reach the
    /// client's computer. Port 0 is any; gives the one it became.
    pub(super) async fn open_tcp(
        &mut self,
        address: &str,
        port: u32,
        client: Handle,
        channels: Channels,
    ) -> io::Result<u32> {
        let port = u16::try_from(port).map_err(io::Error::other)?;
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = first.local_addr()?.port();
        let listeners = match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            Ok(second) => vec![first, second],
            // A container may be without it.
            Err(_) => vec![first],
        };
        let serve = |listener| {
            let serving =
                serve_tcp(listener, address.to_owned(), u32::from(port), client.clone(), channels.clone());
            AbortOnDropHandle::new(tokio::spawn(serving))
        };
        let serving = listeners.into_iter().map(serve).collect();
        self.tcp.insert((address.to_owned(), u32::from(port)), serving);
        Ok(u32::from(port))
    }

    /// Listens no more; false if it did not.
    pub(super) fn close_tcp(&mut self, address: &str, port: u32) -> bool {
        self.tcp.remove(&(address.to_owned(), port)).is_some()
    }

    /// Listens on a socket of the file system, which must not be there.
    pub(super) fn open_unix(&mut self, path: &str, client: Handle, channels: Channels) -> io::Result<()> {
        let listener = bind_private(Path::new(path))?;
        let serving = tokio::spawn(serve_unix(listener, path.to_owned(), client, channels));
        self.unix.insert(path.to_owned(), (AbortOnDropHandle::new(serving), Removed(path.into())));
        Ok(())
    }

    /// Listens no more; false if it did not.
    pub(super) fn close_unix(&mut self, path: &str) -> bool {
        self.unix.remove(path).is_some()
    }
}

/// A socket that only its owner can connect to.
pub(super) fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A file that goes with its holder.
pub(super) struct Removed(pub(super) PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn serve_tcp(listener: TcpListener, address: String, port: u32, client: Handle, channels: Channels) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (client, channels, address) = (client.clone(), channels.clone(), address.clone());
        tokio::spawn(async move {
            let (from, from_port) = originator(peer);
            let opened = client.channel_open_forwarded_tcpip(address, port, from, from_port).await;
            let (read, to) = stream.into_split();
            to_client(opened, read, to, &channels).await;
        });
    }
}

fn originator(peer: SocketAddr) -> (String, u32) {
    let address = match peer.ip() {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 @ IpAddr::V4(_) => v4,
    };
    (address.to_string(), u32::from(peer.port()))
}

async fn serve_unix(listener: UnixListener, path: String, client: Handle, channels: Channels) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (client, channels, path) = (client.clone(), channels.clone(), path.clone());
        tokio::spawn(async move {
            let opened = client.channel_open_forwarded_streamlocal(path).await;
            let (read, to) = stream.into_split();
            to_client(opened, read, to, &channels).await;
        });
    }
}

/// Carries a connection from inside on a channel that the client has taken; one that it has not ends here.
async fn to_client(
    opened: Result<Channel<Msg>, russh::Error>,
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    channels: &Channels,
) {
    let Ok(channel) = opened else { return };
    let (inlet, closed) = channels.claim(channel.id().number());
    let (_, write) = channel.split();
    splice(from, to, write, inlet, closed).await;
}
