//! Gives up what is only kept in case it is wanted again.

use std::io;
use std::os::fd::AsFd as _;

use fs_err as fs;
use protocol::agent::Reclaimed;

use crate::console::chain;
use crate::metrics::kib;
use crate::{data_disk, sys};

/// The kernel's switch: page cache, and what it knows of files (`3`).
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Gives up all there is. Takes as long as the disk does.
pub(crate) fn now() -> Reclaimed {
    let mut notes = Vec::new();
    // Only what is on the disk can be let go of.
    rustix::fs::sync();
    let before = memory_free();
    if let Err(error) = fs::write(DROP_CACHES, "3") {
        notes.push(format!("the page cache was kept: {}", chain(&error)));
    }
    let memory = memory_free().saturating_sub(before);
    let disk = match trim() {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            notes.push(format!("free blocks of the data disk were not told of: {}", chain(&error)));
            None
        }
    };
    Reclaimed { memory, disk, notes }
}

fn memory_free() -> u64 {
    kib(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemFree")
}

/// Tells the data disk all blocks that no file has; their bytes.
fn trim() -> io::Result<u64> {
    let place = fs::File::open(data_disk::PLACE)?;
    sys::trim(place.as_fd())
}
