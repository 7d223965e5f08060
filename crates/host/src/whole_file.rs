//! Files that are there whole or not at all.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

use camino::Utf8Path;

/// Writes a file that everybody may read, in place of the one before: a reader sees the old or the new one, also after
/// a power cut. The folder is made where it is missing.
///
/// # Errors
/// What the system says.
pub fn write(path: &Utf8Path, content: &[u8]) -> io::Result<()> {
    write_for(path, content, 0o644)
}

/// The same, for those whom the permission bits name.
///
/// # Errors
/// What the system says.
pub fn write_for(path: &Utf8Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Utf8Path::new("/"));
    fs_err::create_dir_all(folder)?;
    let mut new = tempfile::Builder::new()
        .prefix(".cove-")
        .permissions(std::fs::Permissions::from_mode(mode))
        .tempfile_in(folder)?;
    new.write_all(content)?;
    new.as_file().sync_all()?;
    new.persist(path).map_err(|error| error.error)?;
    fs_err::File::open(folder)?.sync_all()
}

/// Takes a file away; one that is not there is away.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Utf8Path) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What is in a file; `None` where there is none.
///
/// # Errors
/// What the system says.
pub fn read(path: &Utf8Path) -> io::Result<Option<Vec<u8>>> {
    match fs_err::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
