//! One `up` makes a dev container at a time: two at once would both find none, and each would make one.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};

use camino::Utf8Path;
use engine::Engine;
use sha2::{Digest, Sha256};

use crate::log::{Level, Log};

/// Whose turn it is to make a container. Dropping it, or the end of the process however it ends, gives it to the next.
pub(super) struct Turn {
    /// Locked as long as it is open; `None` where the folder cannot be written, and nobody waits for anybody.
    _file: Option<File>,
}

impl Turn {
    /// Waits until no other `up` on this computer is making the container with these labels in this engine.
    /// `state` is a folder on this computer.
    pub(super) async fn wait(
        state: &Utf8Path,
        engine: &Engine,
        labels: &BTreeMap<String, String>,
        log: &Log,
    ) -> Self {
        let file = match open(state, &format!("{} {labels:?}", engine.endpoint())) {
            Ok(file) => file,
            Err(error) => {
                tracing::info!(%error, folder = %state, "no lock is kept there");
                return Self { _file: None };
            }
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            Ok(()) | Err(TryLockError::Error(_)) => return Self { _file: Some(file) },
        }
        log.write(Level::Info, "Another `up` is making this dev container. Waiting for it...");
        let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await;
        Self { _file: locked.ok().and_then(Result::ok) }
    }
}

fn open(state: &Utf8Path, what: &str) -> std::io::Result<File> {
    let folder = state.join("up");
    std::fs::create_dir_all(&folder)?;
    let name =
        Sha256::digest(what).iter().take(16).fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    // Left there: whoever removed it would take it from under one who waits for it.
    File::options().create(true).append(true).open(folder.join(format!("{name}.lock")))
}
