//! The machine's socket: one request a connection.

use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::Arc;
use std::time::Duration;

use protocol::shim::{Reply, Request};
use protocol::{FrameDecoder, FrameKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::folder::Folder;
use crate::owner::{Board, Order, is_final};
use crate::splice::splice;

/// How long a client may take to say what it wants.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// How long answers may take to leave when the shim ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// Pause after a connection could not be taken, for want of file descriptors perhaps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a guest that gives memory back is waited for.
const SETTLING: Duration = Duration::from_secs(10);

/// The server; it serves until it is finished.
#[derive(Debug)]
pub(crate) struct Server {
    connections: TaskTracker,
    stop: CancellationToken,
}

/// Serves the socket from now on.
pub(crate) fn start(listener: StdUnixListener, board: Arc<Board>, folder: Arc<Folder>) -> io::Result<Server> {
    let listener = UnixListener::from_std(listener)?;
    let server = Server { connections: TaskTracker::new(), stop: CancellationToken::new() };
    let (connections, stop) = (server.connections.clone(), server.stop.clone());
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (board, folder) = (Arc::clone(&board), Arc::clone(&folder));
                    connections.spawn(async move {
                        if let Err(error) = answer(stream, &board, &folder).await {
                            tracing::debug!(%error, "a connection ended early");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    Ok(server)
}

impl Server {
    /// Takes no more connections and lets the present ones have their answer.
    pub(crate) async fn finish(self) {
        self.stop.cancel();
        self.connections.close();
        let _ = tokio::time::timeout(FAREWELL, self.connections.wait()).await;
    }
}

async fn answer(mut stream: UnixStream, board: &Board, folder: &Folder) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != rustix::process::geteuid().as_raw() {
        tracing::warn!(peer, "another user's connection was refused");
        return fail(&mut stream, "this machine belongs to another user".to_owned()).await;
    }
    let received = tokio::time::timeout(REQUEST_DEADLINE, receive(&mut stream)).await;
    let (request, rest) = match received {
        Ok(Ok(received)) => received,
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
            return fail(&mut stream, format!("the request is not understood: {error}")).await;
        }
        Ok(Err(error)) => return Err(error),
        Err(_) => return fail(&mut stream, "no request came".to_owned()).await,
    };
    tracing::debug!(?request, "request");
    match request {
        Request::Status => reply(&mut stream, &Reply::Status(board.status())).await,
        Request::Watch => watch(stream, board).await,
        Request::Dial { port } => dial(stream, board, port, &rest).await,
        Request::Stop { grace_ms } => {
            obey(&mut stream, board, Order::Stop(Duration::from_millis(grace_ms))).await
        }
        Request::Kill => obey(&mut stream, board, Order::Kill).await,
        Request::Pause
        | Request::Resume
        | Request::Save
        | Request::ChangeShares { .. }
        | Request::Squeeze { .. } => match change(board, folder, request).await {
            Ok(()) => reply(&mut stream, &Reply::Done).await,
            Err(message) => fail(&mut stream, message).await,
        },
    }
}

/// The request, and what came after it.
async fn receive(stream: &mut UnixStream) -> io::Result<(Request, Vec<u8>)> {
    let invalid =
        |error: &dyn std::error::Error| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
    let mut decoder = FrameDecoder::new();
    let mut buffer = vec![0; 4096];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        decoder.push(&buffer[..read]);
        while let Some(frame) = decoder.next().map_err(|error| invalid(&error))? {
            if frame.kind == FrameKind::Message {
                let request = frame.message().map_err(|error| invalid(&error))?;
                return Ok((request, decoder.into_rest()));
            }
        }
    }
}

async fn reply(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    stream.write_all(&protocol::encode_json(reply)).await
}

async fn fail(stream: &mut UnixStream, message: String) -> io::Result<()> {
    reply(stream, &Reply::Failed { message }).await
}

async fn obey(stream: &mut UnixStream, board: &Board, order: Order) -> io::Result<()> {
    let mut states = board.watch();
    board.order(order).await;
    // The sender is gone only with the whole process.
    let _ = states.wait_for(is_final).await;
    reply(stream, &Reply::Done).await
}

/// What only some drivers can do; gives why it is not done.
async fn change(board: &Board, folder: &Folder, request: Request) -> Result<(), String> {
    let driver = board.driver().ok_or("the machine is starting")?;
    let cannot = |what: &str| format!("the driver of this machine cannot {what}");
    let failed = |error: vmm::Error| crate::chain(&error);
    let _alone = board.changing.lock().await;
    match request {
        Request::Save => {
            let snapshot = driver.snapshot().ok_or_else(|| cannot("save it"))?;
            snapshot.save().await.map_err(failed)
        }
        Request::ChangeShares { shares } => {
            let changing =
                driver.change_shares().ok_or_else(|| cannot("share other folders while it runs"))?;
            let shares: Vec<_> = shares.into_iter().map(share).collect();
            changing.set(&shares).await.map_err(failed)?;
            // What runs is what the file says, for whoever finds the machine later.
            let described = folder.change_shares(shares).map_err(|error| crate::chain(&error))?;
            board.note_digest(described.digest());
            Ok(())
        }
        Request::Squeeze { keep_mib } => {
            let balloon = driver.balloon().ok_or_else(|| cannot("take memory back while it runs"))?;
            balloon.set_target(keep_mib).await.map_err(failed)?;
            settle(|| driver.facts().host_memory).await;
            // All it was started with: a driver gives no more than that.
            balloon.set_target(u64::MAX).await.map_err(failed)
        }
        Request::Resume => {
            driver.pause().ok_or_else(|| cannot("resume it"))?.resume().await.map_err(failed)?;
            board.note_halted(false);
            Ok(())
        }
        _ => {
            driver.pause().ok_or_else(|| cannot("pause it"))?.pause().await.map_err(failed)?;
            board.note_halted(true);
            Ok(())
        }
    }
}

/// Waits until a number does not fall any more, or for [`SETTLING`].
async fn settle(number: impl Fn() -> u64) {
    let settling = async {
        let mut before = u64::MAX;
        loop {
            let now = number();
            if now >= before {
                return;
            }
            before = now;
            tokio::time::sleep(SETTLING / 10).await;
        }
    };
    let _ = tokio::time::timeout(SETTLING, settling).await;
}

fn share(share: protocol::shim::Share) -> vmm::Share {
    vmm::Share { tag: share.tag, host_path: share.host_path.into(), read_only: share.read_only }
}

async fn watch(mut stream: UnixStream, board: &Board) -> io::Result<()> {
    let mut states = board.watch();
    reply(&mut stream, &Reply::Done).await?;
    loop {
        let last = is_final(&states.borrow_and_update());
        stream.write_all(&protocol::encode_json(&board.status())).await?;
        if last {
            return Ok(());
        }
        let mut nothing = [0; 1];
        tokio::select! {
            changed = states.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
            // Nothing is expected: this is how a watcher that left is noticed.
            _ = stream.read(&mut nothing) => return Ok(()),
        }
    }
}

async fn dial(mut stream: UnixStream, board: &Board, port: u32, rest: &[u8]) -> io::Result<()> {
    let Some(driver) = board.driver() else {
        return fail(&mut stream, "the machine is starting".to_owned()).await;
    };
    let mut guest = match driver.connect(port).await {
        Ok(guest) => guest,
        Err(error) => return fail(&mut stream, crate::chain(&error)).await,
    };
    reply(&mut stream, &Reply::Done).await?;
    guest.write_all(rest).await?;
    splice(stream, guest).await
}
