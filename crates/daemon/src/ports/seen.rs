//! What listens in the guest, as its agent tells it: followed while an environment has ports.

use std::sync::Arc;
use std::time::Duration;

use api::MachinePhase;
use protocol::agent::{LONGEST_COMMAND, Listener};
use tokio::sync::watch;

use super::Inner;

/// Pause before the agent is asked again after it broke off.
const PAUSE: Duration = Duration::from_millis(500);

/// Most listeners that are looked at; a guest that tells more is not believed.
const MOST: usize = 4096;

/// Follows for as long as the process lives.
pub(super) async fn follow(inner: Arc<Inner>, seen: watch::Sender<Arc<Vec<Listener>>>) {
    let mut state = inner.machine.changed();
    let mut interest = inner.interest.subscribe();
    loop {
        // The senders live in `inner`, so these waits end with a change and with nothing else.
        if state.wait_for(|state| state.is_ready()).await.is_err() {
            return;
        }
        if interest.wait_for(|environments| *environments > 0).await.is_err() {
            return;
        }
        tokio::select! {
            () = follow_agent(&inner, &seen) => {}
            _ = interest.wait_for(|environments| *environments == 0) => {}
        }
        tokio::time::sleep(PAUSE).await;
        // A stream that was cut is made again at once; what a machine knew that is off, or that nobody asked since, is
        // not true any more.
        let is_off = inner.machine.state().phase != MachinePhase::Running;
        if is_off || *interest.borrow() == 0 {
            seen.send_replace(Arc::default());
        }
    }
}

async fn follow_agent(inner: &Inner, seen: &watch::Sender<Arc<Vec<Listener>>>) {
    let Ok(agent) = inner.machine.agent() else { return };
    let mut told = match agent.follow_listeners().await {
        Ok(told) => told,
        Err(error) => return tracing::warn!(%error, "the guest does not tell what listens"),
    };
    while let Some(listeners) = told.next().await {
        let listeners: Vec<Listener> = listeners.into_iter().take(MOST).filter(is_credible).collect();
        tracing::debug!(count = listeners.len(), "the guest told what listens");
        seen.send_if_modified(|known| {
            let is_news = **known != listeners;
            *known = Arc::new(listeners);
            is_news
        });
    }
}

fn is_credible(listener: &Listener) -> bool {
    let is_short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= LONGEST_COMMAND);
    listener.port != 0 && is_short(&listener.container) && is_short(&listener.command)
}
