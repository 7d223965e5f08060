//! What a file is like, as the protocol tells it.

use std::fs::{File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use russh_sftp::protocol::FileAttributes;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

/// What is told of a file. Times are of 32 bits there.
pub(super) fn of(metadata: &Metadata) -> FileAttributes {
    let time = |seconds: i64| Some(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX));
    FileAttributes {
        size: Some(metadata.size()),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
        permissions: Some(metadata.mode()),
        atime: time(metadata.atime()),
        mtime: time(metadata.mtime()),
        ..FileAttributes::default()
    }
}

/// Changes what is said, and nothing else.
pub(super) fn set(path: &Path, wanted: &FileAttributes) -> io::Result<()> {
    if let Some(size) = wanted.size {
        File::options().write(true).open(path)?.set_len(size)?;
    }
    if let Some(mode) = wanted.permissions {
        std::fs::set_permissions(path, Permissions::from_mode(mode & 0o7777))?;
    }
    if let Some(times) = times(wanted) {
        rustix::fs::utimensat(CWD, path, &times, AtFlags::empty())?;
    }
    if let Some((uid, gid)) = owner(wanted) {
        std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Changes what is said of an open file.
pub(super) fn set_open(file: &File, wanted: &FileAttributes) -> io::Result<()> {
    if let Some(size) = wanted.size {
        file.set_len(size)?;
    }
    if let Some(mode) = wanted.permissions {
        file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    }
    if let Some(times) = times(wanted) {
        rustix::fs::futimens(file, &times)?;
    }
    if let Some((uid, gid)) = owner(wanted) {
        std::os::unix::fs::fchown(file, Some(uid), Some(gid))?;
    }
    Ok(())
}

fn times(wanted: &FileAttributes) -> Option<Timestamps> {
    let at = |seconds: u32| Timespec { tv_sec: i64::from(seconds), tv_nsec: 0 };
    Some(Timestamps { last_access: at(wanted.atime?), last_modification: at(wanted.mtime?) })
}

fn owner(wanted: &FileAttributes) -> Option<(u32, u32)> {
    Some((wanted.uid?, wanted.gid?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_told_and_kinds_of_files_are_kept_apart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "content").unwrap();
        let wanted = FileAttributes {
            size: Some(3),
            permissions: Some(0o640),
            atime: Some(1),
            mtime: Some(2),
            ..FileAttributes::default()
        };
        set(&file, &wanted).unwrap();
        let told = of(&std::fs::metadata(&file).unwrap());
        assert_eq!((told.size, told.permissions, told.mtime), (Some(3), Some(0o100_640), Some(2)));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let told = of(&std::fs::symlink_metadata(&link).unwrap());
        assert_eq!(told.permissions.map(|mode| mode & 0o170_000), Some(0o120_000));
    }
}
