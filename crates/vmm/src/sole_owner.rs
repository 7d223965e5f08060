//! A lock on a file that says who owns what lies beside it.
//!
//! It is the kernel's (`flock`) and ends with the process that holds it, however that ends; there is no stale one.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How long a lock that is held is asked for again: a process that was just killed holds it until it is wholly gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock for as long as the file is open. Blocks the thread for up to two seconds.
///
/// # Errors
/// [`Errno::WOULDBLOCK`] when another process still has it then; else what `flock` says.
pub fn take(file: impl AsFd) -> Result<(), Errno> {
    let begun = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            taken => return taken,
        }
    }
}
