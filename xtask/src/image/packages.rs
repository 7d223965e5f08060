//! From a list of wanted packages to their files: pinned, verified, in the pool.
//!
//! Debian's mirrors keep only current versions. A pinned file that is gone from the mirror and from the pool is
//! pinned again in its current version, together with everything built from the same source, because libraries of
//! one source depend on each other's exact versions. What moved is printed, and the lock file is written.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::arch::Arch;
use super::digest::{Digest, Hasher};
use super::index::{IndexError, Indexes};
use super::lock::{Lock, LockSyntax, Pin};
use super::mirror::{Mirror, MirrorError};
use super::pool::{Pool, PoolError};
use crate::output::say;

/// What an image asks Debian for.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// These packages alone, and the kernel that a metapackage stands for, with its headers.
    Exactly { names: Vec<String>, kernel: String },
    /// These packages with all they depend on: a system that Debian can configure.
    WithDependencies { names: Vec<String> },
    /// One package in a version that begins so.
    Version { name: String, version: String },
}

/// Where packages come from.
pub(crate) struct Depot {
    /// Downloaded files.
    pub(crate) pool: Pool,
    /// apt's private folder.
    pub(crate) apt: Utf8PathBuf,
    /// Debian suite.
    pub(crate) suite: String,
}

/// The packages of an image could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PackagesError {
    /// No mirror.
    #[error("could not find out where to download Debian packages")]
    Mirror(#[from] MirrorError),
    /// The indexes failed.
    #[error("could not pin packages for {lock}")]
    Index { lock: Utf8PathBuf, source: IndexError },
    /// A file failed, also in its current version.
    #[error("could not bring the packages of {lock} together")]
    Pool { lock: Utf8PathBuf, source: PoolError },
    /// The lock file was damaged by hand or by a merge.
    #[error("{lock} is not a lock file; `cargo xtask image --relock` writes it anew")]
    Lock { lock: Utf8PathBuf, source: LockSyntax },
    /// Files could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Wanted {
    fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        match self {
            Self::Exactly { names, kernel } => {
                hasher.add_parts(names.iter().chain([kernel, &"headers".to_owned()]));
            }
            Self::WithDependencies { names } => hasher.add_parts(names),
            Self::Version { name, version } => hasher.add_parts([name, version]),
        }
        hasher.finish()
    }

    fn resolve(&self, indexes: &Indexes<'_>, arch: Arch) -> Result<Lock, IndexError> {
        let pins = match self {
            Self::Exactly { names, kernel } => {
                let mut requests = names.clone();
                requests.extend(indexes.kernel(arch, kernel)?);
                indexes.files(arch, &requests)?
            }
            Self::WithDependencies { names } => indexes.closure(arch, names)?,
            Self::Version { name, version } => indexes.files(arch, &[format!("{name}={version}*")])?,
        };
        Ok(Lock::new(self.digest(), pins))
    }
}

impl Depot {
    /// Reads the lock file, brings it up to date where it must be, and puts every pinned file into the pool.
    /// With `relock` every package moves to its current version.
    pub(crate) fn provide(
        &self,
        lock_file: &Utf8Path,
        arch: Arch,
        wanted: &Wanted,
        relock: bool,
    ) -> Result<Lock, PackagesError> {
        let old = match fs_err::read_to_string(lock_file) {
            Ok(_) if relock => Lock::default(),
            Ok(text) => Lock::parse(&text)
                .map_err(|source| PackagesError::Lock { lock: lock_file.to_owned(), source })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Lock::default(),
            Err(error) => return Err(error.into()),
        };
        let current = old.wanted == Some(wanted.digest());
        let pool = |source| PackagesError::Pool { lock: lock_file.to_owned(), source };
        for pin in old.pins() {
            self.pool.verify(pin).map_err(pool)?;
        }
        if current && old.pins().all(|pin| self.pool.has(pin)) {
            return Ok(old);
        }
        let mirror = Mirror::of_this_machine()?;
        let (lock, missing) = if current {
            let missing = self.download(&old, &mirror);
            (old, missing)
        } else {
            let lock = self.pin_again(lock_file, arch, wanted, &mirror, &old, &[])?;
            let missing = self.download(&lock, &mirror);
            (lock, missing)
        };
        if missing.is_empty() {
            return Ok(lock);
        }
        for (_, error) in &missing {
            say(format!("  {error}: no longer on the mirror, or out of reach"));
        }
        let names: Vec<&str> = missing.iter().map(|(pin, _)| pin.name.as_str()).collect();
        let lock = self.pin_again(lock_file, arch, wanted, &mirror, &lock, &names)?;
        match self.download(&lock, &mirror).into_iter().next() {
            None => Ok(lock),
            Some((_, source)) => Err(pool(source)),
        }
    }

    /// Downloads what the pool lacks; returns what could not be had.
    fn download(&self, lock: &Lock, mirror: &Mirror) -> Vec<(Pin, PoolError)> {
        let lacking: Vec<&Pin> = lock.pins().filter(|pin| !self.pool.has(pin)).collect();
        if !lacking.is_empty() {
            let bytes = lacking.iter().map(|pin| pin.size).sum();
            say(format!("downloading {} packages, {}", lacking.len(), crate::output::megabytes(bytes)));
        }
        lacking
            .into_iter()
            .filter_map(|pin| self.pool.download(pin, mirror).err().map(|error| (pin.clone(), error)))
            .collect()
    }

    /// Pins packages from the current indexes: `gone` and their sources, and whatever the list newly asks for.
    fn pin_again(
        &self,
        lock_file: &Utf8Path,
        arch: Arch,
        wanted: &Wanted,
        mirror: &Mirror,
        old: &Lock,
        gone: &[&str],
    ) -> Result<Lock, PackagesError> {
        let index = |source| PackagesError::Index { lock: lock_file.to_owned(), source };
        let indexes = Indexes::update(&self.apt, mirror, &self.suite).map_err(index)?;
        let newest = wanted.resolve(&indexes, arch).map_err(index)?;
        let names: Vec<&str> = newest.pins().map(|pin| pin.name.as_str()).collect();
        let sources = if gone.is_empty() {
            BTreeMap::new()
        } else {
            indexes.source_names(arch, &names).map_err(index)?
        };
        let moving: BTreeSet<&String> = gone.iter().filter_map(|name| sources.get(*name)).collect();
        let lock = old.advance(&newest, |name| {
            gone.contains(&name) || sources.get(name).is_some_and(|source| moving.contains(source))
        });
        for moved in old.moved_in(&lock) {
            say(format!("  pinned: {moved}"));
        }
        write_whole(lock_file, lock.to_string().as_bytes())?;
        Ok(lock)
    }
}

/// Writes a file so that a reader finds the old content or the new, never a part.
pub(crate) fn write_whole(path: &Utf8Path, content: &[u8]) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    fs_err::write(&partial, content)?;
    fs_err::rename(partial, path)
}
