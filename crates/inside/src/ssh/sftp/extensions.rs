//! The extensions of OpenSSH that its own client and editors use.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use russh_sftp::protocol::{ExtendedReply, Packet, StatusCode};

use super::{Answer, LONGEST_PIECE, MOST_HANDLES, done, name};

/// Names and versions, as they are told at the beginning.
pub(super) fn offered() -> HashMap<String, String> {
    let all = [
        ("posix-rename@openssh.com", "1"),
        ("hardlink@openssh.com", "1"),
        ("fsync@openssh.com", "1"),
        ("statvfs@openssh.com", "2"),
        ("limits@openssh.com", "1"),
        ("expand-path@openssh.com", "1"),
    ];
    all.map(|(name, version)| (name.to_owned(), version.to_owned())).into()
}

/// What is asked of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Rename(String, String),
    Link(String, String),
    Sync(String),
    Space(String),
    Limits,
    Expand(String),
}

impl Asked {
    pub(super) fn parse(request: &str, mut data: &[u8]) -> Result<Self, StatusCode> {
        let data = &mut data;
        Ok(match request {
            "posix-rename@openssh.com" => Self::Rename(text(data)?, text(data)?),
            "hardlink@openssh.com" => Self::Link(text(data)?, text(data)?),
            "fsync@openssh.com" => Self::Sync(text(data)?),
            "statvfs@openssh.com" => Self::Space(text(data)?),
            "limits@openssh.com" => Self::Limits,
            "expand-path@openssh.com" => Self::Expand(text(data)?),
            _ => return Err(StatusCode::OpUnsupported),
        })
    }

    /// The open file that it is about.
    pub(super) fn handle(&self) -> Option<&str> {
        match self {
            Self::Sync(handle) => Some(handle),
            _ => None,
        }
    }

    pub(super) fn answer(self, id: u32, file: Option<&File>) -> Answer<Packet> {
        match self {
            Self::Rename(from, to) => std::fs::rename(from, to)?,
            Self::Link(from, to) => std::fs::hard_link(from, to)?,
            Self::Sync(_) => file.ok_or(StatusCode::BadMessage)?.sync_all()?,
            Self::Space(path) => return Ok(numbers(id, &space(&path)?)),
            Self::Limits => {
                let piece = u64::from(LONGEST_PIECE);
                return Ok(numbers(id, &[256 << 10, piece, piece, MOST_HANDLES as u64]));
            }
            Self::Expand(path) => return Ok(name(id, expanded(&path)?).into()),
        }
        Ok(done(id).into())
    }
}

fn text(data: &mut &[u8]) -> Result<String, StatusCode> {
    let (length, rest) = data.split_at_checked(4).ok_or(StatusCode::BadMessage)?;
    let length = length.try_into().map(u32::from_be_bytes).map_err(|_| StatusCode::BadMessage)?;
    let (bytes, rest) = rest.split_at_checked(length as usize).ok_or(StatusCode::BadMessage)?;
    *data = rest;
    String::from_utf8(bytes.to_vec()).map_err(|_| StatusCode::BadMessage)
}

fn numbers(id: u32, numbers: &[u64]) -> Packet {
    ExtendedReply { id, data: numbers.iter().flat_map(|number| number.to_be_bytes()).collect() }.into()
}

fn space(path: &str) -> io::Result<[u64; 11]> {
    let found = rustix::fs::statvfs(path)?;
    // Their numbers of the two flags, read only and no rights of programs, are those of Linux.
    let flags = found.f_flag.bits() & 3;
    Ok([
        found.f_bsize,
        found.f_frsize,
        found.f_blocks,
        found.f_bfree,
        found.f_bavail,
        found.f_files,
        found.f_ffree,
        found.f_favail,
        found.f_fsid,
        flags,
        found.f_namemax,
    ])
}

/// `~` is the user's home; that of others is not known here.
fn expanded(path: &str) -> io::Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(PathBuf::from).ok_or(io::ErrorKind::NotFound);
    match path {
        "~" => Ok(home()?),
        _ => match path.strip_prefix("~/") {
            Some(rest) => real_path(&home()?.join(rest)),
            None => real_path(Path::new(path)),
        },
    }
}

/// The path without links and dots, of which the last part need not be there.
pub(super) fn real_path(path: &Path) -> io::Result<PathBuf> {
    let whole = std::path::absolute(if path.as_os_str().is_empty() { Path::new(".") } else { path })?;
    match fs_err::canonicalize(&whole) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match (whole.parent(), whole.file_name()) {
            (Some(folder), Some(name)) => Ok(fs_err::canonicalize(folder)?.join(name)),
            _ => Err(error),
        },
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_its_texts_and_a_cut_one_is_refused() {
        let data = b"\0\0\0\x01a\0\0\0\x02bc";
        assert_eq!(
            Asked::parse("posix-rename@openssh.com", data),
            Ok(Asked::Rename("a".to_owned(), "bc".to_owned()))
        );
        assert_eq!(Asked::parse("hardlink@openssh.com", &data[..9]), Err(StatusCode::BadMessage));
        assert_eq!(Asked::parse("unheard-of", data), Err(StatusCode::OpUnsupported));
    }

    #[test]
    fn the_last_part_of_a_path_need_not_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let real = fs_err::canonicalize(folder.path()).unwrap();
        std::os::unix::fs::symlink(&real, real.join("link")).unwrap();
        assert_eq!(real_path(&real.join("link/./new")).unwrap(), real.join("new"));
        assert!(real_path(&real.join("missing/new")).is_err());
        assert_eq!(real_path(Path::new("")).unwrap(), fs_err::canonicalize(".").unwrap());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(data in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            for (request, _) in offered() {
                let _ = Asked::parse(&request, &data);
            }
        }
    }
}
