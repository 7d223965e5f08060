//! Files that backups of this computer leave out.
//!
//! Time Machine copies a file whole when a byte of it changed. A machine's disk changes all the time and may take a
//! hundred gigabytes; what it copies of one that is in use is no disk that can be booted.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;

use std::io;

use camino::Utf8Path;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use macos as system;
use rustix::fs::{XattrFlags, getxattr, removexattr, setxattr};
use rustix::io::Errno;

/// Says whether backups take a file, or a folder with all that comes into it. The mark stays with the file when it is
/// moved and needs no privilege; it is the one that `tmutil addexclusion` makes. Systems without such a mark have
/// nothing to be said to.
///
/// Whether something was changed.
///
/// # Errors
/// The file is not there, or cannot be marked.
pub fn set_left_out(path: &Utf8Path, left_out: bool) -> io::Result<bool> {
    match system::MARK {
        Some(name) => set_mark(path, name, left_out),
        None => Ok(false),
    }
}

fn set_mark(path: &Utf8Path, name: &str, present: bool) -> io::Result<bool> {
    let wanted = content();
    // One byte more than wanted: a longer mark is another one.
    let mut found = vec![0; wanted.len() + 1];
    let is_there = match getxattr(path.as_std_path(), name, &mut found[..]) {
        Ok(length) => length == wanted.len() && found[..length] == wanted,
        Err(Errno::RANGE) => false,
        Err(error) if is_absent(error) => {
            if !present {
                return Ok(false);
            }
            false
        }
        Err(error) => return Err(error.into()),
    };
    match (present, is_there) {
        (true, true) => return Ok(false),
        (true, false) => setxattr(path.as_std_path(), name, &wanted, XattrFlags::empty())?,
        (false, _) => removexattr(path.as_std_path(), name)?,
    }
    Ok(true)
}

/// Whether the mark is not there.
fn is_absent(error: Errno) -> bool {
    #[cfg(target_os = "macos")]
    let absent = Errno::NOATTR;
    #[cfg(not(target_os = "macos"))]
    let absent = Errno::NODATA;
    error == absent
}

/// What Time Machine looks for in the mark: the name of its program, as a binary property list.
fn content() -> Vec<u8> {
    let mut bytes = Vec::new();
    let name = plist::Value::from("com.apple.backupd");
    name.to_writer_binary(&mut bytes).expect("writing to memory cannot fail");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `xattr -px com.apple.metadata:com_apple_backup_excludeItem` prints it on Macs.
    #[test]
    fn the_mark_is_that_of_apples_own_tool() {
        let mut known = b"bplist00\x5f\x10\x11com.apple.backupd\x08".to_vec();
        known.extend([0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        known.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x1c]);
        assert_eq!(content(), known);
    }

    /// A file's attributes as they are; those of Linux have other names.
    #[test]
    fn a_mark_is_made_once_mended_and_taken_away() {
        let name = if cfg!(target_os = "macos") { "dev.cove.test" } else { "user.cove.test" };
        let temp = tempfile::tempdir_in(".").unwrap();
        let folder = Utf8Path::from_path(temp.path()).unwrap();
        assert!(!set_mark(folder, name, false).unwrap());
        assert!(set_mark(folder, name, true).unwrap());
        assert!(!set_mark(folder, name, true).unwrap());
        for other in [&b"x"[..], &[b'x'; 200]] {
            setxattr(folder.as_std_path(), name, other, XattrFlags::empty()).unwrap();
            assert!(set_mark(folder, name, true).unwrap());
        }
        assert!(set_mark(folder, name, false).unwrap());
        assert!(!set_mark(folder, name, false).unwrap());
        assert!(set_mark(&folder.join("absent"), name, true).is_err());
    }
}
