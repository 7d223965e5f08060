//! One daemon per state folder.
//!
//! The lock is the kernel's (`flock`): it ends with the process, however that ends, so there is no stale lock. The
//! process id in the file is for people and is not what decides.

use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use vmm::sole_owner;

use crate::server;

/// How long a daemon that is ending is waited for.
const PATIENCE: Duration = server::ENDING_TIME.saturating_add(sole_owner::MOMENT);

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon has it.
    #[error("another coved (process {holder}) already serves `{home}`")]
    Held {
        /// Its process id, or `unknown`.
        holder: String,
        /// The state folder.
        home: Utf8PathBuf,
    },
    /// The file could not be used.
    #[error("could not lock the state folder")]
    File(#[source] std::io::Error),
}

/// The right to be the daemon of a state folder, until dropped.
#[derive(Debug)]
pub struct DaemonLock {
    _file: fs_err::File,
}

impl DaemonLock {
    /// Takes the lock, and writes this process's id into the file.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process still has it after the time that one takes to end.
    pub fn acquire(path: &Utf8Path) -> Result<Self, LockError> {
        let mut file = fs_err::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(LockError::File)?;
        match sole_owner::take(file.file(), PATIENCE) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // The holder may be about to write its id; then it is unknown.
                let read = file.read_to_string(&mut text);
                let holder = read.ok().and_then(|_| text.trim().parse::<u32>().ok());
                return Err(LockError::Held {
                    holder: holder.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()),
                    home: path.parent().unwrap_or(path).to_owned(),
                });
            }
            Err(error) => return Err(LockError::File(error.into())),
        }
        let write = |file: &mut fs_err::File| {
            file.file().set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(LockError::File)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_learns_who_runs_and_a_later_one_may() {
        let temp = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(temp.path()).unwrap().join("coved.lock");
        let first = DaemonLock::acquire(&path).unwrap();
        let refused = DaemonLock::acquire(&path).unwrap_err().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(first);
        DaemonLock::acquire(&path).unwrap();
    }
}
