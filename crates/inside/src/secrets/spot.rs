//! The place of a link to a secret, at a path whose folders may be the user's to change.
//!
//! Root must not go where a user's link leads, nor make anything there. So the way is gone step by step, each on the
//! open folder before, and from the first folder or link on that is not root's, all is done with the rights of its
//! owner: what they could not do themselves does not happen.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, fstat, mkdirat, openat, readlinkat, renameat, statat, symlinkat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Most links on a way; the kernel's own bound.
const MOST_LINKS: usize = 40;

/// A name in an open folder.
pub(super) struct Spot {
    folder: OwnedFd,
    name: OsString,
    /// By whose rights things are done there; `None`: root's.
    owner: Option<Owner>,
}

/// What is at a spot.
pub(super) enum There {
    Nothing,
    Link(PathBuf),
    Other,
}

impl Spot {
    /// The spot of a path. Folders that are missing on the way are made, and belong to whom the one they are in belongs.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        Ok(Self::walk(path, true)?)
    }

    /// The spot of a path; `None` where its folder is not there.
    pub(super) fn find(path: &Path) -> io::Result<Option<Self>> {
        match Self::walk(path, false) {
            Ok(spot) => Ok(Some(spot)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn walk(path: &Path, make: bool) -> Result<Self, Errno> {
        let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
        let mut ahead = Vec::new();
        push(&mut ahead, path.parent().unwrap_or(Path::new("/")));
        let mut folder = root()?;
        let (mut owner, mut _assumed, mut links) = (None, None, 0);
        while let Some(next) = ahead.pop() {
            let found = match step(&folder, &next) {
                Err(Errno::NOENT) if make => {
                    match mkdirat(&folder, &next, Mode::from_raw_mode(0o755)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error),
                    }
                    step(&folder, &next)?
                }
                found => found?,
            };
            let stat = fstat(&found)?;
            if owner.is_none() && stat.st_uid != 0 {
                let it = Owner::new(stat.st_uid, stat.st_gid);
                _assumed = Some(it.assume()?);
                owner = Some(it);
            }
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => folder = found,
                FileType::Symlink => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Errno::LOOP);
                    }
                    // Of the link that was looked at, whatever has its name by now.
                    let to =
                        PathBuf::from(OsString::from_vec(readlinkat(&found, "", Vec::new())?.into_bytes()));
                    if to.is_absolute() {
                        folder = root()?;
                    }
                    push(&mut ahead, &to);
                }
                _ => return Err(Errno::NOTDIR),
            }
        }
        Ok(Self { folder, name, owner })
    }

    /// What is there.
    pub(super) fn there(&self) -> io::Result<There> {
        let _assumed = self.assume()?;
        match statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(There::Nothing),
            Err(error) => Err(error.into()),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                let to = readlinkat(&self.folder, &self.name, Vec::new())?;
                Ok(There::Link(PathBuf::from(OsString::from_vec(to.into_bytes()))))
            }
            Ok(_) => Ok(There::Other),
        }
    }

    /// Makes a link, in one step in place of the one before.
    pub(super) fn point(&self, to: &Path) -> io::Result<()> {
        let _assumed = self.assume()?;
        let new = OsStr::from_bytes(&[b".cove-", self.name.as_bytes()].concat()).to_owned();
        self.unlink(&new)?;
        symlinkat(to, &self.folder, &new)?;
        Ok(renameat(&self.folder, &new, &self.folder, &self.name)?)
    }

    /// Takes away what is there.
    pub(super) fn clear(&self) -> io::Result<()> {
        let _assumed = self.assume()?;
        self.unlink(&self.name)
    }

    fn unlink(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn assume(&self) -> io::Result<Option<Assumed>> {
        Ok(self.owner.map(Owner::assume).transpose()?)
    }
}

fn root() -> Result<OwnedFd, Errno> {
    openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// What has this name, and is a link where it is one.
fn step(folder: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// The names of a path, the first one on top.
fn push(ahead: &mut Vec<OsString>, path: &Path) {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    ahead.extend(names);
}

/// Whose folder or link something is.
#[derive(Clone, Copy)]
struct Owner {
    uid: Uid,
    gid: Gid,
}

impl Owner {
    fn new(uid: u32, gid: u32) -> Self {
        // That root's group may do something does not mean that this user may.
        Self { uid: Uid::from_raw(uid), gid: Gid::from_raw(if gid == 0 { uid } else { gid }) }
    }

    /// From here on this thread has the rights of this user, and none of root's.
    fn assume(self) -> Result<Assumed, Errno> {
        let before = Assumed { uid: geteuid(), gid: getegid() };
        if before.uid != self.uid {
            set_thread_groups(&[])?;
            set_thread_res_gid(None::<Gid>, self.gid, None::<Gid>)?;
            set_thread_res_uid(None::<Uid>, self.uid, None::<Uid>)?;
        }
        Ok(before)
    }
}

/// Lasts as long as the rights of somebody else do; these were there before.
struct Assumed {
    uid: Uid,
    gid: Gid,
}

impl Drop for Assumed {
    fn drop(&mut self) {
        // Who does not get their rights back can do less, and hears of it.
        let _ = set_thread_res_uid(None::<Uid>, self.uid, None::<Uid>);
        let _ = set_thread_res_gid(None::<Gid>, self.gid, None::<Gid>);
    }
}
