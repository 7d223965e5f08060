//! Unix sockets under folders whose names are long.
//!
//! The kernel takes at most 107 bytes for a socket's path, and a home folder can use them up. A socket can be
//! named through an open folder instead, however deep that folder lies.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Mode, OFlags};

/// A short name for a socket, valid in this process as long as this value lives.
#[derive(Debug)]
pub struct ShortPath {
    path: Utf8PathBuf,
    _folder: OwnedFd,
}

impl ShortPath {
    /// A short name for `socket`, which need not exist; its folder must.
    ///
    /// # Errors
    /// When the folder cannot be opened.
    pub fn new(socket: &Utf8Path) -> io::Result<Self> {
        let folder = socket.parent().unwrap_or(Utf8Path::new("/"));
        let name = socket
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a socket's path ends in a name"))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(folder.as_std_path(), flags, Mode::empty())?;
        Ok(Self { path: format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()).into(), _folder: folder })
    }

    /// The short name.
    pub fn as_path(&self) -> &Utf8Path {
        &self.path
    }
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
}
