//! The data disk as it was before another guest image used it.
//!
//! An update boots another kernel and another engine on the disk that holds every container and volume. Before it
//! first does, the disk is cloned: on APFS, and on Linux with Btrfs or XFS, that takes no time and no space but for what
//! changes afterwards. Where the file system cannot clone, nothing is copied: a disk of many gigabytes would keep a
//! person waiting, and fill the computer.

use std::io;
use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use sha2::{Digest as _, Sha256};

use crate::paths::MachinePaths;
use crate::properties::hex;

/// How long a clone is kept. What it holds back grows with every change of the disk.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// What was done about a disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is used by the image that used it last, or is new.
    NotNeeded,
    /// A clone of it is there now.
    Cloned,
    /// The file system cannot clone.
    Impossible,
}

/// Clones the data disk if the image in `image` is another than the one that used it last. A clone that is older than
/// a month goes.
///
/// # Errors
/// The image's manifest or the folder cannot be read or written.
pub(super) fn keep_before_update(paths: &MachinePaths, image: &Utf8Path) -> io::Result<Kept> {
    keep(paths, image, |from, to| reflink_copy::reflink(from, to))
}

fn keep(
    paths: &MachinePaths,
    image: &Utf8Path,
    clone: impl Fn(&Utf8Path, &Utf8Path) -> io::Result<()>,
) -> io::Result<Kept> {
    let manifest = fs_err::read(image.join(vmm::image::MANIFEST))?;
    let digest = hex(&Sha256::digest(&manifest));
    let (disk, record, copy) = (paths.data_disk(), paths.disk_image_record(), paths.disk_before_update());
    let before = match fs_err::read_to_string(&record) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if before.as_ref() == Some(&digest) || !disk.exists() {
        drop_old(&copy)?;
        fs_err::write(&record, &digest)?;
        return Ok(Kept::NotNeeded);
    }
    // Made under another name: a kill in between leaves no half of it that looks whole.
    let partial = copy.with_extension("partial");
    remove(&partial)?;
    let kept = match clone(&disk, &partial) {
        Ok(()) => {
            fs_err::rename(&partial, &copy)?;
            tracing::info!(%copy, "the data disk is kept as it was before this update");
            Kept::Cloned
        }
        Err(error) => {
            remove(&partial)?;
            tracing::debug!(%error, "the data disk is not kept as it was: this file system cannot clone");
            Kept::Impossible
        }
    };
    fs_err::write(&record, &digest)?;
    Ok(kept)
}

fn drop_old(copy: &Utf8Path) -> io::Result<()> {
    let Ok(metadata) = fs_err::metadata(copy) else { return Ok(()) };
    let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_default();
    if age > KEPT { remove(copy) } else { Ok(()) }
}

fn remove(path: &Utf8Path) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::paths::Paths;

    fn copies(from: &Utf8Path, to: &Utf8Path) -> io::Result<()> {
        fs_err::copy(from, to).map(drop)
    }

    #[test]
    fn a_disk_is_kept_once_for_each_update() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        let paths = Paths::new(folder.join("home")).unwrap().default_machine();
        let image = folder.join("image");
        fs_err::create_dir_all(paths.dir()).unwrap();
        fs_err::create_dir_all(&image).unwrap();
        let manifest = image.join(vmm::image::MANIFEST);
        let kept = || keep(&paths, &image, copies).unwrap();

        fs_err::write(&manifest, "first").unwrap();
        assert_eq!(kept(), Kept::NotNeeded, "there is no disk yet");
        fs_err::write(paths.data_disk(), "of the first image").unwrap();
        assert_eq!(kept(), Kept::NotNeeded);
        assert!(!paths.disk_before_update().exists());

        fs_err::write(&manifest, "second").unwrap();
        assert_eq!(kept(), Kept::Cloned);
        fs_err::write(paths.data_disk(), "of the second image").unwrap();
        assert_eq!(kept(), Kept::NotNeeded);
        assert_eq!(fs_err::read_to_string(paths.disk_before_update()).unwrap(), "of the first image");

        fs_err::write(&manifest, "third").unwrap();
        let refused = |_: &Utf8Path, _: &Utf8Path| Err(io::ErrorKind::Unsupported.into());
        assert_eq!(keep(&paths, &image, refused).unwrap(), Kept::Impossible);
        assert_eq!(kept(), Kept::NotNeeded, "it runs on without");
    }

    /// Whether this file system can clone is its own business; what is there afterwards is the same.
    #[test]
    fn a_clone_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        std::fs::write(&from, vec![7; 1 << 20]).unwrap();
        match reflink_copy::reflink(&from, &to) {
            Ok(()) => assert_eq!(std::fs::read(&to).unwrap(), vec![7; 1 << 20]),
            Err(_) => assert!(!to.exists()),
        }
    }
}
