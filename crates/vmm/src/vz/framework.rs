//! The calls of Virtualization.framework that the driver needs, as a trait: Apple's framework is behind it on a Mac,
//! and QEMU in a rehearsal.
//!
//! Nothing here decides anything. A state that is asked for is what the framework says at that moment; a change of it
//! that nobody asked for comes as an [`Event`].

use std::fmt;
use std::os::fd::OwnedFd;

use camino::Utf8Path;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::description::{MachineDescription, SharedFolder};
use super::error::FrameworkError;
use super::host::HostFacts;
use super::identity::MachineIdentity;
use crate::ByteStream;

/// The framework.
pub trait Framework: Send + Sync + fmt::Debug {
    /// What this host can do.
    fn host(&self) -> HostFacts;

    /// Asks the person for Apple's licence and installs Rosetta for Linux.
    fn install_rosetta(&self) -> BoxFuture<'_, Result<(), FrameworkError>>;

    /// A new identity for a machine.
    fn new_identity(&self) -> MachineIdentity;

    /// Whether the framework would make this machine.
    fn validate(&self, description: &MachineDescription) -> Result<(), FrameworkError>;

    /// Whether the framework could save this machine and restore it.
    fn validate_save_restore(&self, description: &MachineDescription) -> Result<(), FrameworkError>;

    /// Makes a machine that is off. Its console's file is begun anew.
    fn create(&self, description: &MachineDescription) -> Result<Created, FrameworkError>;
}

/// A machine that was made, and what happens to it.
#[derive(Debug)]
pub struct Created {
    /// The machine.
    pub machine: Box<dyn Machine>,
    /// What happens to it by itself.
    pub events: mpsc::UnboundedReceiver<Event>,
    /// The other end of its network card, where the description asks for frames.
    pub frames: Option<OwnedFd>,
}

/// One machine of the framework. Dropping it ends it.
pub trait Machine: Send + Sync + fmt::Debug {
    /// How it stands now.
    fn state(&self) -> RunState;

    /// Powers it on.
    fn start(&self) -> BoxFuture<'_, Result<(), FrameworkError>>;

    /// Halts it.
    fn pause(&self) -> BoxFuture<'_, Result<(), FrameworkError>>;

    /// Lets it go on.
    fn resume(&self) -> BoxFuture<'_, Result<(), FrameworkError>>;

    /// Presses the power button.
    fn request_stop(&self) -> BoxFuture<'_, Result<(), FrameworkError>>;

    /// Pulls the plug.
    fn stop(&self) -> BoxFuture<'_, Result<(), FrameworkError>>;

    /// Writes the state of the halted machine to a file, which must not be there.
    fn save<'a>(&'a self, file: &'a Utf8Path) -> BoxFuture<'a, Result<(), FrameworkError>>;

    /// Gives the machine, which is off, the state in a file. It is halted afterwards.
    fn restore<'a>(&'a self, file: &'a Utf8Path) -> BoxFuture<'a, Result<(), FrameworkError>>;

    /// Connects to a port of the guest.
    fn connect(&self, port: u32) -> BoxFuture<'_, Result<ByteStream, FrameworkError>>;

    /// Takes the guest's connections to a port of the host, as long as what is given back lives.
    fn listen(&self, port: u32) -> BoxFuture<'_, Result<mpsc::Receiver<ByteStream>, FrameworkError>>;

    /// Puts these folders in place of all others.
    fn set_shares<'a>(&'a self, shares: &'a [SharedFolder]) -> BoxFuture<'a, Result<(), FrameworkError>>;

    /// Lets the guest have this much memory, in bytes.
    fn set_balloon_target(&self, bytes: u64) -> BoxFuture<'_, Result<(), FrameworkError>>;

    /// Attaches the network card again, after [`Event::NetworkLost`].
    fn reattach_network(&self) -> BoxFuture<'_, Result<(), FrameworkError>>;

    /// Memory that the machine costs the host now, in bytes, or the most it can cost where that is all that is known.
    fn host_memory(&self) -> u64;
}

/// How a machine stands for the framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Off.
    Stopped,
    /// Running.
    Running,
    /// Halted.
    Paused,
    /// It failed.
    Error,
    /// On its way to running.
    Starting,
    /// On its way to being halted.
    Pausing,
    /// On its way from being halted.
    Resuming,
    /// On its way to off.
    Stopping,
    /// Being written to a file.
    Saving,
    /// Being read from a file.
    Restoring,
    /// One that a newer macOS has.
    Unknown,
}

/// What happens to a machine by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The guest switched itself off.
    GuestStopped,
    /// The machine failed.
    Failed(FrameworkError),
    /// The network card lost what it was attached to. The machine runs on.
    NetworkLost(FrameworkError),
}
