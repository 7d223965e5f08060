//! Names for tests, of a state folder of their own.

use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpListener;

use super::{AuthorityPlace, Names, NamesSettings, Ports};
use crate::Paths;

/// Names with these settings.
pub(crate) fn names(paths: &Paths, settings: NamesSettings) -> Names {
    Names::new(settings, AuthorityPlace::new(paths.secrets_dir(), paths.https_dir()))
}

/// None.
pub(crate) fn no_names(paths: &Paths) -> Names {
    names(paths, NamesSettings { http_port: 0, https_port: 0 })
}

/// Frees the ports that wait for somebody, as the end of a process does.
pub(crate) async fn free_doorbells(ports: &Ports) {
    let waiting: Vec<_> = ports.inner.lock().doorbells.keys().cloned().collect();
    for id in waiting {
        ports.inner.take_doorbells_away(&id).await;
    }
}

/// A port that nobody else takes meanwhile: below those that the system hands out by itself, and handed out here only
/// once.
pub(crate) async fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    loop {
        // Others are searched near a port that is taken, so they are kept well apart.
        let port = first + NEXT.fetch_add(100, Ordering::Relaxed) % 2_700;
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}
