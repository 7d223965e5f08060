//! The first process of a container in which others work: waits to be stopped, and buries the dead that come to it.

use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{SignalKind, signal};

/// `wait`
pub(crate) fn main() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(run()).map_err(|error| format!("cannot wait for signals: {error}"))
}

async fn run() -> std::io::Result<()> {
    // For a first process no signal has an effect by itself.
    let (mut asked, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut ended = signal(SignalKind::child())?;
    loop {
        while let Ok(Some(_)) | Err(Errno::INTR) = wait(WaitOptions::NOHANG) {}
        tokio::select! {
            _ = ended.recv() => {}
            _ = asked.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
        }
    }
}
