//! The data disk: a sparse raw file that only ever grows.

use std::io;
use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::{FlockOperation, fcntl_lock};

use crate::{DataDisk, Error};

/// Free space below which a machine is not started: its first minute writes about this much.
const MIN_FREE_MIB: u64 = 256;

/// Makes the disk if it is absent and grows it if it is smaller than wanted. It is never cut: the end of a larger
/// one may hold data.
pub(crate) fn prepare(disk: &DataDisk) -> Result<(), Error> {
    let file_error = |doing, source| Error::File { doing, path: disk.path.clone(), source };
    let wanted = disk.size_gib.checked_mul(1 << 30).filter(|bytes| i64::try_from(*bytes).is_ok());
    let Some(wanted) = wanted else {
        let problem = format!("{} GiB is more than a file can hold", disk.size_gib);
        return Err(Error::InvalidConfig { field: "data disk", problem });
    };
    let folder = disk.path.parent().unwrap_or(Utf8Path::new("/"));
    create_folder(folder)?;
    check_space(disk, folder)?;
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&disk.path)
        .map_err(|source| file_error("make the disk", source))?;
    let present = file.metadata().map_err(|source| file_error("read the size of", source))?.len();
    if present < wanted {
        file.set_len(wanted).map_err(|source| file_error("grow the disk", source))?;
        tracing::info!(path = %disk.path, from = present, to = wanted, "data disk grown");
    }
    Ok(())
}

/// Makes a folder, and those above it.
pub(crate) fn create_folder(path: &Utf8Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|source| Error::File {
        doing: "make the folder",
        path: path.to_owned(),
        source,
    })
}

fn check_space(disk: &DataDisk, folder: &Utf8Path) -> Result<(), Error> {
    let free = free_bytes(folder).map_err(|source| Error::File {
        doing: "read the free space of",
        path: folder.to_owned(),
        source,
    })?;
    let free_mib = free >> 20;
    if free_mib < MIN_FREE_MIB {
        return Err(Error::NoSpace { path: disk.path.clone(), free_mib, needed_mib: MIN_FREE_MIB });
    }
    Ok(())
}

/// What an ordinary user may still write in a folder, in bytes.
pub(crate) fn free_bytes(folder: &Utf8Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(folder.as_std_path())?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Waits while a hypervisor that was just killed still holds the disk: it is gone from the list of processes before its
/// memory is given back and its locks are let go. One that holds on is the next one's to complain about.
pub(crate) async fn wait_until_free(disk: &DataDisk) {
    const PATIENCE: Duration = Duration::from_secs(10);
    const INTERVAL: Duration = Duration::from_millis(50);
    let Ok(file) = fs::OpenOptions::new().read(true).write(true).open(&disk.path) else { return };
    let begun = tokio::time::Instant::now();
    while fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_err() && begun.elapsed() < PATIENCE {
        tokio::time::sleep(INTERVAL).await;
    }
    // The lock ends with the file.
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn a_disk_is_sparse_private_and_never_shrinks() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().join("new/data.img")).unwrap();
        let size = |size_gib| prepare(&DataDisk { path: path.clone(), size_gib });
        for (wanted, expected) in [(2, 2), (3, 3), (1, 3)] {
            size(wanted).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), expected << 30);
        }
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o600);
        assert!(metadata.blocks() * 512 < 1 << 20, "the disk takes space before it is used");
        assert!(matches!(size(u64::MAX), Err(Error::InvalidConfig { .. })));
    }

    #[test]
    fn a_full_disk_is_told_before_the_machine_starts() {
        let full = [Utf8Path::new("/proc"), Utf8Path::new("/sys")];
        let folder = full.into_iter().find(|folder| free_bytes(folder).is_ok_and(|free| free == 0));
        let folder = folder.expect("a Linux host has a file system without any space");
        let disk = DataDisk { path: folder.join("data.img"), size_gib: 1 };
        assert!(matches!(check_space(&disk, folder), Err(Error::NoSpace { free_mib: 0, .. })));
    }
}
