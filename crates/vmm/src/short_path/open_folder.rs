//! A folder by the number of its open descriptor.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Mode, OFlags};

#[derive(Debug)]
pub(super) struct Alias(OwnedFd);

impl Alias {
    pub(super) fn of(folder: &Utf8Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(folder.as_std_path(), flags, Mode::empty())?))
    }

    pub(super) fn path(&self) -> Utf8PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}
