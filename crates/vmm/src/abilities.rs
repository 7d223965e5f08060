//! What some drivers can do beside starting and ending a machine. A driver that cannot gives `None`.

use futures::future::BoxFuture;

use crate::{Error, Share};

/// Halting the machine and letting it go on: before the host sleeps, and after.
pub trait Pause: Send + Sync {
    /// Stops the guest's processors. Streams stay open and are silent. Paused already: done.
    fn pause(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Lets the guest go on. Its clock stands where it was: set it before anything is served. Running: done.
    fn resume(&self) -> BoxFuture<'_, Result<(), Error>>;
}

/// Ending the machine so that the next boot of the same description goes on where this one was.
pub trait Snapshot: Send + Sync {
    /// Keeps the machine's state on disk and ends it. After an error it runs on as before.
    fn save(&self) -> BoxFuture<'_, Result<(), Error>>;
}

/// Asking memory back from the guest.
pub trait Balloon: Send + Sync {
    /// Lets the guest have this much memory, in MiB; at most what it was started with.
    fn set_target(&self, memory_mib: u64) -> BoxFuture<'_, Result<(), Error>>;
}

/// Sharing other folders while the machine runs.
pub trait ChangeShares: Send + Sync {
    /// Shares these folders and no others. The guest mounts them by their tags as it did the first ones.
    fn set(&self, shares: &[Share]) -> BoxFuture<'_, Result<(), Error>>;
}
