//! Sleep and wake of this computer.
//!
//! | | before sleep | after waking |
//! |---|---|---|
//! | macOS | told, and the sleep waits for a word for up to 30 s | told |
//! | Linux | not told: it could be learnt over D-Bus alone | noticed by the clocks, at once |

mod clocks;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::fmt;
use std::io;

use tokio::sync::mpsc;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;

pub use self::clocks::SleepClock;

/// Something that happened to this computer.
#[derive(Debug)]
pub enum PowerEvent {
    /// It is about to sleep, and waits until this is dropped, for as long as the system lets it.
    WillSleep(Acknowledgement),
    /// It slept and is awake again.
    DidWake,
}

/// The word that a sleep waits for. Dropping it gives it.
pub struct Acknowledgement(Option<Box<dyn FnOnce() + Send>>);

impl Acknowledgement {
    /// One that does this when it is dropped.
    pub fn new(give: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(give)))
    }
}

impl Drop for Acknowledgement {
    fn drop(&mut self) {
        if let Some(give) = self.0.take() {
            give();
        }
    }
}

impl fmt::Debug for Acknowledgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acknowledgement")
    }
}

/// What happens to this computer, one event after another.
#[derive(Debug)]
pub struct PowerEvents {
    receiver: mpsc::UnboundedReceiver<PowerEvent>,
}

impl PowerEvents {
    /// Follows this computer from now on. Meant for one call in the life of a process: what it registers with the
    /// system stays.
    ///
    /// # Errors
    /// The system tells nothing of the kind.
    pub fn watch() -> io::Result<Self> {
        let (sender, events) = Self::made_up();
        system::watch(sender)?;
        Ok(events)
    }

    /// Events that are sent by hand.
    pub fn made_up() -> (mpsc::UnboundedSender<PowerEvent>, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Self { receiver })
    }

    /// The next event; `None` when no more can come. Cancel safe.
    pub async fn next(&mut self) -> Option<PowerEvent> {
        self.receiver.recv().await
    }
}
