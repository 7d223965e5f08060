//! Keeps the open ports of environments equal to what was said of them and to what listens, and tells who listens.
//!
//! This goes on beside the steps of an environment: a server that a hook starts and waits for is reached while that hook
//! runs. What it decides with is observed anew each time, so a missed change costs nothing but the time to the next one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::{EnvironmentId, EventKind, ObjectReference, PortAction, PortOrigin, PortStatus};
use tokio::time::Instant;

use super::wanted::{self, Seen, WantedPort};
use super::{Inner, Table, key_of};

/// How long a port that was found stays open after its program has ended: servers restart while people work on them.
const LINGER: Duration = Duration::from_secs(5);

/// Keeps all environments, for as long as the process lives.
pub(super) async fn follow(inner: Arc<Inner>) {
    let mut listeners = inner.listeners.clone();
    let mut containers = inner.containers.subscribe();
    // Names start environments that an earlier daemon stopped because nobody used them.
    let sleepers = inner.store.environments().unwrap_or_default();
    if sleepers.iter().any(|environment| environment.spec.starts_on_use()) {
        inner.names.open(&inner.this).await;
    }
    loop {
        let lingers = inner.lock().forwards.values().flatten().any(|open| open.silent_since.is_some());
        tokio::select! {
            // The senders live as long as `inner` does.
            _ = listeners.changed() => {}
            _ = containers.changed() => {}
            () = inner.look.notified() => {}
            () = tokio::time::sleep(LINGER), if lingers => {}
        }
        let ids: Vec<EnvironmentId> = inner.lock().environments.keys().cloned().collect();
        for id in ids {
            inner.apply(&id).await;
        }
    }
}

impl Inner {
    /// Opens and closes what is to be for one environment, and writes how its ports stand.
    pub(super) async fn apply(&self, id: &EnvironmentId) {
        let _turn = self.applying.lock().await;
        let Some(of) = self.lock().environments.get(id).cloned() else { return };
        let environment = match self.store.environment(id) {
            Ok(Some(environment)) => environment,
            Ok(None) => return,
            Err(error) => {
                return tracing::warn!(%error, %id, "the ports of an environment were not looked at");
            }
        };
        let listeners = Arc::clone(&self.listeners.borrow());
        let containers = Arc::clone(&self.containers.borrow());
        let seen = Seen { containers: &containers, listeners: &listeners };
        let (mut wanted, mut problems) = wanted::ports(&of, &environment.spec.ports, &seen);
        let now = Instant::now();
        {
            let mut table = self.lock();
            let running = |id: &str| containers.iter().any(|known| known.id == id);
            let lingering = table.lingering(id, &wanted, now, running);
            wanted.extend(lingering);
            table.names.insert(id.clone(), environment.metadata.name.clone());
        }
        if !wanted.is_empty() {
            self.names.open(&self.this).await;
        }
        let (statuses, more) = self.set(id, wanted).await;
        problems.extend(more);
        for port in self.lock().news(id, now, &statuses) {
            tracing::info!(environment = %environment.metadata.name, port = %port.inside(), "a program listens");
            self.store.emit(ObjectReference::environment(id), EventKind::PortListens { port });
        }
        let statuses = self.statuses(id);
        let is_news = {
            let mut table = self.lock();
            let before = table.problems.insert(id.clone(), problems.clone());
            before.unwrap_or_default() != problems
        };
        match self.store.write_ports(id, &statuses) {
            Ok(false) if !is_news => {}
            // Its task writes the whole status, and must not write what it saw before.
            Ok(_) => self.changed.send_modify(|count| *count += 1),
            Err(error) => tracing::warn!(%error, %id, "the ports of an environment were not written"),
        }
    }
}

impl Table {
    /// Ports that were found and are not seen any more, but not for long. Also notes since when ports are silent.
    fn lingering(
        &mut self,
        id: &EnvironmentId,
        wanted: &[WantedPort],
        now: Instant,
        running: impl Fn(&str) -> bool,
    ) -> Vec<WantedPort> {
        let mut lingering = Vec::new();
        for open in self.forwards.get_mut(id).into_iter().flatten() {
            let same = wanted.iter().find(|wanted| wanted.is_same(&open.wanted));
            if same.is_some_and(|same| same.listener.is_some()) {
                open.silent_since = None;
                continue;
            }
            if !open.told && open.wanted.origin != PortOrigin::Found {
                continue;
            }
            let since = *open.silent_since.get_or_insert(now);
            let is_over = now.duration_since(since) >= LINGER || !running(&open.wanted.container);
            if is_over {
                // The next program is news.
                open.told = false;
                open.silent_since = None;
            }
            if same.is_none() && open.wanted.origin == PortOrigin::Found && !is_over {
                lingering.push(WantedPort { listener: None, ..open.wanted.clone() });
            }
        }
        lingering
    }

    /// Ports that clients are to be told of: somebody listens there who did not before.
    fn news(&mut self, id: &EnvironmentId, now: Instant, statuses: &[PortStatus]) -> Vec<PortStatus> {
        let mut news = Vec::new();
        let mut nothing = BTreeSet::new();
        let told_before = self.told_before.get_mut(id).unwrap_or(&mut nothing);
        for open in self.forwards.get_mut(id).into_iter().flatten() {
            let wanted = &open.wanted;
            if wanted.listener.is_none() {
                // One that never was told of cannot fall silent.
                if open.told {
                    open.silent_since.get_or_insert(now);
                }
                continue;
            }
            let Some(status) = statuses.iter().find(|status| {
                status.service == wanted.service
                    && status.container_port == wanted.container_port
                    && status.transport == wanted.transport
            }) else {
                continue;
            };
            if std::mem::replace(&mut open.told, true) || told_before.remove(&key_of(status)) {
                continue;
            }
            let mut status = status.clone();
            if status.on_listen == PortAction::OpenBrowserOnce {
                let first = self.browsed.insert((wanted.container.clone(), wanted.container_port));
                if !first {
                    status.on_listen = PortAction::Silent;
                }
            }
            if status.on_listen != PortAction::Ignore {
                news.push(status);
            }
        }
        news
    }
}

#[cfg(test)]
mod tests;
