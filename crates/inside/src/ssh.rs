//! An ssh server for one connection, on standard input and output.
//!
//! It begins with a start message ([`protocol::inside::SshStart`]): the host key of this connection with its
//! certificate, and the one key that may come in. Everything it starts runs as the user that runs it, with its
//! variables and in its folder, and is hung up when the connection ends.

mod channels;
mod forward;
mod process;
mod server;
mod sftp;
mod signals;
mod start;
mod terminal;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use russh::keys::Algorithm;
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

use crate::chain;
use server::Server;
use start::Start;

/// What a client may send on one channel before it hears from us, in bytes.
const WINDOW: u32 = 1 << 20;

/// The connection could not be served.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("the start message cannot be used")]
    Start(#[from] start::StartError),
    #[error("standard input and output cannot be used")]
    Io(#[from] io::Error),
    #[error("the connection broke off")]
    Ssh(#[from] russh::Error),
}

pub(crate) fn main() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let served = runtime.block_on(serve()).map_err(|error| chain(&error));
    // Reads of files that hang must not keep what is over.
    runtime.shutdown_background();
    served
}

async fn serve() -> Result<(), ServeError> {
    let gone = CancellationToken::new();
    let mut input = pipe::Receiver::from_owned_fd_unchecked(unblocked(std::io::stdin().as_fd())?)?;
    let output = pipe::Sender::from_owned_fd_unchecked(unblocked(std::io::stdout().as_fd())?)?;
    watch_for_the_end(gone.clone());
    let start = tokio::select! {
        start = start::read(&mut input) => start?,
        () = gone.cancelled() => return Ok(()),
    };
    let Start { host_key, certificate, client_key, shell } = start;
    let config = Config {
        server_id: SshId::Standard(concat!("SSH-2.0-Cove_", env!("CARGO_PKG_VERSION")).into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // Who can speak to this process has been let in by the daemon's socket already: nobody guesses here.
        auth_rejection_time: Duration::ZERO,
        keys: vec![host_key],
        certificates: vec![certificate],
        window_size: WINDOW,
        inactivity_timeout: None,
        preferred: Preferred { key: vec![Algorithm::Ed25519].into(), ..Preferred::default() },
        ..Config::default()
    };
    let server = Server::new(client_key, shell);
    let processes = server.processes();
    let running = russh::server::run_stream(Arc::new(config), tokio::io::join(input, output), server).await?;
    let ended = tokio::select! {
        ended = running => ended,
        () = gone.cancelled() => Ok(()),
    };
    processes.hang_up_all();
    match ended {
        Err(russh::Error::IO(error)) if is_an_end(error.kind()) => Ok(()),
        Err(russh::Error::HUP | russh::Error::Disconnect) => Ok(()),
        ended => Ok(ended?),
    }
}

fn is_an_end(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn unblocked(file: impl AsFd) -> io::Result<OwnedFd> {
    let file = file.as_fd().try_clone_to_owned()?;
    rustix::io::ioctl_fionbio(&file, true)?;
    Ok(file)
}

/// Tells when nobody can write to our standard input any more, even while a channel is full and nothing is read.
fn watch_for_the_end(gone: CancellationToken) {
    std::thread::spawn(move || {
        let input = std::io::stdin();
        loop {
            let mut watched = [PollFd::new(&input, PollFlags::RDHUP)];
            match poll(&mut watched, None) {
                Err(rustix::io::Errno::INTR) => {}
                _ => break gone.cancel(),
            }
        }
    });
}
