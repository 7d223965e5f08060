//! Changes of this computer's network: addresses, routes, names, proxies.
//!
//! Only *that* something changed is told; who needs to know what it is reads it anew.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;

/// Changes come in bursts; they are one when none follows for so long.
const SETTLED: Duration = Duration::from_secs(1);

/// Changes of the network, one after another.
#[derive(Debug)]
pub struct NetworkChanges {
    changed: Arc<Notify>,
}

impl NetworkChanges {
    /// Follows this computer's network from now on. Meant for one call in the life of a process: what it registers
    /// with the system stays.
    ///
    /// # Errors
    /// The system tells nothing of the kind.
    pub fn watch() -> io::Result<Self> {
        let changed = Arc::new(Notify::new());
        system::watch(Arc::clone(&changed))?;
        Ok(Self { changed })
    }

    /// Returns when the network has changed and come to rest. Cancel safe: what was not told is told by the next call.
    pub async fn next(&mut self) {
        self.changed.notified().await;
        loop {
            match tokio::time::timeout(SETTLED, self.changed.notified()).await {
                Ok(()) => {}
                Err(_) => return,
            }
        }
    }
}
