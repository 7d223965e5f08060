//! A folder by a symbolic link, in a folder under `/tmp` that is this user's alone. Where descriptors have no names.

use std::io;
use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};
use tempfile::TempDir;

/// Not the user's own folder for temporary files, whose name is half as long as a socket's path may be.
const SHORT_FOLDER: &str = "/tmp";

#[derive(Debug)]
pub(super) struct Alias {
    folder: TempDir,
}

impl Alias {
    pub(super) fn of(folder: &Utf8Path) -> io::Result<Self> {
        // Made for its owner alone.
        let place = tempfile::Builder::new().prefix("cove-").tempdir_in(SHORT_FOLDER)?;
        symlink(fs_err::canonicalize(folder)?, place.path().join("f"))?;
        Ok(Self { folder: place })
    }

    pub(super) fn path(&self) -> Utf8PathBuf {
        // The name is ours: `/tmp`, the prefix, and letters.
        Utf8Path::new(SHORT_FOLDER)
            .join(self.folder.path().file_name().unwrap_or_default().to_string_lossy().as_ref())
            .join("f")
    }
}
