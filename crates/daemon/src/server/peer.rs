//! The socket of the API and who may speak on it: processes of this user, nobody else.
//!
//! The folder is closed to others already (0700) and so is the socket (0600); the peer's uid is checked besides, for
//! a folder that was opened by hand. Root is another user too: whoever is root can become this user first.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::Duration;

use axum::serve::Listener;
use camino::{Utf8Path, Utf8PathBuf};
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};

use crate::lock::DaemonLock;

/// Pause after the system could not accept, for instance for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something else lies there.
    #[error("`{path}` is not a socket; move it away")]
    NotASocket {
        /// The path.
        path: Utf8PathBuf,
    },
    /// The system refused.
    #[error("could not open the socket `{path}`")]
    Io {
        /// The path.
        path: Utf8PathBuf,
        /// The system's word on it.
        #[source]
        source: io::Error,
    },
}

/// Accepts connections of this user's processes.
#[derive(Debug)]
pub struct PeerListener {
    listener: UnixListener,
    own_uid: u32,
}

impl PeerListener {
    /// Opens a socket for this user alone, in place of one that an earlier daemon left behind. The lock says that
    /// there is no other daemon whose socket it could be.
    ///
    /// # Errors
    /// [`BindError`]
    pub fn bind(path: &Utf8Path, _lock: &DaemonLock) -> Result<Self, BindError> {
        let failed = |source| BindError::Io { path: path.to_owned(), source };
        match fs_err::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => fs_err::remove_file(path).map_err(failed)?,
            Ok(_) => return Err(BindError::NotASocket { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Between the two calls the folder alone keeps others out.
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, own_uid: rustix::process::geteuid().as_raw() })
    }

    fn admits(&self, stream: &UnixStream) -> bool {
        match stream.peer_cred() {
            Ok(peer) if is_admitted(peer.uid(), self.own_uid) => true,
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), pid = ?peer.pid(), "a process of another user was refused");
                false
            }
            Err(error) => {
                tracing::warn!(%error, "a process that cannot be told was refused");
                false
            }
        }
    }
}

fn is_admitted(peer: u32, own: u32) -> bool {
    peer == own
}

impl Listener for PeerListener {
    type Io = UnixStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (UnixStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) if self.admits(&stream) => return (stream, address),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_user_is_admitted_not_even_root() {
        assert!(is_admitted(1000, 1000));
        assert!(!is_admitted(1001, 1000));
        assert!(!is_admitted(0, 1000));
    }

    #[tokio::test]
    async fn the_socket_is_closed_to_others_and_replaces_a_stale_one_but_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        let lock = DaemonLock::acquire(&folder.join("coved.lock")).unwrap();
        let path = folder.join("coved.sock");
        drop(PeerListener::bind(&path, &lock).unwrap());
        let again = PeerListener::bind(&path, &lock).unwrap();
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(again);
        fs_err::remove_file(&path).unwrap();
        fs_err::write(&path, "precious").unwrap();
        assert!(matches!(PeerListener::bind(&path, &lock), Err(BindError::NotASocket { .. })));
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "precious");
    }
}
