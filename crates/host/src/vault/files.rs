//! Files that their owner alone can read.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use camino::Utf8Path;

use crate::whole_file;

pub(super) fn keep(folder: &Utf8Path, name: &str, secret: &[u8]) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let beside = folder.join(format!("{name}.new"));
    // One that a cut-off write left behind may have other rights.
    whole_file::remove(&beside)?;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(secret)?;
    file.sync_all()?;
    fs_err::rename(&beside, folder.join(name))
}

pub(super) fn of(folder: &Utf8Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    whole_file::read(&folder.join(name))
}

pub(super) fn remove(folder: &Utf8Path, name: &str) -> io::Result<()> {
    whole_file::remove(&folder.join(name))
}
