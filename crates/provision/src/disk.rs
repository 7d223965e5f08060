//! The real files and variables, for the reader of configurations.

use std::io::{self, Read as _};

use camino::Utf8Path;
use devcontainer::{SourceError, Sources};

/// Longest file read as a configuration or a Dockerfile: far more than any is, far less than memory.
const MOST_BYTES: u64 = 16 << 20;

/// The disk of this computer and the variables of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Sources for Disk {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        let failed = |source| SourceError { path: path.to_owned(), source };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        // Its length is not asked for: a device has none, and a file can grow.
        let mut content = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut content).map_err(failed)?;
        if content.len() as u64 > MOST_BYTES {
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "far too long for such a file")));
        }
        Ok(Some(content))
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        path.exists()
    }

    fn list_dirs(&self, path: &Utf8Path) -> Result<Vec<String>, SourceError> {
        let failed = |source| SourceError { path: path.to_owned(), source };
        let entries = match std::fs::read_dir(path) {
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

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
