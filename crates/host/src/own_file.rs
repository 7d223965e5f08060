//! Files that a person writes, changed for them.
//!
//! Such a file can be a link into a folder of dotfiles, and has the rights that its owner gave it: both stay.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

use camino::Utf8Path;

/// Writes a file in place of the one before, with the rights of that one, or readable by its owner alone if there was
/// none. A link stays one: what it leads to is written. After a kill or a power cut the old or the new one is there.
///
/// # Errors
/// It is not written; then the one before still is there.
pub fn write(path: &Utf8Path, content: &[u8]) -> io::Result<()> {
    let (real, mode) = match path.canonicalize_utf8() {
        Ok(real) => {
            let mode = fs_err::metadata(&real)?.permissions().mode() & 0o777;
            (real, mode)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // What a link names that leads nowhere is not ours to make.
            if path.is_symlink() {
                return Err(error);
            }
            (path.to_owned(), 0o600)
        }
        Err(error) => return Err(error),
    };
    // Who took the right to write from themselves meant that.
    if mode & 0o200 == 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("`{real}` is read-only")));
    }
    let folder = real.parent().unwrap_or(Utf8Path::new("/"));
    let mut new = tempfile::Builder::new().prefix(".cove-").tempfile_in(folder)?;
    new.write_all(content)?;
    new.as_file().set_permissions(std::fs::Permissions::from_mode(mode))?;
    new.as_file().sync_all()?;
    new.persist(&real).map_err(|error| error.error)?;
    fs_err::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Utf8Path) -> u32 {
        fs_err::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn rights_and_links_stay() {
        let temp = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temp.path()).unwrap();
        let (file, link) = (root.join("dotfiles/config"), root.join("config"));
        fs_err::create_dir(root.join("dotfiles")).unwrap();
        std::os::unix::fs::symlink("dotfiles/config", &link).unwrap();
        assert_eq!(write(&link, b"1").unwrap_err().kind(), io::ErrorKind::NotFound);
        write(&file, b"1").unwrap();
        assert_eq!(mode_of(&file), 0o600);
        for mode in [0o644, 0o640, 0o600] {
            fs_err::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            write(&link, b"2").unwrap();
            assert_eq!((mode_of(&file), fs_err::read(&file).unwrap()), (mode, b"2".to_vec()));
            assert!(link.is_symlink());
        }
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
        assert_eq!(write(&link, b"3").unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let left: Vec<_> = fs_err::read_dir(root.join("dotfiles")).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing lies beside it");
    }
}
