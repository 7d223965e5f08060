//! Swap into compressed memory, half of the memory in size: room for a burst, without a disk.

use std::io::{self, Write as _};
use std::path::Path;

use fs_err as fs;

use crate::journal::Journal;
use crate::modules::Modules;
use crate::{metrics, sys};

const DEVICE: &str = "/dev/zram0";
const CONTROL: &str = "/sys/block/zram0";
const PRIORITY: u16 = 100;
const PAGE: usize = 4096;

/// Starts it. A kernel without it has no swap: that is told and no more.
pub(crate) async fn start(journal: &Journal) {
    let started = tokio::task::spawn_blocking(set_up).await.map_err(io::Error::other);
    match started.and_then(|outcome| outcome) {
        Ok(size) => journal.info(format!("{} MiB of compressed swap", size >> 20)),
        Err(error) => journal.warn(format!("no compressed swap: {error}")),
    }
}

fn set_up() -> io::Result<u64> {
    if let Ok(mut modules) = Modules::of_running_kernel() {
        modules.load("zram").map_err(io::Error::other)?;
    }
    let control = Path::new(CONTROL);
    // The kernel's own choice stays where it lacks this one.
    if fs::write(control.join("comp_algorithm"), "zstd").is_err() {
        let _ = fs::write(control.join("comp_algorithm"), "lzo-rle");
    }
    let memory = metrics::kib(&fs::read_to_string("/proc/meminfo")?, "MemTotal");
    let size = memory / 2 / PAGE as u64 * PAGE as u64;
    fs::write(control.join("disksize"), size.to_string())?;
    std::fs::OpenOptions::new().write(true).open(DEVICE)?.write_all(&header(size))?;
    sys::swapon(Path::new(DEVICE), PRIORITY)?;
    Ok(size)
}

/// The first page of swap space, as `mkswap` writes it.
fn header(size: u64) -> Vec<u8> {
    const MARK: &[u8] = b"SWAPSPACE2";
    let last_page = u32::try_from(size / PAGE as u64).unwrap_or(u32::MAX).saturating_sub(1);
    let mut page = vec![0; PAGE];
    page[1024..1028].copy_from_slice(&1u32.to_ne_bytes());
    page[1028..1032].copy_from_slice(&last_page.to_ne_bytes());
    page[PAGE - MARK.len()..].copy_from_slice(MARK);
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_its_version_and_its_last_page() {
        let page = header(10 * PAGE as u64);
        assert_eq!(page[1024..1032], [1, 0, 0, 0, 9, 0, 0, 0]);
        assert_eq!(&page[4086..], b"SWAPSPACE2");
    }
}
