//! What reading a configuration needs from the world.

use camino::{Utf8Path, Utf8PathBuf};

/// Files and variables of the host. The daemon implements it with the real ones, tests with a table.
///
/// Paths are absolute. An implementation should refuse files far larger than any configuration, so that
/// a repository cannot make its reader run out of memory.
pub trait Sources {
    /// The content of a file; `None` when there is no such file.
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError>;
    /// Whether a file or folder of that name is there.
    fn exists(&self, path: &Utf8Path) -> bool;
    /// The names of the folders directly in `path`, in any order; empty when `path` is not a folder.
    fn list_dirs(&self, path: &Utf8Path) -> Result<Vec<String>, SourceError>;
    /// A variable of the environment of the person who asked, for `${localEnv:NAME}`.
    fn env(&self, name: &str) -> Option<String>;
}

/// A file or folder is there but could not be read.
#[derive(Debug, thiserror::Error)]
#[error("could not read `{path}`")]
pub struct SourceError {
    /// What was to be read.
    pub path: Utf8PathBuf,
    /// Why it could not be.
    #[source]
    pub source: std::io::Error,
}
