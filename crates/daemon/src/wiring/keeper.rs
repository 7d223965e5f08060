//! Keeps a machine on that a person wants on: after a start of the daemon, and after the machine was lost.

use std::time::Duration;

use api::MachinePhase;

use crate::machine::MachineHost;
use crate::store::Store;

/// First pause after a start that failed; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// Longest pause between two starts.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Never returns by itself.
pub(super) async fn keep(machine: MachineHost, store: Store) {
    let mut changes = machine.changed();
    let mut pause = FIRST_PAUSE;
    loop {
        let is_off = changes.borrow_and_update().phase == MachinePhase::Stopped;
        if is_off && is_wanted(&store) {
            match machine.ensure_running().await {
                Ok(()) => pause = FIRST_PAUSE,
                Err(problem) => {
                    tracing::warn!(%problem, "the machine that shall be kept running does not start");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    continue;
                }
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn is_wanted(store: &Store) -> bool {
    store.machine().is_ok_and(|machine| machine.spec.keep_running)
}
