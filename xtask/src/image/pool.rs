//! Downloaded package files, kept by digest. A file is in the pool only after its content matched.

use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};

use super::digest::Digest;
use super::host_tools::{APT_HELPER, ToolError, run};
use super::lock::Pin;
use super::mirror::Mirror;
use crate::output::{megabytes, say};

/// The folder of package files.
pub(crate) struct Pool {
    folder: Utf8PathBuf,
}

/// A package file is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoolError {
    /// The mirror does not have the pinned file, or cannot be reached.
    #[error("could not download `{name}` {version}")]
    Download { name: String, version: String, source: ToolError },
    /// The pool could not be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Pool {
    /// Opens the pool, making the folder when needed.
    pub(crate) fn open(folder: Utf8PathBuf) -> Result<Self, PoolError> {
        fs_err::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Where the pinned file is, or would be.
    pub(crate) fn path(&self, pin: &Pin) -> Utf8PathBuf {
        self.folder.join(format!("{}.deb", pin.sha256))
    }

    /// Whether the pinned file is in the pool.
    pub(crate) fn has(&self, pin: &Pin) -> bool {
        fs_err::metadata(self.path(pin)).is_ok_and(|metadata| metadata.len() == pin.size)
    }

    /// Removes the pinned file from the pool when its content is no longer what it was put there with.
    pub(crate) fn verify(&self, pin: &Pin) -> Result<(), PoolError> {
        let path = self.path(pin);
        if path.exists() && !(self.has(pin) && Digest::of_file(&path)? == pin.sha256) {
            fs_err::remove_file(&path)?;
        }
        Ok(())
    }

    /// Downloads the pinned file. apt's own downloader does it, with the machine's proxy and certificates, and
    /// refuses content that has another digest.
    pub(crate) fn download(&self, pin: &Pin, mirror: &Mirror) -> Result<(), PoolError> {
        let started = Instant::now();
        let partial = self.folder.join(format!("{}.partial", pin.sha256));
        remove_if_present(&partial)?;
        let download =
            |source| PoolError::Download { name: pin.name.clone(), version: pin.version.clone(), source };
        let mut helper = APT_HELPER.command().map_err(download)?;
        helper.args(["-o", "APT::Sandbox::User=root", "download-file"]);
        helper.args([mirror.uri(&pin.path), partial.to_string(), format!("SHA256:{}", pin.sha256)]);
        run(&mut helper).map_err(download)?;
        fs_err::rename(&partial, self.path(pin))?;
        let seconds = started.elapsed().as_secs_f64();
        say(format!("  {} {}: {} in {seconds:.1} s", pin.name, pin.version, megabytes(pin.size)));
        Ok(())
    }
}

/// Removes a file that a stopped run may have left.
pub(crate) fn remove_if_present(path: &Utf8Path) -> std::io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
