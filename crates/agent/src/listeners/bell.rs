//! Rings when a socket somewhere in the guest begins or ends to listen.
//!
//! The kernel says so itself: its tracepoint `inet_sock_set_state`, with a filter for the state of listening, in an
//! instance of its own of the kernel's tracing. What is written there is not read for its content. While nothing
//! happens nothing runs. A kernel without it is asked again and again.

use std::io;
use std::time::Duration;

use fs_err as fs;
use rustix::fs::{Mode, OFlags};
use tokio::io::AsyncReadExt as _;

use crate::device::Device;
use crate::journal::Journal;

const INSTANCE: &str = "/sys/kernel/tracing/instances/cove-listeners";
/// The state of listening is 10 in the kernel, `0A` in its tables.
const SETTINGS: &[(&str, &str)] = &[
    ("buffer_size_kb", "4"),
    // Tell of the first event, not of a buffer that is half full.
    ("buffer_percent", "0"),
    ("events/sock/inet_sock_set_state/filter", "oldstate == 10 || newstate == 10"),
    ("events/sock/inet_sock_set_state/enable", "1"),
    ("tracing_on", "1"),
];

/// Time between two looks where the kernel does not tell.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// How changes are heard of.
#[derive(Debug)]
pub(super) enum Bell {
    /// From the kernel.
    Kernel(Instance),
    /// Not at all.
    None,
}

/// An instance of the kernel's tracing. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Instance {
    /// In an option, to be closed before the instance can be removed.
    pipe: Option<Device>,
    piece: Vec<u8>,
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = fs::write(format!("{INSTANCE}/events/sock/inet_sock_set_state/enable"), "0");
        let _ = fs::remove_dir(INSTANCE);
    }
}

impl Bell {
    /// The best there is.
    pub(super) fn hang(journal: &Journal) -> Self {
        match Instance::new() {
            Ok(instance) => Self::Kernel(instance),
            Err(error) => {
                let words = "the kernel does not tell of listening sockets, they are looked for";
                journal.info(format!("{words}: {error}"));
                Self::None
            }
        }
    }

    /// Returns when something may have changed. Cancel safe.
    pub(super) async fn rings(&mut self) {
        if let Self::Kernel(instance) = self {
            match instance.heard().await {
                Ok(()) => return,
                // Somebody took it away: any program with all rights may.
                Err(_) => *self = Self::None,
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Instance {
    fn new() -> io::Result<Self> {
        // That of an agent that was killed.
        let _ = fs::remove_dir(INSTANCE);
        fs::create_dir(INSTANCE)?;
        let mut instance = Self { pipe: None, piece: vec![0; 4096] };
        for (file, value) in SETTINGS {
            fs::write(format!("{INSTANCE}/{file}"), value)?;
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let pipe = rustix::fs::open(format!("{INSTANCE}/trace_pipe"), flags, Mode::empty())?;
        instance.pipe = Some(Device::new(pipe)?);
        Ok(instance)
    }

    async fn heard(&mut self) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else { return Err(io::ErrorKind::NotConnected.into()) };
        match pipe.read(&mut self.piece).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
