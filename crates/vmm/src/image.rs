//! The guest image on the host's disk, and whether it is whole.
//!
//! A folder with `kernel`, `initramfs`, `root.erofs` and a `manifest.json` that vouches for them. Sizes are
//! compared at every boot; digests only of files that changed since they were last compared, so that a boot does
//! not read some hundred megabytes for nothing.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Architecture, Error};

/// Name of the manifest in an image's folder.
pub const MANIFEST: &str = "manifest.json";

/// Remembers which state of each file was found to match its digest.
const STAMPS: &str = ".verified.json";

/// The layout of an image's folder that this code knows.
const FORMAT: u32 = 1;

/// The files a machine boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootImage {
    /// The Linux kernel.
    pub kernel: Utf8PathBuf,
    /// What the kernel starts first.
    pub initramfs: Utf8PathBuf,
    /// The read-only root file system.
    pub root: Utf8PathBuf,
    /// The manifest that vouches for them, checked before each boot; `None` for hand-made files.
    #[serde(default)]
    pub manifest: Option<Utf8PathBuf>,
}

impl BootImage {
    /// The image in a folder, by the names that the image build gives. Nothing is read.
    pub fn in_folder(folder: &Utf8Path) -> Self {
        Self {
            kernel: folder.join("kernel"),
            initramfs: folder.join("initramfs"),
            root: folder.join("root.erofs"),
            manifest: Some(folder.join(MANIFEST)),
        }
    }
}

/// What an image's folder should hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this layout.
    pub format: u32,
    /// Instruction set of the image.
    pub arch: Architecture,
    /// `uname -r` of its kernel.
    pub kernel_release: String,
    /// Its files, by their names in the folder.
    pub files: BTreeMap<String, ManifestFile>,
}

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// SHA-256 of the content, in lower-case hexadecimal.
    pub sha256: String,
    /// Length, in bytes.
    pub size: u64,
}

impl Manifest {
    /// Reads the manifest of an image's folder.
    ///
    /// # Errors
    /// [`Error::ImageUnreadable`] where there is none, or none that this version understands.
    pub fn read(folder: &Utf8Path) -> Result<Self, Error> {
        let path = folder.join(MANIFEST);
        let unreadable = |source| Error::ImageUnreadable { path: path.clone(), source };
        let text = fs::read(&path).map_err(unreadable)?;
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| unreadable(error.into()))?;
        if manifest.format != FORMAT {
            let message = format!("its format is {}, this version reads {FORMAT}", manifest.format);
            return Err(unreadable(io::Error::other(message)));
        }
        Ok(manifest)
    }
}

/// A file as it was when its digest matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    sha256: String,
    size: u64,
    modified_ns: i128,
    inode: u64,
}

/// Checks every file of an image against its manifest.
///
/// # Errors
/// [`Error::ImageDamaged`] for the first file that differs, [`Error::ImageUnreadable`] for one that is absent.
pub fn verify(folder: &Utf8Path) -> Result<Manifest, Error> {
    let manifest = Manifest::read(folder)?;
    let stamps_path = folder.join(STAMPS);
    let known: BTreeMap<String, Stamp> =
        fs::read(&stamps_path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let mut stamps = BTreeMap::new();
    for (name, expected) in &manifest.files {
        let path = folder.join(name);
        let unreadable = |source| Error::ImageUnreadable { path: path.clone(), source };
        let metadata = fs::metadata(&path).map_err(unreadable)?;
        if metadata.len() != expected.size {
            return Err(Error::ImageDamaged {
                file: path,
                expected: format!("{} bytes", expected.size),
                found: format!("{} bytes", metadata.len()),
            });
        }
        let stamp = Stamp {
            sha256: expected.sha256.clone(),
            size: expected.size,
            modified_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
            inode: metadata.ino(),
        };
        if known.get(name) != Some(&stamp) {
            let found = sha256(&path).map_err(unreadable)?;
            if found != expected.sha256 {
                return Err(Error::ImageDamaged {
                    file: path,
                    expected: format!("SHA-256 {}", expected.sha256),
                    found: format!("SHA-256 {found}"),
                });
            }
        }
        stamps.insert(name.clone(), stamp);
    }
    if stamps != known {
        remember(&stamps_path, &stamps);
    }
    Ok(manifest)
}

/// Checks an image before a boot: reading whole files now and then is nothing for the thread that serves everyone.
/// Hand-made files have no manifest, and nothing to be checked against.
pub(crate) async fn check(image: &BootImage) -> Result<Option<Manifest>, Error> {
    let Some(manifest) = image.manifest.clone() else {
        return Ok(None);
    };
    let checked = tokio::task::spawn_blocking(move || {
        verify(manifest.parent().unwrap_or(Utf8Path::new("/"))).map(Some)
    });
    checked.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// A folder that cannot be written costs time at the next boot, nothing else.
fn remember(path: &Utf8Path, stamps: &BTreeMap<String, Stamp>) {
    let json = serde_json::to_vec(stamps).expect("stamps are plain data");
    if let Err(error) = fs::write(path, json) {
        tracing::debug!(%error, "the image will be verified in full again");
    }
}

/// SHA-256 of a file, in lower-case hexadecimal.
pub(crate) fn sha256(path: &Utf8Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> (tempfile::TempDir, Utf8PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        fs::write(folder.join("kernel"), "abc").unwrap();
        let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let manifest = format!(
            r#"{{"format":1,"arch":"amd64","kernel_release":"6.12","files":{{"kernel":{{"sha256":"{sha256}","size":3}}}}}}"#
        );
        fs::write(folder.join(MANIFEST), manifest).unwrap();
        (dir, folder)
    }

    #[test]
    fn a_whole_image_passes_and_tells_what_it_is() {
        let (_dir, folder) = image();
        assert_eq!(verify(&folder).unwrap().kernel_release, "6.12");
        assert_eq!(verify(&folder).unwrap().arch, Architecture::Amd64);
    }

    #[test]
    fn a_changed_file_of_the_same_length_is_found_even_after_a_good_check() {
        let (_dir, folder) = image();
        verify(&folder).unwrap();
        fs::write(folder.join("kernel"), "abd").unwrap();
        let error = verify(&folder).unwrap_err();
        assert!(matches!(&error, Error::ImageDamaged { file, .. } if file.ends_with("kernel")), "{error}");
        assert!(error.to_string().contains("its manifest says SHA-256 ba7816bf"), "{error}");
    }

    #[test]
    fn a_cut_or_absent_file_is_named() {
        let (_dir, folder) = image();
        fs::write(folder.join("kernel"), "ab").unwrap();
        let message = verify(&folder).unwrap_err().to_string();
        assert!(message.contains("kernel` has 2 bytes, its manifest says 3 bytes"), "{message}");
        fs::remove_file(folder.join("kernel")).unwrap();
        assert!(
            matches!(verify(&folder), Err(Error::ImageUnreadable { path, .. }) if path.ends_with("kernel"))
        );
    }

    #[test]
    fn an_image_of_a_newer_layout_is_refused() {
        let (_dir, folder) = image();
        let newer = r#"{"format":2,"arch":"amd64","kernel_release":"7","files":{}}"#;
        fs::write(folder.join(MANIFEST), newer).unwrap();
        assert!(matches!(verify(&folder), Err(Error::ImageUnreadable { .. })));
    }
}
