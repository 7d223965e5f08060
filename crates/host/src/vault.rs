//! Where this computer keeps what nobody but its person may read: the Keychain on macOS, files of theirs elsewhere.

#[cfg(target_os = "macos")]
mod macos;

use std::io;

use camino::Utf8PathBuf;
#[cfg(target_os = "macos")]
use macos as system;

#[cfg(not(target_os = "macos"))]
use crate::private_file as system;

/// Secrets by name. Vaults of different folders hold different ones.
#[derive(Debug, Clone)]
pub struct Vault {
    folder: Utf8PathBuf,
}

impl Vault {
    /// The vault of a folder. The folder itself is made when there is a secret, where secrets are files; on macOS it is a
    /// name and no more.
    pub fn new(folder: impl Into<Utf8PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Keeps a secret in place of the earlier one of that name. The name is one of a file, without `/`.
    ///
    /// # Errors
    /// It is not kept; then the earlier one still is.
    pub fn keep(&self, name: &str, secret: &[u8]) -> io::Result<()> {
        system::write(&self.folder, name, secret)
    }

    /// The secret of that name; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        system::read(&self.folder, name)
    }

    /// Removes the secret of that name. None there: done.
    ///
    /// # Errors
    /// It stays.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        system::remove(&self.folder, name)
    }
}

#[cfg(all(test, not(target_os = "macos")))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_for_this_user_alone_and_go_when_told() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(temp.path().join("secrets")).unwrap();
        let vault = Vault::new(&folder);
        assert_eq!(vault.of("aa11.json").unwrap(), None);
        // What a cut-off write left behind, with rights of its own.
        fs_err::create_dir(&folder).unwrap();
        fs_err::write(folder.join("aa11.json.new"), "half").unwrap();
        for secret in ["first", "second"] {
            vault.keep("aa11.json", secret.as_bytes()).unwrap();
        }
        assert_eq!(vault.of("aa11.json").unwrap().unwrap(), b"second");
        let mode = |path: &Utf8PathBuf| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.join("aa11.json")), 0o600);
        vault.remove("aa11.json").unwrap();
        vault.remove("aa11.json").unwrap();
        assert_eq!(fs_err::read_dir(&folder).unwrap().count(), 0);
    }
}
