//! What follows from sleep, waking and a new network of this computer. What is *done* for it is the machine's own
//! matter: here is only told.

use std::time::Duration;

use host::network::NetworkChanges;
use host::power::{PowerEvent, PowerEvents};
use tokio::time::{sleep, timeout};

use crate::machine::MachineHost;

/// How long a sleep is held up until the machine is at rest. macOS waits for 30 s at most, and people who close a lid
/// do not.
const REST_TIME: Duration = Duration::from_secs(10);

/// How long a computer may be awake after it said that it will sleep, until it is taken to be: the word of its waking
/// is lost, or it never slept. The time that it sleeps does not count.
const WORD_OF_WAKING: Duration = Duration::from_mins(2);

/// Follows sleep and waking. Returns when there is nothing to follow.
pub(crate) async fn follow_sleep(machine: MachineHost, mut events: PowerEvents) {
    let mut asleep = false;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = sleep(WORD_OF_WAKING), if asleep => {
                tracing::warn!("nobody told that this computer is awake, and it is");
                Some(PowerEvent::DidWake)
            }
        };
        match event {
            Some(PowerEvent::WillSleep(acknowledgement)) => {
                tracing::info!("this computer is about to sleep");
                asleep = true;
                if timeout(REST_TIME, machine.host_will_sleep()).await.is_err() {
                    tracing::warn!("this computer sleeps before the machine is at rest");
                }
                drop(acknowledgement);
            }
            Some(PowerEvent::DidWake) => {
                tracing::info!("this computer is awake");
                asleep = false;
                machine.host_woke();
            }
            None => return,
        }
    }
}

/// Follows the network. Never returns.
pub(crate) async fn follow_network(machine: MachineHost, mut changes: NetworkChanges) {
    loop {
        changes.next().await;
        machine.host_network_changed();
    }
}
