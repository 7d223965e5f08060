//! A log that cannot grow without end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Bytes after which a new file begins. The one before is kept, so twice as many is the most there is.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// An open log.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    length: u64,
}

/// The file before the present one.
pub(super) fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

impl Log {
    /// Goes on with a log, or begins it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, length })
    }

    /// Adds to it. A disk that is full costs lines, not the program that writes them.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.length + bytes.len() as u64 > MAX_BYTES
            && fs::rename(&self.path, before(&self.path)).is_ok()
            && let Ok(next) = Self::open(&self.path)
        {
            *self = next;
        }
        if self.file.write_all(bytes).is_ok() {
            self.length += bytes.len() as u64;
        }
    }
}
