//! A UDP port of this computer: each client that sends to it has a flow into the guest, a socket of its own there.
//!
//! Nothing says when a UDP conversation is over, so a flow ends when it was quiet for long. Flows are bounded; one more
//! takes the place of the one that was quiet longest. What cannot be carried is dropped, as networks do.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::Transport;
use protocol::{Frame, FrameKind};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UdpSocket, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dial::{Dialer, Target};
use crate::machine::wire::FrameReader;

/// How long a flow may be quiet. Resolvers and games ask again long before; QUIC keeps its connections alive itself.
const QUIET: Duration = Duration::from_mins(1);
/// How long the guest may leave a datagram unread.
const STUCK: Duration = Duration::from_secs(5);
/// Clients that a port may have at once.
pub(super) const MOST_FLOWS: usize = 256;
/// Datagrams of one client that may wait.
const WAITING: usize = 64;
/// Longest datagram there is.
const LONGEST: usize = 64 << 10;
/// Pause after a failed receive, which would else spin.
const PAUSE: Duration = Duration::from_millis(100);

struct Flow {
    into: mpsc::Sender<Vec<u8>>,
    last: Instant,
}

/// Carries what comes to a socket until cancelled.
pub(super) async fn serve(
    socket: UdpSocket,
    dialer: Dialer,
    target: watch::Receiver<Target>,
    cancel: CancellationToken,
    tasks: TaskTracker,
) {
    let socket = Arc::new(socket);
    let mut flows: HashMap<SocketAddr, Flow> = HashMap::new();
    let mut piece = vec![0; LONGEST];
    loop {
        let (count, client) = match socket.recv_from(&mut piece).await {
            Ok(received) => received,
            Err(error) => {
                // An answer to a client that is gone comes back as an error of the socket.
                tracing::debug!(%error, "nothing was received on a forwarded UDP port");
                if error.kind() != io::ErrorKind::ConnectionRefused {
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
        };
        let now = Instant::now();
        let is_open = flows.get(&client).is_some_and(|flow| !flow.into.is_closed());
        if !is_open {
            make_room(&mut flows);
            let (into, datagrams) = mpsc::channel(WAITING);
            let carrying =
                carry(dialer.clone(), target.borrow().clone(), Arc::clone(&socket), client, datagrams);
            tasks.spawn(cancel.clone().run_until_cancelled_owned(carrying));
            flows.insert(client, Flow { into, last: now });
        }
        if let Some(flow) = flows.get_mut(&client) {
            flow.last = now;
            // Full, or ended just now: one more that was lost on the way.
            let _ = flow.into.try_send(piece[..count].to_vec());
        }
    }
}

/// Forgets ended flows, and the one that was quiet longest if that is not enough.
fn make_room(flows: &mut HashMap<SocketAddr, Flow>) {
    if flows.len() < MOST_FLOWS {
        return;
    }
    flows.retain(|_, flow| !flow.into.is_closed());
    if flows.len() >= MOST_FLOWS
        && let Some(quietest) = flows.iter().min_by_key(|(_, flow)| flow.last).map(|(client, _)| *client)
    {
        flows.remove(&quietest);
    }
}

/// Carries one client's datagrams and their answers.
async fn carry(
    dialer: Dialer,
    target: Target,
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    datagrams: mpsc::Receiver<Vec<u8>>,
) {
    match dialer.dial(&target, Transport::Udp).await {
        Ok(mut guest) => {
            if let Err(error) = exchange(&mut guest, &socket, client, datagrams).await {
                tracing::debug!(%error, "a flow of datagrams was cut");
            }
        }
        Err(reason) => tracing::debug!(%reason, "datagrams to a forwarded port lead nowhere"),
    }
}

async fn exchange(
    guest: &mut UnixStream,
    socket: &UdpSocket,
    client: SocketAddr,
    mut datagrams: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let (read, mut write) = guest.split();
    let mut frames = FrameReader::new(read);
    loop {
        let next = tokio::time::timeout(QUIET, async {
            tokio::select! {
                datagram = datagrams.recv() => Ok::<_, io::Error>((datagram, None)),
                frame = frames.next() => Ok((None, frame.map_err(io::Error::other)?)),
            }
        });
        match next.await {
            // Quiet, or the guest has ended it, or another flow took its place.
            Err(_) | Ok(Ok((None, None))) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Ok(Ok((Some(datagram), _))) => {
                let frame = Frame::new(FrameKind::Input, datagram).encode();
                // Each end may wait for the other to read, for ever: the next datagram begins a new flow.
                tokio::time::timeout(STUCK, write.write_all(&frame)).await??;
            }
            Ok(Ok((None, Some(frame)))) if frame.kind == FrameKind::Output => {
                // A client that is gone, or an answer that is too long for it: lost.
                let _ = socket.send_to(&frame.payload, client).await;
            }
            Ok(Ok((None, Some(_)))) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quietest_flow_makes_room_and_ended_ones_before_it() {
        let begun = Instant::now();
        let mut kept = Vec::new();
        let mut flows = HashMap::new();
        for number in 0..MOST_FLOWS as u16 {
            let (into, datagrams) = mpsc::channel(1);
            kept.push(datagrams);
            let last = begun + Duration::from_secs(u64::from(number));
            flows.insert(SocketAddr::from(([127, 0, 0, 1], 1000 + number)), Flow { into, last });
        }
        make_room(&mut flows);
        assert!(flows.len() == MOST_FLOWS - 1 && !flows.contains_key(&"127.0.0.1:1000".parse().unwrap()));
        make_room(&mut flows);
        assert_eq!(flows.len(), MOST_FLOWS - 1, "there is room");
        let (into, _) = mpsc::channel(1);
        flows.insert("127.0.0.1:1".parse().unwrap(), Flow { into, last: begun + QUIET * 1000 });
        make_room(&mut flows);
        assert!(!flows.contains_key(&"127.0.0.1:1".parse().unwrap()), "it had ended");
        assert_eq!(flows.len(), MOST_FLOWS - 1);
    }
}
