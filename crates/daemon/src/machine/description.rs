//! Turns what a person wants of a machine into the description that its shim boots.

use api::{MachineSpec, Problem, ProblemCode};
use camino::{Utf8Path, Utf8PathBuf};
use protocol::agent::Mount;
use vmm::image::Manifest;
use vmm::{Architecture, BootImage, DataDisk, Network, Share, VmConfig, Wishes};

use crate::paths::MachinePaths;

/// Folders of the guest that a share at the same path would hide.
const GUEST_FOLDERS: [&str; 15] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/proc", "/run", "/sbin",
    "/sys", "/usr", "/var",
];

/// Folders of the guest of which only the inner ones may be shared.
const GUEST_PARENTS: [&str; 1] = ["/"];

/// What every machine has where it can be had. Only a Mac has Rosetta to give.
const WISHES: Wishes =
    Wishes { rosetta: cfg!(target_os = "macos"), nested: false, safe_disk: false, saving: false };

/// A folder of this computer that the machine sees, at the same path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedRoot {
    /// Name of its device.
    pub tag: String,
    /// The folder, as a person wrote it and as paths in the guest begin.
    pub path: Utf8PathBuf,
    /// The folder it stands for once symbolic links are followed.
    pub real_path: Utf8PathBuf,
}

/// Why a machine cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// A share would hide a part of the guest.
    #[error("`{path}` cannot be shared: the machine has a folder of its own there")]
    HidesGuest {
        /// The folder.
        path: Utf8PathBuf,
    },
    /// A share is not there.
    #[error("`{path}` cannot be shared")]
    ShareMissing {
        /// The folder.
        path: Utf8PathBuf,
        /// Why it cannot be used.
        #[source]
        source: std::io::Error,
    },
    /// No guest image exists for this processor.
    #[error("there is no guest image for this computer's processor ({name})")]
    Architecture {
        /// Its name.
        name: &'static str,
    },
}

impl DescriptionError {
    /// For people.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::HidesGuest { .. } | Self::ShareMissing { .. } => ProblemCode::FolderNotShared,
            Self::Architecture { .. } => ProblemCode::GuestImageMissing,
        };
        let problem = Problem::new(code, self.to_string()).caused_by(self);
        match self {
            Self::HidesGuest { .. } | Self::ShareMissing { .. } => problem.with_hint(
                "take it out of `shares` in config.toml, or with `cove machine unshare PATH`, and start again",
            ),
            Self::Architecture { .. } => problem,
        }
    }
}

/// The shares of a machine, outermost first so that inner ones are mounted on top of them.
///
/// # Errors
/// [`DescriptionError`] names the folder that cannot be shared.
pub fn shared_roots(spec: &MachineSpec) -> Result<Vec<SharedRoot>, DescriptionError> {
    roots(spec).collect()
}

/// Those of the shares that can be shared now: one that is missing says nothing of the others.
pub(super) fn usable_roots(spec: &MachineSpec) -> Vec<SharedRoot> {
    roots(spec).flatten().collect()
}

fn roots(spec: &MachineSpec) -> impl Iterator<Item = Result<SharedRoot, DescriptionError>> {
    let mut paths = spec.shares.clone();
    paths.sort();
    paths.dedup();
    paths.into_iter().enumerate().map(|(number, path)| {
        let missing = |source| DescriptionError::ShareMissing { path: path.clone(), source };
        let real_path = path.canonicalize_utf8().map_err(missing)?;
        if !real_path.is_dir() {
            return Err(missing(std::io::ErrorKind::NotADirectory.into()));
        }
        if hides_guest(&path) {
            return Err(DescriptionError::HidesGuest { path });
        }
        Ok(SharedRoot { tag: format!("share{number}"), path, real_path })
    })
}

/// Whether a path is the guest's own, so that no folder of this computer can be there.
pub(crate) fn hides_guest(path: &Utf8Path) -> bool {
    GUEST_PARENTS.iter().any(|parent| path == *parent)
        || GUEST_FOLDERS.iter().any(|folder| path.starts_with(folder))
}

impl SharedRoot {
    /// The paths at which the guest has the folder: as a person wrote it, and without links, which is how clients name
    /// folders in it. The latter is left out where the guest has a folder of its own.
    fn places(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        let real = Some(&self.real_path).filter(|real| **real != self.path && !hides_guest(real));
        std::iter::once(&self.path).chain(real)
    }

    /// Whether the machine has what is at a path of this computer at the same path. `real` is that path without links.
    pub(super) fn has(&self, path: &Utf8Path, real: &Utf8Path) -> bool {
        real.starts_with(&self.real_path) && self.places().any(|place| path.starts_with(place))
    }
}

/// The guest's mounts of those shares, outermost first.
pub fn mounts(shares: &[SharedRoot]) -> Vec<Mount> {
    let mount = |tag: &String, path: &Utf8PathBuf| Mount {
        tag: tag.clone(),
        path: path.to_string(),
        read_only: false,
    };
    let mut mounts: Vec<Mount> =
        shares.iter().flat_map(|share| share.places().map(|path| mount(&share.tag, path))).collect();
    mounts.sort_by(|one, other| Utf8Path::new(&one.path).cmp(Utf8Path::new(&other.path)));
    // A folder that is shared twice by two names is one.
    mounts.dedup_by(|one, other| one.path == other.path);
    mounts
}

/// What the shim boots. Its processor is the image's: a machine of another one than this computer's is slow, and
/// runs. An image that does not tell fails at its start, with better words than we have here.
///
/// # Errors
/// [`DescriptionError`]
pub fn describe(
    spec: &MachineSpec,
    shares: &[SharedRoot],
    paths: &MachinePaths,
    image: &Utf8Path,
) -> Result<VmConfig, DescriptionError> {
    let architecture = Manifest::read(image)
        .map_or_else(|_| Architecture::host(), |manifest| Some(manifest.arch))
        .ok_or(DescriptionError::Architecture { name: std::env::consts::ARCH })?;
    Ok(VmConfig {
        architecture,
        cpus: spec.cpus,
        memory_mib: spec.memory_mib,
        image: BootImage::in_folder(image),
        data_disk: DataDisk { path: paths.data_disk(), size_gib: spec.disk_gib },
        shares: shares
            .iter()
            .map(|share| Share {
                tag: share.tag.clone(),
                host_path: share.real_path.clone(),
                read_only: false,
            })
            .collect(),
        network: Network::UserMode,
        console_log: paths.console_log(),
        run_dir: paths.dir().to_owned(),
        kernel_arguments: Vec::new(),
        wishes: WISHES,
    })
}

/// The settings in which a description differs from the one a machine was booted from, in the words of the spec.
pub fn differences(booted: &VmConfig, wanted: &VmConfig) -> Vec<String> {
    let paths = |config: &VmConfig| -> Vec<Utf8PathBuf> {
        config.shares.iter().map(|share| share.host_path.clone()).collect()
    };
    [
        ("cpus", booted.cpus != wanted.cpus),
        ("memory_mib", booted.memory_mib != wanted.memory_mib),
        ("disk_gib", booted.data_disk.size_gib != wanted.data_disk.size_gib),
        ("shares", paths(booted) != paths(wanted)),
        ("image", booted.image != wanted.image),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(name, _)| name.to_owned())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(shares: Vec<Utf8PathBuf>) -> MachineSpec {
        MachineSpec { shares, ..crate::settings::default_machine() }
    }

    #[test]
    fn folders_that_the_guest_needs_are_refused_by_name() {
        for path in ["/", "/usr/share", "/etc", "/proc", "/var", "/var/lib"] {
            let error = shared_roots(&spec(vec![path.into()])).unwrap_err();
            assert!(
                matches!(&error, DescriptionError::HidesGuest { path: named } if named == path),
                "{error}"
            );
        }
        let absent = shared_roots(&spec(vec!["/no/such/folder".into()])).unwrap_err();
        assert!(absent.problem().title.contains("/no/such/folder"));
    }

    #[test]
    fn a_share_through_a_link_is_there_by_both_its_paths() {
        let temp = tempfile::tempdir().unwrap();
        let top = Utf8Path::from_path(temp.path()).unwrap().canonicalize_utf8().unwrap();
        let (real, link) = (top.join("disk/ada"), top.join("home"));
        fs_err::create_dir_all(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let roots = shared_roots(&spec(vec![link.clone()])).unwrap();
        let mounted: Vec<_> = mounts(&roots).into_iter().map(|mount| (mount.tag, mount.path)).collect();
        let tag = "share0".to_owned();
        assert_eq!(mounted, [(tag.clone(), real.to_string()), (tag, link.to_string())]);
        assert!(roots[0].has(&real.join("app"), &real.join("app")), "a client gives paths without links");
        assert!(roots[0].has(&link.join("app"), &real.join("app")));
        assert!(!roots[0].has(&link.join("out"), &top.join("elsewhere")), "a link that leads out");
    }

    #[test]
    fn an_inner_share_is_mounted_after_the_outer_one() {
        let temp = tempfile::tempdir().unwrap();
        let outer = Utf8Path::from_path(temp.path()).unwrap();
        let inner = outer.join("inner");
        fs_err::create_dir(&inner).unwrap();
        let roots = shared_roots(&spec(vec![inner.clone(), outer.to_owned(), inner.clone()])).unwrap();
        let mounted: Vec<_> = mounts(&roots).into_iter().map(|mount| (mount.tag, mount.path)).collect();
        assert_eq!(
            mounted,
            [("share0".to_owned(), outer.to_string()), ("share1".to_owned(), inner.to_string())]
        );
    }
}
