//! Signals that call a command off: what it does then ends by being dropped.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// How long what was called off may take to end.
pub(crate) const MOMENT: Duration = Duration::from_millis(500);

/// Waits for a signal that asks for the end; its number. Linux and macOS agree on these.
pub(crate) async fn called_off() -> u8 {
    let (Ok(mut hangup), Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::hangup()), signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers of ours a signal ends the process by itself.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = hangup.recv() => 1,
        _ = interrupt.recv() => 2,
        _ = terminate.recv() => 15,
    }
}
