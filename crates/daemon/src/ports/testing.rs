//! Names for tests, of a state folder of their own.

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
