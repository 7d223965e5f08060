//! Where this computer keeps the one key that opens a person's secrets: the Keychain on macOS; elsewhere the keyring of
//! the desktop (Secret Service), or a file where there is none.
//!
//! One key, and not each secret by itself: a keyring asks its person for each thing in it, holds only small ones, and is
//! closed to a daemon that runs without a login.

#[cfg(target_os = "linux")]
mod linux;

use std::io;

use camino::Utf8PathBuf;

#[cfg(target_os = "macos")]
use crate::vault::Vault;

/// The name of the key, in the folder and in the Keychain.
const NAME: &str = "key";

/// Where the key of a folder is looked for.
#[derive(Debug, Clone)]
pub struct Keyring {
    folder: Utf8PathBuf,
    #[cfg(target_os = "linux")]
    desktop: bool,
}

/// What was found.
#[derive(Clone, PartialEq, Eq)]
pub enum Found {
    /// The key.
    Key(Vec<u8>),
    /// None, in places that could all be asked.
    Nothing,
    /// None so far: a place that may have it cannot be asked now, for this reason.
    Unknown(String),
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(_) => f.write_str("Key(…)"),
            Self::Nothing => f.write_str("Nothing"),
            Self::Unknown(reason) => f.debug_tuple("Unknown").field(reason).finish(),
        }
    }
}

impl Keyring {
    /// The place for the key of a folder. `desktop` says whether a desktop's keyring may be used on Linux; without it
    /// the key is a file in the folder.
    pub fn new(folder: impl Into<Utf8PathBuf>, desktop: bool) -> Self {
        #[cfg(not(target_os = "linux"))]
        let _ = desktop;
        Self {
            folder: folder.into(),
            #[cfg(target_os = "linux")]
            desktop,
        }
    }

    /// Looks for the key. Blocks, up to some seconds.
    ///
    /// # Errors
    /// A file or the Keychain cannot be read.
    #[cfg(target_os = "macos")]
    pub fn find(&self) -> io::Result<Found> {
        Ok(Vault::new(&self.folder).of(NAME)?.map_or(Found::Nothing, Found::Key))
    }

    /// Keeps a new key, where there is none. Blocks, up to some seconds. Where it is now, for people.
    ///
    /// # Errors
    /// It is not kept.
    #[cfg(target_os = "macos")]
    pub fn keep(&self, key: &[u8]) -> io::Result<&'static str> {
        Vault::new(&self.folder).keep(NAME, key)?;
        Ok("the Keychain")
    }

    /// Looks for the key. Blocks, up to some seconds.
    ///
    /// # Errors
    /// Its file cannot be read.
    #[cfg(not(target_os = "macos"))]
    pub fn find(&self) -> io::Result<Found> {
        if let Some(key) = crate::private_file::read(&self.folder, NAME)? {
            return Ok(Found::Key(key));
        }
        #[cfg(target_os = "linux")]
        if self.desktop {
            return Ok(linux::find(&self.folder));
        }
        Ok(Found::Nothing)
    }

    /// Keeps a new key, where there is none: in the desktop's keyring if that is there and open, else in a file. Blocks,
    /// up to some seconds. Where it is now, for people.
    ///
    /// # Errors
    /// It is not kept.
    #[cfg(not(target_os = "macos"))]
    pub fn keep(&self, key: &[u8]) -> io::Result<&'static str> {
        #[cfg(target_os = "linux")]
        if self.desktop {
            match linux::keep(&self.folder, key) {
                Ok(()) => return Ok("the keyring of the desktop"),
                Err(reason) => tracing::info!(reason, "the key to secrets goes to a file"),
            }
        }
        crate::private_file::write(&self.folder, NAME, key)?;
        Ok("a file beside them")
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
