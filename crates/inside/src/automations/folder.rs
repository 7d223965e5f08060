//! The folder in the container where everything about automations is kept: states, locks, logs. Its user's alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use automations::Exit;
use rustix::fs::{FlockOperation, flock, inotify};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longest file that is read, in bytes: anything in the container may have written it.
const MAX_BYTES: u64 = 4 << 20;

/// The supervisor's lock.
const LOCK: &str = "supervisor.lock";

/// An open folder.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

/// What is known of one run of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Which run.
    pub(super) token: String,
    /// The process that stands over it.
    pub(super) keeper: i32,
    /// The command's first process, and so its group.
    pub(super) child: Option<i32>,
    /// How it ended.
    pub(super) exit: Option<Exit>,
}

impl Folder {
    /// Opens it, and makes it where it is missing. Below `/tmp`, which every image has and which is no volume that
    /// containers share; it stays while the container is there.
    pub(super) fn open(path: Option<String>) -> Result<Self, String> {
        let user = rustix::process::geteuid().as_raw();
        let path = path.map_or_else(|| PathBuf::from(format!("/tmp/cove-automations-{user}")), PathBuf::from);
        let failed = |error: io::Error| format!("could not make `{}`: {error}", path.display());
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        // Somebody else may have made it first, or a link of that name.
        let found = fs::symlink_metadata(&path).map_err(failed)?;
        if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
            let path = path.display();
            return Err(format!("`{path}` belongs to somebody else, or others may use it: remove it"));
        }
        for part in ["jobs", "logs", "outputs"] {
            match DirBuilder::new().mode(0o700).create(path.join(part)) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
                _ => {}
            }
        }
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.path.join("ctl.sock")
    }

    pub(super) fn log(&self, job: &str) -> PathBuf {
        self.path.join("logs").join(format!("{job}.log"))
    }

    /// Where a task writes what it leaves for others.
    pub(super) fn outputs(&self, job: &str) -> PathBuf {
        self.path.join("outputs").join(job)
    }

    pub(super) fn states(&self) -> PathBuf {
        self.path.join("states.json")
    }

    /// Where the last words of a supervisor go.
    pub(super) fn journal(&self) -> PathBuf {
        self.path.join("supervisor.log")
    }

    /// Takes the lock of the supervisor; `None` while another has it.
    pub(super) fn lock_supervisor(&self) -> io::Result<Option<File>> {
        lock(&self.path.join(LOCK))
    }

    /// Takes the lock of a job; `None` while anything of its last run may live.
    pub(super) fn lock(&self, job: &str) -> io::Result<Option<File>> {
        lock(&self.path.join("jobs").join(format!("{job}.lock")))
    }

    pub(super) fn record(&self, job: &str) -> Option<Record> {
        read(&self.path.join("jobs").join(format!("{job}.json")))
    }

    pub(super) fn write_record(&self, job: &str, record: &Record) -> io::Result<()> {
        write(&self.path.join("jobs").join(format!("{job}.json")), record)
    }

    /// Notes that a run was asked to end; whether it is for the first time.
    pub(super) fn note_asked(&self, job: &str, token: &str) -> bool {
        !self.was_asked(job, token) && write(&self.asked(job), &token).is_ok()
    }

    /// Whether a run was asked to end.
    pub(super) fn was_asked(&self, job: &str, token: &str) -> bool {
        read::<String>(&self.asked(job)).is_some_and(|asked| asked == token)
    }

    fn asked(&self, job: &str) -> PathBuf {
        self.path.join("jobs").join(format!("{job}.asked"))
    }

    /// The mark in the variables of everything that a job starts.
    pub(super) fn mark(&self, job: &str) -> String {
        format!("{}{job}", self.marks())
    }

    /// What all marks begin with.
    pub(super) fn marks(&self) -> String {
        format!("{}:", self.path.display())
    }

    /// Waits until the folder is taken away, by `rm -rf /tmp/*` for instance.
    ///
    /// # Errors
    /// The kernel does not tell; most often because others in the container watch all that may be watched.
    pub(super) fn wait_until_gone(&self) -> io::Result<()> {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
        let flags = inotify::WatchFlags::DELETE | inotify::WatchFlags::DELETE_SELF;
        inotify::add_watch(&watch, &self.path, flags | inotify::WatchFlags::MOVE_SELF)?;
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(watch, &mut room);
        // From now on everything is heard; this may have been before.
        while self.path.join(LOCK).exists() {
            events.next()?;
        }
        Ok(())
    }
}

/// What a file says; `None` where it is not there, or not what we wrote.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let is_short = fs::metadata(path).is_ok_and(|found| found.len() <= MAX_BYTES);
    is_short.then(|| serde_json::from_slice(&fs::read(path).ok()?).ok())?
}

/// Writes a file whole: whoever reads it sees the old one or the new one, whenever we are killed.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    fs::rename(&beside, path)
}

/// Takes a lock that ends with the process, whatever ends it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
