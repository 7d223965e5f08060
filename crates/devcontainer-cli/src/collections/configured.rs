//! The configuration of a workspace, for commands that change or look at what it says about features.

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::feature::{Lockfile, LockfileError};
use devcontainer::{Config, LocateError, Located, Mounting, ReadError, ReadOptions, SourceError, Sources};

use super::folder::{self, FolderError};

/// A configuration, and its file.
#[derive(Debug)]
pub(crate) struct Configured {
    pub(crate) config: Config,
    pub(crate) file: Utf8PathBuf,
    /// The file's text.
    pub(crate) text: Vec<u8>,
}

/// Why there is no configuration to work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfiguredError {
    /// It cannot be found, or there are several.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// There is none.
    #[error("Dev container config ({file}) not found.")]
    None {
        /// Where it would be.
        file: Utf8PathBuf,
    },
    /// It is wrong.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The lockfile beside it is wrong.
    #[error(transparent)]
    Lockfile(#[from] LockfileError),
    /// The lockfile cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// Reads the configuration of the workspace in `folder`: `named` if given, else the one in its usual place.
pub(crate) fn read(
    sources: &dyn Sources,
    folder: &Utf8Path,
    named: Option<&Utf8Path>,
) -> Result<Configured, ConfiguredError> {
    let usual = || folder.join(".devcontainer/devcontainer.json");
    let file = match named {
        Some(file) => file.to_owned(),
        None => match devcontainer::locate(sources, folder, None)? {
            Located::ConfigFile(file) => file,
            Located::None => return Err(ConfiguredError::None { file: usual() }),
        },
    };
    let Some(text) = sources.read(&file)? else { return Err(ConfiguredError::None { file }) };
    let options = ReadOptions {
        workspace: Some(folder),
        file: Some(&file),
        text_from: None,
        default_image: "",
        must_be_complete: false,
        mounting: Mounting::default(),
        id_labels: None,
    };
    let config = devcontainer::read_with(sources, &options)?;
    Ok(Configured { config, file, text })
}

impl Configured {
    /// The lockfile beside the configuration, if there is one that says something.
    pub(crate) fn lockfile(&self) -> Result<Option<Lockfile>, ConfiguredError> {
        let path = Lockfile::path_beside(&self.file);
        match folder::read_file(&path)? {
            Some(bytes) => Ok(Lockfile::parse(&bytes, &path)?),
            None => Ok(None),
        }
    }
}

/// Sources in which one file says something else than on the disk.
pub(crate) struct Edited<'a> {
    pub(crate) sources: &'a dyn Sources,
    pub(crate) file: &'a Utf8Path,
    pub(crate) text: &'a [u8],
}

impl Sources for Edited<'_> {
    fn read(&self, path: &Utf8Path) -> Result<Option<Vec<u8>>, SourceError> {
        if path == self.file { Ok(Some(self.text.to_vec())) } else { self.sources.read(path) }
    }

    fn exists(&self, path: &Utf8Path) -> bool {
        path == self.file || self.sources.exists(path)
    }

    fn list_dirs(&self, path: &Utf8Path) -> Result<Vec<String>, SourceError> {
        self.sources.list_dirs(path)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.sources.env(name)
    }
}
