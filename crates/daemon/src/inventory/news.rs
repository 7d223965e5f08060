//! That something changed, as a stream: a connection to the engine's events for as long as somebody looks.

use std::time::Duration;

use engine::EngineError;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::machine::MachineHost;

/// Between two of what is told. A build or a compose project makes hundreds of events a second.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells of changes. Never ends while the machine's host lives.
pub(super) fn follow(machine: MachineHost) -> BoxStream<'static, ()> {
    let following = Following { machine, events: None, next: Instant::now() };
    futures::stream::unfold(following, |mut following| async move {
        following.next().await.map(|()| ((), following))
    })
    .boxed()
}

struct Following {
    machine: MachineHost,
    events: Option<BoxStream<'static, Result<(), EngineError>>>,
    /// When the next may be told.
    next: Instant,
}

impl Following {
    async fn next(&mut self) -> Option<()> {
        let mut state = self.machine.changed();
        loop {
            let Some(events) = &mut self.events else {
                state.wait_for(|state| state.is_ready()).await.ok()?;
                match self.machine.engine().news().await {
                    Ok(events) => self.events = Some(events),
                    Err(error) => {
                        tracing::debug!(%error, "the engine's events cannot be followed");
                        sleep(PAUSE).await;
                        continue;
                    }
                }
                // What happened while nobody listened is not known.
                return self.tell().await;
            };
            let happened = tokio::select! {
                event = events.next() => matches!(event, Some(Ok(()))),
                gone = state.wait_for(|state| !state.is_ready()) => { gone.ok()?; false }
            };
            if happened {
                return self.tell().await;
            }
            self.events = None;
            sleep(PAUSE).await;
        }
    }

    /// Waits until it may be told, and takes along what happens meanwhile.
    async fn tell(&mut self) -> Option<()> {
        while Instant::now() < self.next {
            let Some(events) = &mut self.events else { break };
            match timeout_at(self.next, events.next()).await {
                Ok(Some(Ok(()))) => {}
                Ok(Some(Err(_)) | None) => self.events = None,
                Err(_) => break,
            }
        }
        self.next = Instant::now() + PAUSE;
        Some(())
    }
}
