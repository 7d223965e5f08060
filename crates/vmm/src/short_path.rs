//! Unix sockets under folders whose names are long.
//!
//! The kernel takes at most 107 bytes for a socket's path (Linux; 103 on macOS), and a home folder can use them up.
//! Another name for the folder is short, however deep the folder lies.

#[cfg(any(test, target_os = "macos"))]
mod link;
#[cfg(target_os = "linux")]
mod open_folder;

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

#[cfg(target_os = "macos")]
use link::Alias;
#[cfg(target_os = "linux")]
use open_folder::Alias;

/// A short name for a socket, valid in this process as long as this value lives.
#[derive(Debug)]
pub struct ShortPath {
    path: Utf8PathBuf,
    _folder: Alias,
}

impl ShortPath {
    /// A short name for `socket`, which need not exist; its folder must.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    pub fn new(socket: &Utf8Path) -> io::Result<Self> {
        let (folder, name) = parts(socket)?;
        let folder = Alias::of(folder)?;
        Ok(Self { path: folder.path().join(name), _folder: folder })
    }

    /// The short name.
    pub fn as_path(&self) -> &Utf8Path {
        &self.path
    }
}

fn parts(socket: &Utf8Path) -> io::Result<(&Utf8Path, &str)> {
    let folder = socket.parent().unwrap_or(Utf8Path::new("/"));
    let name = socket
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a socket's path ends in a name"))?;
    Ok((folder, name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_deeper_than_the_kernel_allows_can_be_used() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(dir.path().join("d".repeat(120))).unwrap();
        fs_err::create_dir(&folder).unwrap();
        let socket = folder.join("s");
        assert!(UnixListener::bind(&socket).is_err(), "this test needs a path that is too long");
        let short = ShortPath::new(&socket).unwrap();
        let _listener = UnixListener::bind(short.as_path()).unwrap();
        UnixStream::connect(ShortPath::new(&socket).unwrap().as_path()).unwrap();
        assert!(socket.exists());
    }

    /// The way of the Mac, which works here too.
    #[test]
    fn a_link_to_the_folder_is_short_and_goes_with_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(dir.path().join("d".repeat(120))).unwrap();
        fs_err::create_dir(&folder).unwrap();
        let alias = link::Alias::of(&folder).unwrap();
        let short = alias.path().join("s");
        assert!(short.as_str().len() < 60, "{short}");
        let _listener = UnixListener::bind(&short).unwrap();
        assert!(folder.join("s").exists());
        drop(alias);
        assert!(!short.parent().unwrap().exists());
    }
}
