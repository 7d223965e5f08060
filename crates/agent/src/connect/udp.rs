//! Datagrams to a UDP port inside: one socket for one stream, each datagram a frame.
//!
//! The host ends a flow that has been quiet; nothing here does. A datagram that nobody takes is lost, as on any network.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket};

use protocol::FrameKind;
use protocol::agent::Reply;
use tokio::net::UdpSocket;

use super::{ConnectError, first_of, in_network_of};
use crate::server::{Channel, ChannelError};

/// Longest datagram there is.
const LONGEST: usize = 64 << 10;

/// A socket that speaks with this port alone.
pub(super) async fn dial(
    host: String,
    port: u16,
    network_of: Option<i32>,
) -> Result<UdpSocket, ConnectError> {
    let name = host.clone();
    let make =
        move || first_of(&host, port, connect_to).map_err(|source| ConnectError::Port { host, port, source });
    let socket = match network_of {
        None => make(),
        Some(pid) => in_network_of(pid, make).await,
    };
    UdpSocket::from_std(socket?).map_err(|source| ConnectError::Port { host: name, port, source })
}

fn connect_to(address: SocketAddr) -> io::Result<StdUdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = StdUdpSocket::bind(any)?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Carries datagrams until the host ends the stream.
pub(super) async fn carry(channel: Channel, socket: UdpSocket) -> Result<(), ChannelError> {
    let Channel { mut incoming, mut outgoing } = channel;
    outgoing.message(&Reply::Done).await?;
    let mut piece = vec![0; LONGEST];
    loop {
        tokio::select! {
            frame = incoming.frame() => match frame? {
                Some(frame) if frame.kind == FrameKind::Input => {
                    // Refused means that nobody listened when the last one came: that may have changed.
                    let _ = socket.send(&frame.payload).await;
                }
                Some(_) => {}
                None => return outgoing.end().await,
            },
            // An error is of an earlier datagram, and there is nobody to tell.
            received = socket.recv(&mut piece) => if let Ok(count) = received {
                outgoing.bytes(FrameKind::Output, &piece[..count]).await?;
            }
        }
    }
}
