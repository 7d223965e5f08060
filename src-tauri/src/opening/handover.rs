//! How a second start hands over what it was asked to open: one line of JSON through a socket that only the person can
//! reach, and one line back. The first start owns the socket, as it holds the lock.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

/// Longest line, in bytes.
const LONGEST: u64 = 64 << 10;

/// Most words of one start.
const MOST_WORDS: usize = 16;

/// How long either side waits for the other. A first start may still be getting ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause between two tries to reach a first start.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// What was said.
const TAKEN: &[u8] = b"{\"taken\":true}\n";

/// What a second start was asked to open.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handover {
    /// Links, URLs and absolute paths. Without any the window is meant.
    pub(crate) open: Vec<String>,
}

/// Why the app that is open did not take it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotHandedOver {
    /// It cannot be reached, or does not answer.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// More than is taken at once.
    #[error("at most {MOST_WORDS} things can be opened at once")]
    TooMuch,
}

/// Hands it to the app that is open.
///
/// # Errors
/// [`NotHandedOver`].
pub(crate) fn hand_over(socket: &Utf8Path, handover: &Handover) -> Result<(), NotHandedOver> {
    let mut line = serde_json::to_vec(handover).map_err(io::Error::from)?;
    line.push(b'\n');
    if handover.open.len() > MOST_WORDS || line.len() as u64 > LONGEST {
        return Err(NotHandedOver::TooMuch);
    }
    let begun = Instant::now();
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) if begun.elapsed() >= PATIENCE => return Err(error.into()),
            Err(_) => std::thread::sleep(TRY_AGAIN),
        }
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(LONGEST)).read_until(b'\n', &mut answer)?;
    if answer == TAKEN { Ok(()) } else { Err(io::Error::other("it did not take it").into()) }
}

/// The socket, before anybody can be answered on it. Called by who holds the lock: what is there is left over.
///
/// # Errors
/// What the system says.
pub(crate) fn bind(socket: &Utf8Path) -> io::Result<std::os::unix::net::UnixListener> {
    if let Some(folder) = socket.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Takes what later starts hand over, for as long as the app runs.
pub(crate) async fn serve(listener: std::os::unix::net::UnixListener, take: impl Fn(Handover)) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a second start cannot reach this one");
            return;
        }
    };
    loop {
        let taken = match listener.accept().await {
            // One after the other: each is short, and has its time.
            Ok((stream, _)) => tokio::time::timeout(PATIENCE, receive(stream)).await,
            Err(error) => {
                tracing::warn!(%error, "a second start was not heard");
                tokio::time::sleep(TRY_AGAIN).await;
                continue;
            }
        };
        match taken {
            Ok(Ok(handover)) => take(handover),
            Ok(Err(error)) => tracing::warn!(%error, "what a second start handed over is not understood"),
            Err(_) => tracing::warn!("a second start said nothing"),
        }
    }
}

async fn receive(mut stream: tokio::net::UnixStream) -> io::Result<Handover> {
    let (from, mut to) = stream.split();
    let mut line = Vec::new();
    tokio::io::BufReader::new(from.take(LONGEST)).read_until(b'\n', &mut line).await?;
    let handover: Handover = serde_json::from_slice(&line)?;
    if handover.open.len() > MOST_WORDS {
        return Err(io::Error::other("it is too much"));
    }
    to.write_all(TAKEN).await?;
    Ok(handover)
}
