//! SHA-256 digests, as they stand in lock files, cache names and the manifest.

use std::fmt;
use std::io::{self, Read as _};

use camino::Utf8Path;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// A SHA-256 in lower-case hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub(crate) struct Digest(String);

impl Digest {
    /// Reads the 64 digits; `None` when they are not that.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        hex.then(|| Self(text.to_owned()))
    }

    /// The digest of bytes in memory.
    pub(crate) fn of(bytes: impl AsRef<[u8]>) -> Self {
        let mut hasher = Hasher::default();
        hasher.add(bytes);
        hasher.finish()
    }

    /// The digest of a file's content, read in pieces.
    pub(crate) fn of_file(path: &Utf8Path) -> io::Result<Self> {
        let mut file = fs_err::File::open(path)?;
        let mut hasher = Hasher::default();
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(hasher.finish()),
                read => hasher.add(&piece[..read]),
            }
        }
    }

    /// The 64 digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A digest over several parts, in order.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    /// Adds bytes as they are.
    pub(crate) fn add(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes.as_ref());
    }

    /// Adds a part with its length, so that parts cannot run into each other.
    pub(crate) fn add_part(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Adds each part with its length.
    pub(crate) fn add_parts<B: AsRef<[u8]>>(&mut self, parts: impl IntoIterator<Item = B>) {
        parts.into_iter().for_each(|part| self.add_part(part));
    }

    /// Adds every file under `path` (or the file itself), by name and content, in the order of names.
    pub(crate) fn add_tree(&mut self, path: &Utf8Path) -> io::Result<()> {
        if path.is_dir() {
            for name in super::tree::sorted_names(path)? {
                self.add_part(&name);
                self.add_tree(&path.join(name))?;
            }
        } else {
            self.add_part(fs_err::read(path)?);
        }
        Ok(())
    }

    /// The digest of what was added.
    pub(crate) fn finish(self) -> Digest {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in self.0.finalize() {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        }
        Digest(text)
    }
}
