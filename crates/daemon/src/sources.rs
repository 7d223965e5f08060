//! The real files, and the variables a person brought, for the reader of configurations.

use std::collections::BTreeMap;
use std::io;

use camino::Utf8Path;
use devcontainer::{SourceError, Sources};

/// Longest file read as a configuration or a Dockerfile: far more than any is, far less than memory.
const MOST_BYTES: u64 = 16 << 20;

/// The disk of this computer and the variables of this process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Disk;

impl Sources for Disk {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        let failed = |source| SourceError { path: path.to_owned(), source };
        match fs_err::metadata(path) {
            Ok(metadata) if metadata.len() > MOST_BYTES => {
                Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "far too long for such a file")))
            }
            Ok(_) => fs_err::read(path).map(Some).map_err(failed),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        path.exists()
    }

    fn list_dirs(&self, path: &Utf8Path) -> Result<Vec<String>, SourceError> {
        let failed = |source| SourceError { path: path.to_owned(), source };
        let entries = match fs_err::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            // A name that is not UTF-8 cannot be asked for by anyone, so it is no choice.
            if entry.path().is_dir()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// The disk of this computer and the variables of the person who asked: not the daemon's own, which are those of
/// whoever happened to start it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Person<'a> {
    variables: &'a BTreeMap<String, String>,
}

impl<'a> Person<'a> {
    pub(crate) fn new(variables: &'a BTreeMap<String, String>) -> Self {
        Self { variables }
    }
}

impl Sources for Person<'_> {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        Disk.read(path)
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        Disk.exists(path)
    }

    fn list_dirs(&self, path: &Utf8Path) -> Result<Vec<String>, SourceError> {
        Disk.list_dirs(path)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
