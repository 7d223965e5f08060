//! Files that their owner alone can read, and that are there whole or not at all.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use camino::Utf8Path;

use crate::whole_file;

/// Writes a file in place of the one before: after a kill or a power cut the old or the new one is there. The folder is
/// made where it is missing, for its owner alone.
///
/// # Errors
/// It is not written; then the one before still is there.
pub fn write(folder: &Utf8Path, name: &str, content: &[u8]) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let beside = folder.join(format!("{name}.new"));
    // One that a cut-off write left behind may have other rights.
    whole_file::remove(&beside)?;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // On a full disk a half of it would be in the way of others.
        let _ = whole_file::remove(&beside);
        return Err(error);
    }
    fs_err::rename(&beside, folder.join(name))?;
    fs_err::File::open(folder)?.sync_all()
}

/// What is in a file; `None` where there is none.
///
/// # Errors
/// It cannot be read.
pub fn read(folder: &Utf8Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    whole_file::read(&folder.join(name))
}

/// Takes a file away; one that is not there is away.
///
/// # Errors
/// It stays.
pub fn remove(folder: &Utf8Path, name: &str) -> io::Result<()> {
    whole_file::remove(&folder.join(name))
}
