//! A lock on a file that says who owns what lies beside it.
//!
//! It is the kernel's (`flock`) and ends with the process that holds it, however that ends; there is no stale one.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How long a process that was just killed may hold its lock still: until it is wholly gone.
pub const MOMENT: Duration = Duration::from_secs(2);

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Takes the lock for as long as the file is open. One that is held is asked for again for as long as `patience`, which
/// blocks the thread; [`MOMENT`] is the least that makes sense.
///
/// # Errors
/// [`Errno::WOULDBLOCK`] when another process still has it then; else what `flock` says.
pub fn take(file: impl AsFd, patience: Duration) -> Result<(), Errno> {
    let begun = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if begun.elapsed() < patience => std::thread::sleep(PAUSE),
            taken => return taken,
        }
    }
}
