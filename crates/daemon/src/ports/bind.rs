//! Taking a TCP port of the loopback, only if nobody has it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// How long an answer from this computer itself may take. Whoever is there and does not answer has a full queue.
const PATIENCE: Duration = Duration::from_millis(250);

/// Pause before a port that is taken is tried again; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(25);

/// How often it is tried again: for less than a second, all in all.
const TRIES: u32 = 5;

/// Opens a port that was ours before, or is known by its number. It is tried again where it is taken: a program that is
/// just being started has all that was open here until it runs, and a connection that goes out may have the number for
/// a moment.
///
/// # Errors
/// What the last try says.
pub(crate) async fn patiently<T, F>(open: impl Fn() -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    for again in 0..TRIES {
        match open().await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            opened => return opened,
        }
        tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(again)).await;
    }
    open().await
}

/// Listens at an address of the loopback; port 0 is any.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`]: a program has this address, or the port at all addresses. The latter is no hindrance to
/// macOS (`ip(4)`: `SO_REUSEADDR`, without which a port that just closed cannot be had): the more exact address wins, and
/// connections meant for that program, Node.js say, would come to us.
pub(super) async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    if address.port() != 0 {
        // First without a word to anybody: a connection is a use, and an environment that sleeps there would wake.
        drop(bound(address)?);
        if is_served(address).await {
            return Err(io::ErrorKind::AddrInUse.into());
        }
    }
    TcpListener::bind(address).await
}

/// The address, with nobody listening at it.
fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Whether a program takes connections there.
async fn is_served(address: SocketAddr) -> bool {
    match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
        // One that the system gave the very same port has only met itself (RFC 9293, 3.5: simultaneous open).
        Ok(Ok(answer)) => answer.local_addr().ok() != Some(address),
        Ok(Err(_)) => false,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use test_support::free_port;

    use super::*;
    use crate::machine::testing::soon;

    #[tokio::test]
    async fn a_port_that_somebody_has_at_all_addresses_is_taken() {
        let loopbacks = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let holders: [(std::net::IpAddr, &[std::net::IpAddr]); 3] = [
            (Ipv4Addr::UNSPECIFIED.into(), &loopbacks[..1]),
            (Ipv6Addr::UNSPECIFIED.into(), &loopbacks),
            (Ipv4Addr::LOCALHOST.into(), &loopbacks[..1]),
        ];
        for (holder, taken) in holders {
            let port = free_port();
            let held = TcpListener::bind((holder, port)).await.unwrap();
            for address in taken.iter().map(|it| SocketAddr::new(*it, port)) {
                // What macOS would not say of itself.
                assert!(is_served(address).await, "{holder} has {address}");
                let error = listen(address).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{holder} has {address}");
            }
            drop(held);
            for address in taken.iter().map(|it| SocketAddr::new(*it, port)) {
                // A program that is just being started may have it for a moment still.
                let free = async {
                    while is_served(address).await || listen(address).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                soon("a port that nobody has", free).await;
            }
        }
    }

    #[tokio::test]
    async fn a_port_is_asked_for_without_a_connection_to_who_has_it() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        listen(held.local_addr().unwrap()).await.unwrap_err();
        let knocked = tokio::time::timeout(Duration::from_millis(100), held.accept()).await;
        assert!(knocked.is_err(), "{knocked:?}");
    }
}
