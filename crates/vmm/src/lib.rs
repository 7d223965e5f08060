//! Boots virtual machines on whatever hypervisor the host has.
//!
//! Two traits are the whole door: a [`Hypervisor`] makes machines out of a [`VmConfig`], a [`VmDriver`] is one of
//! them while it lives. Nobody outside asks which driver it is. What goes over the streams of
//! [`VmDriver::connect`] is none of this crate's business; neither are networks beyond the one device, nor what
//! runs in the guest.
//!
//! ```text
//!            boot()                agent's first word          guest switched off
//!  VmConfig --------> Starting ------------------> Running ---------------------> Stopped
//!                        |                            |  \ request_stop() -> Stopping -^
//!                        +--------> Failed <----------+------------------------+
//! ```
//!
//! Drivers: [`qemu`] for Linux hosts, [`vz`] for Macs, [`fake`] for tests.

mod abilities;
pub mod config;
mod console;
mod disk;
mod error;
pub mod fake;
pub mod identity;
pub mod image;
pub mod memory;
mod mux;
mod process;
pub mod qemu;
pub mod short_path;
pub mod sole_owner;
mod state;
mod transport;
pub mod vz;

use std::fmt;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

pub use abilities::{Balloon, ChangeShares, Pause, Snapshot};
pub use config::{Architecture, DataDisk, Network, Share, VmConfig, Wishes};
pub use error::Error;
pub use image::BootImage;
pub use mux::MuxError;
pub use state::{Accelerator, Failure, FailureKind, VmFacts, VmState};

/// Makes machines.
pub trait Hypervisor: Send + Sync {
    /// A word for logs and statuses: `qemu`, `vz`, `fake`.
    fn name(&self) -> &'static str;

    /// Says whether this hypervisor could run the machine, without touching anything.
    fn validate(&self, config: &VmConfig) -> Result<(), Error>;

    /// Powers a machine on. It is `Starting` when this returns; follow [`VmDriver::watch`] for the rest.
    ///
    /// Dropping the future leaves no process behind.
    fn boot(&self, config: VmConfig) -> BoxFuture<'_, Result<Box<dyn VmDriver>, Error>>;
}

/// One machine, from power-on to its end. Dropping it ends the machine as [`kill`](Self::kill) does.
pub trait VmDriver: Send + Sync + fmt::Debug {
    /// How the machine stands now.
    fn state(&self) -> VmState;

    /// Every state from now on; the present one is in it.
    fn watch(&self) -> watch::Receiver<VmState>;

    /// What is measured about the machine.
    fn facts(&self) -> VmFacts;

    /// Presses the power button. The guest may take its time, or ignore it. Returns when it is pressed.
    fn request_stop(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Ends the machine at once, as a power cut would. Returns when nothing of it is left.
    fn kill(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Opens a byte stream to a port of the guest. Half-close is kept; dropping the stream resets it.
    fn connect(&self, port: u32) -> BoxFuture<'_, Result<ByteStream, Error>>;

    /// Halting the machine and letting it go on.
    fn pause(&self) -> Option<&dyn Pause> {
        None
    }

    /// Ending the machine so that the next boot goes on where this one was.
    fn snapshot(&self) -> Option<&dyn Snapshot> {
        None
    }

    /// Asking memory back from the guest.
    fn balloon(&self) -> Option<&dyn Balloon> {
        None
    }

    /// Sharing other folders while the machine runs.
    fn change_shares(&self) -> Option<&dyn ChangeShares> {
        None
    }
}

/// Bytes both ways.
pub trait ByteIo: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteIo for T {}

/// A stream into the guest.
pub type ByteStream = Box<dyn ByteIo>;
