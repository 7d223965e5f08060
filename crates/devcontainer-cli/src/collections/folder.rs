//! Reads a folder of a collection into memory, and writes files.

use std::io::{self, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use oci::{File, Files};

/// A folder could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// The folder is not there.
    #[error("there is no folder `{path}`")]
    Missing {
        /// The folder, absolute.
        path: Utf8PathBuf,
    },
    /// The system refused.
    #[error("could not {verb} `{path}`")]
    Refused {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: Utf8PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A name that is not UTF-8, which archives of collections cannot have.
    #[error("the name of `{path}` is not UTF-8")]
    Name {
        /// The name with its odd bytes replaced.
        path: String,
    },
    /// Something that is neither a file nor a folder.
    #[error("`{path}` is neither a file nor a folder, nor a link to a file: it cannot be packaged")]
    Special {
        /// Where it is.
        path: Utf8PathBuf,
    },
}

fn refused(verb: &'static str, path: &Utf8Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Refused { verb, path, source }
}

/// Every file below `folder` but those below `without`. A link to a file counts as the file: who unpacks the archive
/// has nothing that it could point to.
pub(crate) fn read(folder: &Utf8Path, without: Option<&Utf8Path>) -> Result<Files, FolderError> {
    let mut files = Files::new();
    let mut open = vec![folder.to_owned()];
    while let Some(current) = open.pop() {
        for path in entries(&current)? {
            if without.is_some_and(|without| path == without) {
                continue;
            }
            let kind = path.symlink_metadata().map_err(refused("read", &path))?;
            if kind.is_dir() {
                open.push(path);
                continue;
            }
            let target = path.metadata().map_err(refused("read", &path))?;
            if !target.is_file() {
                return Err(FolderError::Special { path });
            }
            let bytes = std::fs::read(&path).map_err(refused("read", &path))?;
            let name = path.strip_prefix(folder).map_or_else(|_| path.clone(), Utf8Path::to_owned);
            files.insert(name, File { bytes, mode: mode(&target) });
        }
    }
    Ok(files)
}

/// What is directly in a folder, sorted by name.
pub(crate) fn entries(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, FolderError> {
    if !folder.is_dir() {
        return Err(FolderError::Missing { path: folder.to_owned() });
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refused("read", folder))? {
        let entry = entry.map_err(refused("read", folder))?;
        let path = Utf8PathBuf::from_path_buf(entry.path())
            .map_err(|path| FolderError::Name { path: path.to_string_lossy().into_owned() })?;
        paths.push(path);
    }
    paths.sort();
    Ok(paths)
}

/// The content of a file, `None` where there is none.
pub(crate) fn read_file(path: &Utf8Path) -> Result<Option<Vec<u8>>, FolderError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
        Err(error) => Err(refused("read", path)(error)),
    }
}

/// Writes a file with its mode, and the folders that lead to it.
pub(crate) fn write(path: &Utf8Path, file: &File) -> Result<(), FolderError> {
    write_bytes(path, &file.bytes)?;
    set_mode(path, file.mode).map_err(refused("change the mode of", path))
}

/// Writes a file, and the folders that lead to it.
pub(crate) fn write_bytes(path: &Utf8Path, bytes: &[u8]) -> Result<(), FolderError> {
    if let Some(parent) = path.parent() {
        make(parent)?;
    }
    std::fs::write(path, bytes).map_err(refused("write", path))
}

/// Puts another content into a file, as a whole: whoever reads it meanwhile sees the old one or the new one. A link stays
/// a link, and a file that exists keeps its mode.
pub(crate) fn replace(path: &Utf8Path, bytes: &[u8]) -> Result<(), FolderError> {
    let target = path.canonicalize_utf8().unwrap_or_else(|_| path.to_owned());
    let beside = Utf8PathBuf::from(format!("{target}.{}.new", std::process::id()));
    // Made anew: a repository may hold a link of this name, and it would be written through.
    drop(std::fs::remove_file(&beside));
    let written =
        std::fs::File::create_new(&beside).and_then(|mut file| file.write_all(bytes)).and_then(|()| {
            if let Ok(metadata) = target.metadata() {
                std::fs::set_permissions(&beside, metadata.permissions())?;
            }
            std::fs::rename(&beside, &target)
        });
    written.inspect_err(|_| drop(std::fs::remove_file(&beside))).map_err(refused("write", path))
}

/// Makes a folder and those that lead to it.
pub(crate) fn make(folder: &Utf8Path) -> Result<(), FolderError> {
    std::fs::create_dir_all(folder).map_err(refused("make the folder", folder))
}

/// Lets everybody do everything in a folder.
pub(crate) fn open(folder: &Utf8Path) -> Result<(), FolderError> {
    set_mode(folder, 0o777).map_err(refused("change the mode of", folder))
}

/// Removes a folder with all that is in it.
pub(crate) fn remove(folder: &Utf8Path) -> Result<(), FolderError> {
    std::fs::remove_dir_all(folder).map_err(refused("remove", folder))
}

/// Who may do what with a file, without what differs from one checkout to the next.
#[cfg(unix)]
fn mode(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 }
}

#[cfg(not(unix))]
fn mode(_metadata: &std::fs::Metadata) -> u32 {
    0o755
}

#[cfg(unix)]
fn set_mode(path: &Utf8Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o777))
}

#[cfg(not(unix))]
fn set_mode(_path: &Utf8Path, _mode: u32) -> io::Result<()> {
    Ok(())
}
