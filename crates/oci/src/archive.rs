//! Small archives, read into memory and written from it.

mod links;
mod pack;
#[cfg(test)]
mod tests;
mod unpack;

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

pub use self::pack::pack;
pub use self::unpack::{LinkFault, PathFault, UnpackError, decompressed, unpack};

/// The files of an archive by their relative paths. Folders are there when files are in them.
pub type Files = BTreeMap<Utf8PathBuf, File>;

/// A regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The content.
    pub bytes: Vec<u8>,
    /// The permission bits, at most `0o777`.
    pub mode: u32,
}

/// The most that is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries of any kind in the archive, and files in the result.
    pub entries: usize,
    /// Bytes of all files together.
    pub bytes: u64,
}

impl Default for Limits {
    /// Ten thousand entries and 512 MiB: many times any known feature or template.
    fn default() -> Self {
        Self { entries: 10_000, bytes: 512 << 20 }
    }
}
