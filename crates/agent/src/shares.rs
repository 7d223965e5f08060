//! Folders of the host, mounted where the host has them: each a virtiofs device of its own, or, where the machine has
//! one device for them all, a folder of that device.

use std::io;
use std::path::{Component, Path, PathBuf};

use fs_err as fs;
use protocol::agent::{FailureKind, Mount};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::cmdline::CommandLine;

/// Folders of the guest that a share must not cover.
const OWN: &[&str] = &[
    "usr", "etc", "proc", "sys", "dev", "run", "var", "boot", "lib", "lib32", "lib64", "bin", "sbin", "opt",
];

/// Why a share is not mounted, or not taken away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShareError {
    /// The path would cover the guest's own files, or is no clean absolute path.
    #[error("{path} cannot be shared: it must be an absolute path outside of the guest's own folders")]
    Place { path: String },
    /// Something else is mounted there.
    #[error("{path} already shows `{other}`")]
    Taken { path: String, other: String },
    /// The kernel refused.
    #[error("cannot mount the share `{tag}` at {path}")]
    Mount {
        tag: String,
        path: String,
        #[source]
        source: io::Error,
    },
    /// It is in use.
    #[error("cannot take the share at {path} away")]
    Unmount {
        path: String,
        #[source]
        source: io::Error,
    },
}

impl ShareError {
    /// What the host is told.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Place { .. } | Self::Taken { .. } => FailureKind::Invalid,
            // What the kernel answers for a tag that no device has.
            Self::Mount { source, .. } if source.raw_os_error() == Some(22) => FailureKind::NotFound,
            Self::Mount { .. } | Self::Unmount { .. } => FailureKind::Other,
        }
    }
}

/// Where the one device is mounted that has every share as a folder.
const ALL: &str = "/run/cove/shares";

/// Mounts a share; its folder is made. The same share there already: done.
pub(crate) fn mount(share: &Mount) -> Result<(), ShareError> {
    let path = place(&share.path)?;
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let all = CommandLine::parse(&command_line).unwrap_or_default().shares;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if let Some(there) = mounted_at(&mounts, &share.path, all.as_deref()) {
        return if there == share.tag {
            Ok(())
        } else {
            Err(ShareError::Taken { path: share.path.clone(), other: there })
        };
    }
    let flags = MountFlags::NOATIME | if share.read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    let mounted = fs::create_dir_all(&path).and_then(|()| match all {
        Some(device) => mount_folder(&device, &share.tag, &path, flags),
        None => rustix::mount::mount(share.tag.as_str(), &path, c"virtiofs", flags, None).map_err(Into::into),
    });
    mounted.map_err(|source| ShareError::Mount { tag: share.tag.clone(), path: share.path.clone(), source })
}

/// Mounts one folder of the device that has them all.
fn mount_folder(device: &str, folder: &str, path: &Path, flags: MountFlags) -> io::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if mounted_at(&mounts, ALL, None).is_none() {
        fs::create_dir_all(ALL)?;
        rustix::mount::mount(device, ALL, c"virtiofs", MountFlags::NOATIME, None)?;
        // What is mounted over a share must not show up a second time here.
        rustix::mount::mount_change(ALL, MountPropagationFlags::PRIVATE)?;
    }
    let source = Path::new(ALL).join(folder);
    if !source.is_dir() {
        // What the kernel answers for a device that is not there.
        return Err(rustix::io::Errno::INVAL.into());
    }
    rustix::mount::mount_bind(&source, path)?;
    if flags.contains(MountFlags::RDONLY) {
        // A bind mount takes its flags in a second step only.
        rustix::mount::mount_remount(path, MountFlags::BIND | flags, c"")?;
    }
    Ok(())
}

/// Takes a share away. Not there: done.
pub(crate) fn unmount(path: &str) -> Result<(), ShareError> {
    let place = place(path)?;
    match rustix::mount::unmount(&place, UnmountFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(source) => Err(ShareError::Unmount { path: path.to_owned(), source: source.into() }),
    }
}

fn place(path: &str) -> Result<PathBuf, ShareError> {
    let refused = || ShareError::Place { path: path.to_owned() };
    let mut components = Path::new(path).components();
    if components.next() != Some(Component::RootDir) {
        return Err(refused());
    }
    let names: Vec<_> = components.collect();
    let clean = names.iter().all(|component| matches!(component, Component::Normal(_)));
    let first = names.first().map(|component| component.as_os_str());
    match first {
        Some(first) if clean && !OWN.iter().any(|own| first == *own) => Ok(PathBuf::from(path)),
        _ => Err(refused()),
    }
}

/// The tag of the share that the last mount at a path shows, from the text of `/proc/self/mountinfo`, where a space
/// is `\040`; of the device that has them all, each folder is one.
fn mounted_at(mounts: &str, path: &str, all: Option<&str>) -> Option<String> {
    let escaped =
        path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012");
    mounts.lines().rev().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut words = mount.split(' ').skip(3);
        let (folder, place) = (words.next()?, words.next()?);
        let source = file_system.split(' ').nth(1)?;
        let tag = if all == Some(source) { folder.trim_start_matches('/') } else { source };
        (place == escaped).then(|| tag.to_owned())
    })
}

/// Where shares are mounted now. A place whose name is not UTF-8 is left out: no share has one.
pub(crate) fn places() -> Vec<String> {
    places_in(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn places_in(mounts: &str) -> Vec<String> {
    let place = |line: &str| {
        let (mount, file_system) = line.split_once(" - ")?;
        let place = mount.split(' ').nth(4)?;
        file_system.starts_with("virtiofs ").then(|| {
            [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
                .into_iter()
                .fold(place.to_owned(), |place, (escaped, plain)| place.replace(escaped, plain))
        })
    };
    mounts.lines().filter_map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_cannot_cover_the_guests_own_folders() {
        for path in ["/", "/usr", "/var/lib/docker", "/etc/x", "home/me", "/home/../etc", ""] {
            assert!(place(path).is_err(), "{path}");
        }
        for path in ["/home/me", "/Users/me/src", "/root", "/tmp/x"] {
            assert!(place(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn what_is_mounted_is_found_by_its_path() {
        let mounts = "21 1 0:1 / / rw - tmpfs tmpfs rw\n\
                      30 21 0:30 / /home/a\\040b rw,noatime shared:1 - virtiofs share0 rw\n\
                      31 21 0:31 /share1 /home/c rw,noatime - virtiofs cove rw\n";
        assert_eq!(mounted_at(mounts, "/home/a b", None).as_deref(), Some("share0"));
        assert_eq!(mounted_at(mounts, "/home/a", None), None);
        assert_eq!(mounted_at(mounts, "/home/c", Some("cove")).as_deref(), Some("share1"));
        assert_eq!(places_in(mounts), ["/home/a b", "/home/c"]);
    }
}
