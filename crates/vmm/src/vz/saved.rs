//! The saved state of a machine, and whether it may be used.
//!
//! A state fits the very machine it was taken of, on the macOS it was taken on, with disks as they were. So beside it
//! lies a record of all that, and whatever differs means a start from the beginning. The record goes before the
//! machine goes on: after that the disks differ, and the state must never be used a second time.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::{Deserialize, Serialize};

use super::host::Missing;
use super::identity::MachineIdentity;
use crate::VmConfig;

/// The framework's file in the machine's folder.
const STATE: &str = "saved.vzvmsave";

/// The record beside it.
const RECORD: &str = "saved.json";

/// A state that is older is not used: what the guest remembers of the world is too far from it by then.
const MOST_AGE: Duration = Duration::from_hours(7 * 24);

/// What a state belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The machine's description.
    pub config_digest: String,
    /// The build of macOS, which is updated by updates that change the framework.
    pub macos_build: String,
    /// The machine.
    pub identity: MachineIdentity,
}

/// A file as it was when the state was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    path: Utf8PathBuf,
    size: u64,
    inode: u64,
    modified_ns: i128,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    fingerprint: Fingerprint,
    /// Seconds since the Unix epoch.
    saved_at: u64,
    files: Vec<Stamp>,
}

/// Why a machine starts from the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColdStart {
    /// Nothing was saved.
    NothingSaved,
    /// This machine cannot be restored.
    CannotRestore(Missing),
    /// What was saved cannot be read.
    Unreadable,
    /// The machine is described otherwise now.
    OtherDescription,
    /// macOS was updated.
    OtherMacos,
    /// It is another machine.
    OtherMachine,
    /// It was saved too long ago, or in the future.
    Age,
    /// A file that the machine uses was changed.
    Changed(Utf8PathBuf),
    /// The framework, or the guest, did not go on with it.
    Failed(String),
}

impl fmt::Display for ColdStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingSaved => f.write_str("nothing was saved"),
            Self::CannotRestore(missing) => write!(f, "this machine cannot be restored: {missing}"),
            Self::Unreadable => f.write_str("what was saved cannot be read"),
            Self::OtherDescription => f.write_str("its description changed since it was saved"),
            Self::OtherMacos => f.write_str("macOS was updated since it was saved"),
            Self::OtherMachine => f.write_str("another machine was saved"),
            Self::Age => {
                write!(f, "it was saved more than {} days ago", MOST_AGE.as_secs() / (24 * 60 * 60))
            }
            Self::Changed(path) => write!(f, "`{path}` changed since it was saved"),
            Self::Failed(cause) => write!(f, "it did not go on where it was: {cause}"),
        }
    }
}

/// The saved state in a machine's folder.
#[derive(Debug, Clone)]
pub(super) struct Saved {
    state: Utf8PathBuf,
    record: Utf8PathBuf,
}

impl Saved {
    pub(super) fn in_folder(folder: &Utf8Path) -> Self {
        Self { state: folder.join(STATE), record: folder.join(RECORD) }
    }

    /// The framework's file.
    pub(super) fn state(&self) -> &Utf8Path {
        &self.state
    }

    /// Whether the state may be used now.
    pub(super) fn usable(
        &self,
        fingerprint: &Fingerprint,
        config: &VmConfig,
        now: SystemTime,
    ) -> Result<(), ColdStart> {
        let text = match fs::read(&self.record) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ColdStart::NothingSaved),
            Err(_) => return Err(ColdStart::Unreadable),
        };
        let record: Record = serde_json::from_slice(&text).map_err(|_| ColdStart::Unreadable)?;
        let saved = &record.fingerprint;
        if saved.identity != fingerprint.identity {
            return Err(ColdStart::OtherMachine);
        }
        if saved.macos_build != fingerprint.macos_build {
            return Err(ColdStart::OtherMacos);
        }
        if saved.config_digest != fingerprint.config_digest {
            return Err(ColdStart::OtherDescription);
        }
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(record.saved_at);
        if now.duration_since(at).map_or(true, |age| age > MOST_AGE) {
            return Err(ColdStart::Age);
        }
        let present = stamps(&files(config)).map_err(|_| ColdStart::Unreadable)?;
        let changed = record.files.iter().find(|stamp| !present.contains(stamp));
        match changed {
            Some(stamp) => Err(ColdStart::Changed(stamp.path.clone())),
            None if record.files.len() != present.len() || !self.state.is_file() => {
                Err(ColdStart::Unreadable)
            }
            None => Ok(()),
        }
    }

    /// Vouches for the state, once it is written and the machine has ended.
    pub(super) fn vouch(&self, fingerprint: Fingerprint, config: &VmConfig) -> io::Result<()> {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let record = Record { fingerprint, saved_at: since_epoch.as_secs(), files: stamps(&files(config))? };
        let text = serde_json::to_vec(&record).expect("a record has only string keys");
        super::write_whole(&self.record, &text)
    }

    /// Takes the record away, so that nothing uses the state any more. This must not fail unseen.
    pub(super) fn disown(&self) -> io::Result<()> {
        remove(&self.record)
    }

    /// Takes everything away. A file that stays costs space and is never used.
    pub(super) fn remove(&self) {
        for outcome in [self.disown(), remove(&self.state)] {
            if let Err(error) = outcome {
                tracing::warn!(%error, "what was saved of the machine stays on the disk");
            }
        }
    }
}

fn remove(file: &Utf8Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The files whose content the guest's memory knows.
fn files(config: &VmConfig) -> [&Utf8Path; 4] {
    let image = &config.image;
    [&image.kernel, &image.initramfs, &image.root, &config.data_disk.path]
}

fn stamps(files: &[&Utf8Path]) -> io::Result<Vec<Stamp>> {
    let stamp = |path: &&Utf8Path| {
        let metadata = fs::metadata(path)?;
        Ok(Stamp {
            path: path.to_path_buf(),
            size: metadata.len(),
            inode: metadata.ino(),
            modified_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        })
    };
    files.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::super::identity::MacAddress;
    use super::*;
    use crate::config::tests::sample;
    use crate::{BootImage, DataDisk};

    struct Fixture {
        _dir: tempfile::TempDir,
        config: VmConfig,
        saved: Saved,
    }

    fn fingerprint() -> Fingerprint {
        Fingerprint {
            config_digest: "d".to_owned(),
            macos_build: "25B78".to_owned(),
            identity: MachineIdentity { machine_identifier: vec![1], mac: MacAddress::local([2; 6]) },
        }
    }

    /// A machine that was saved just now.
    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let config = VmConfig {
            image: BootImage::in_folder(&folder),
            data_disk: DataDisk { path: folder.join("data.img"), size_gib: 1 },
            ..sample()
        };
        for file in files(&config) {
            fs::write(file, "content").unwrap();
        }
        let saved = Saved::in_folder(&folder);
        fs::write(saved.state(), "state").unwrap();
        saved.vouch(fingerprint(), &config).unwrap();
        Fixture { _dir: dir, config, saved }
    }

    impl Fixture {
        fn verdict(&self, with: impl FnOnce(&mut Fingerprint), after: Duration) -> Result<(), ColdStart> {
            let mut fingerprint = fingerprint();
            with(&mut fingerprint);
            self.saved.usable(&fingerprint, &self.config, SystemTime::now() + after)
        }

        fn now(&self) -> Result<(), ColdStart> {
            self.verdict(|_| {}, Duration::ZERO)
        }
    }

    #[test]
    fn a_state_is_used_for_the_same_machine_on_the_same_macos_within_a_week() {
        let fixture = fixture();
        assert_eq!(fixture.now(), Ok(()));
        let other = |with: fn(&mut Fingerprint)| fixture.verdict(with, Duration::ZERO).unwrap_err();
        assert_eq!(other(|it| it.config_digest.push('x')), ColdStart::OtherDescription);
        assert_eq!(other(|it| it.macos_build = "25C1".to_owned()), ColdStart::OtherMacos);
        assert_eq!(other(|it| it.identity.machine_identifier = vec![2]), ColdStart::OtherMachine);
        assert_eq!(other(|it| it.identity.mac = MacAddress::local([3; 6])), ColdStart::OtherMachine);
        let day = Duration::from_hours(24);
        assert_eq!(fixture.verdict(|_| {}, 6 * day), Ok(()));
        assert_eq!(fixture.verdict(|_| {}, 8 * day), Err(ColdStart::Age));
        let long_ago = fixture.saved.usable(&fingerprint(), &fixture.config, SystemTime::UNIX_EPOCH);
        assert_eq!(long_ago, Err(ColdStart::Age), "a clock that was set back");
    }

    #[test]
    fn a_disk_or_image_that_changed_makes_the_state_useless() {
        let fixture = fixture();
        fs::write(&fixture.config.data_disk.path, "content, and more").unwrap();
        let changed = fixture.now().unwrap_err();
        assert!(changed.to_string().contains("data.img` changed"), "{changed}");
    }

    #[test]
    fn a_state_without_its_record_is_never_used_and_nothing_is_left_after_removal() {
        let fixture = fixture();
        fixture.saved.disown().unwrap();
        assert_eq!(fixture.now(), Err(ColdStart::NothingSaved));
        fixture.saved.remove();
        assert!(!fixture.saved.state().exists());
        fixture.saved.disown().unwrap();
        fs::write(&fixture.saved.record, "{").unwrap();
        assert_eq!(fixture.now(), Err(ColdStart::Unreadable));
    }

    #[test]
    fn a_record_without_its_state_is_no_promise() {
        let fixture = fixture();
        fs::remove_file(fixture.saved.state()).unwrap();
        assert_eq!(fixture.now(), Err(ColdStart::Unreadable));
    }
}
