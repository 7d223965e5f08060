//! The files of a machine's folder that the shim reads and writes.

use std::io;
use std::os::unix::net::UnixListener;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use protocol::shim::State;
use vmm::short_path::ShortPath;
use vmm::{VmConfig, sole_owner};

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Another shim owns the machine.
    #[error("the machine in `{folder}` is owned by another shim")]
    Owned {
        /// The folder.
        folder: Utf8PathBuf,
    },
    /// A file cannot be used.
    #[error("cannot {doing} `{path}`")]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The description is not one.
    #[error("`{path}` does not describe a machine")]
    Description {
        /// The file.
        path: Utf8PathBuf,
        /// Why, with line and column.
        #[source]
        source: serde_json::Error,
    },
}

/// A machine's folder, owned by this process alone as long as this value lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: Utf8PathBuf,
    _lock: fs::File,
}

impl Folder {
    /// Takes a folder. The kernel gives the lock back when this process ends, however it ends.
    pub(crate) fn take(path: &Utf8Path) -> Result<Self, Error> {
        let path = camino::absolute_utf8(path).map_err(|source| Error::File {
            doing: "find",
            path: path.to_owned(),
            source,
        })?;
        let lock_path = path.join("shim.lock");
        let lock = private().create(true).write(true).open(&lock_path);
        let lock = lock.map_err(|source| Error::File { doing: "open", path: lock_path.clone(), source })?;
        match sole_owner::take(&lock, sole_owner::MOMENT) {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Owned { folder: path }),
            Err(error) => Err(Error::File { doing: "lock", path: lock_path, source: error.into() }),
        }
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str) -> Utf8PathBuf {
        self.path.join(name)
    }

    /// The machine it describes.
    pub(crate) fn description(&self) -> Result<VmConfig, Error> {
        let path = self.file("machine.json");
        let text =
            fs::read(&path).map_err(|source| Error::File { doing: "read", path: path.clone(), source })?;
        serde_json::from_slice(&text).map_err(|source| Error::Description { path, source })
    }

    /// Writes other shares into the description, which is given as it is then.
    pub(crate) fn change_shares(&self, shares: Vec<vmm::Share>) -> Result<VmConfig, Error> {
        let config = VmConfig { shares, ..self.description()? };
        let text = serde_json::to_vec_pretty(&config).expect("a description has only string keys");
        self.replace("machine.json", &text)?;
        Ok(config)
    }

    /// Says who owns the machine, and forgets how an earlier one ended.
    pub(crate) fn sign(&self) -> Result<(), Error> {
        let path = self.file("shim.json");
        let identity = vmm::identity::of_self().map_err(|source| Error::File {
            doing: "learn what belongs into",
            path: path.clone(),
            source,
        })?;
        self.remove("failure.json")?;
        self.replace("shim.json", &serde_json::to_vec(&identity).expect("an identity is plain data"))
    }

    /// Keeps the reason of a failure for a daemon that comes after this process has gone.
    pub(crate) fn keep_failure(&self, state: &State) -> Result<(), Error> {
        self.replace("failure.json", &serde_json::to_vec(state).expect("a state is plain data"))
    }

    /// Listens on the machine's socket, which only this user can open. One that an earlier shim left behind goes:
    /// the lock proves that nobody serves it.
    pub(crate) fn listen(&self) -> Result<UnixListener, Error> {
        self.remove("shim.sock")?;
        // Bound under another name first: the socket must not be reachable before its mode is right.
        self.remove("shim.sock.new")?;
        let fresh = self.file("shim.sock.new");
        let file_error = |source| Error::File { doing: "listen on", path: self.file("shim.sock"), source };
        let bind = || {
            let listener = UnixListener::bind(ShortPath::new(&fresh)?.as_path())?;
            listener.set_nonblocking(true)?;
            rustix::fs::chmod(fresh.as_std_path(), rustix::fs::Mode::from_raw_mode(0o600))?;
            fs::rename(&fresh, self.file("shim.sock"))?;
            Ok(listener)
        };
        bind().map_err(file_error)
    }

    /// Takes away what says that a shim is here.
    pub(crate) fn leave(&self) {
        for name in ["shim.sock", "shim.json"] {
            if let Err(error) = self.remove(name) {
                tracing::warn!(error = crate::chain(&error), "left behind");
            }
        }
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::File { doing: "remove", path, source })
            }
            _ => Ok(()),
        }
    }

    /// A reader sees the old content or the new, never half of one.
    fn replace(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        let path = self.file(name);
        let beside = path.with_added_extension("new");
        let write = || {
            let mut file = private().create(true).truncate(true).write(true).open(&beside)?;
            io::Write::write_all(&mut file, content)?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().map_err(|source| Error::File { doing: "write", path: path.clone(), source })
    }
}

/// How files are opened that are nobody else's business.
pub(crate) fn private() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.mode(0o600);
    options
}
