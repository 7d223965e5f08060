//! The device of our kernel module: what it can be asked, with the layout of its header
//! (`vm-images/fsnotify/cove_fsnotify.h`).

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};

use crate::sys::{DeviceRequest, request};

/// Where the module's device is.
pub(super) const DEVICE: &str = "/dev/cove-fsnotify";
/// The module's name.
pub(super) const MODULE: &str = "cove_fsnotify";

/// What happened to a name: `enum cove_change_kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    Created = 1,
    Replaced = 2,
    Modified = 3,
    Attributes = 4,
    Deleted = 5,
    Moved = 6,
}

/// A name in an open folder.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) folder: BorrowedFd<'a>,
    pub(super) name: &'a str,
}

/// One change, as the module is told of it.
pub(super) struct Change<'a> {
    pub(super) kind: Kind,
    pub(super) at: Place<'a>,
    /// The new place of what was moved.
    pub(super) to: Option<Place<'a>>,
    pub(super) folder: bool,
    pub(super) last_link: bool,
    pub(super) inode: u64,
    /// What was done from in here at this time or later, in nanoseconds since 1970, was the change.
    pub(super) own_after: u64,
}

/// A name that went together with its folder.
pub(super) struct Gone<'a> {
    pub(super) name: &'a str,
    pub(super) inode: u64,
    pub(super) folder: bool,
    pub(super) last_link: bool,
    /// As of a change.
    pub(super) own_after: u64,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Watchers know.
    Told,
    /// It was done from in here: they knew.
    Own,
    /// Nobody watches there.
    Unwatched,
    /// The name came and went meanwhile.
    Gone,
}

/// `struct cove_change`.
#[repr(C)]
pub(super) struct RawChange<'a> {
    folder: i32,
    new_folder: i32,
    name: u64,
    new_name: u64,
    name_length: u32,
    new_name_length: u32,
    kind: u32,
    flags: u32,
    inode: u64,
    own_after: u64,
    /// The names that it points to.
    borrowed: PhantomData<&'a str>,
}

/// `struct cove_gone_name`.
#[repr(C)]
struct RawGoneName {
    inode: u64,
    name: u64,
    length: u32,
    flags: u32,
    own_after: u64,
}

/// `struct cove_gone`.
#[repr(C)]
pub(super) struct RawGone<'a> {
    within: i32,
    count: u32,
    folder: u64,
    names: u64,
    /// The names that it points to.
    borrowed: PhantomData<&'a str>,
}

/// Names at most in one request: `COVE_MAX_GONE`.
pub(super) const MAX_GONE: usize = 512;

const IS_FOLDER: u32 = 1;
const LAST_LINK: u32 = 2;

/// `_IOW(0xc0, number, size)`: the layout of `asm-generic/ioctl.h`, which both processors use.
const fn write_request(number: u32, size: usize) -> libc::Ioctl {
    ((1 << 30) | (size as u32) << 16 | 0xc0 << 8 | number) as libc::Ioctl
}

struct Tell<'a>(PhantomData<&'a str>);

impl<'a> DeviceRequest for Tell<'a> {
    const NUMBER: libc::Ioctl = write_request(1, size_of::<RawChange<'static>>());
    type Argument = RawChange<'a>;
}

struct Follow;

impl DeviceRequest for Follow {
    const NUMBER: libc::Ioctl = write_request(2, size_of::<i32>());
    type Argument = i32;
}

struct Overflow;

impl DeviceRequest for Overflow {
    const NUMBER: libc::Ioctl = write_request(3, size_of::<i32>());
    type Argument = i32;
}

struct TellGone<'a>(PhantomData<&'a str>);

impl<'a> DeviceRequest for TellGone<'a> {
    const NUMBER: libc::Ioctl = write_request(4, size_of::<RawGone<'static>>());
    type Argument = RawGone<'a>;
}

/// The open device.
#[derive(Debug)]
pub(super) struct Device {
    file: OwnedFd,
}

impl Device {
    /// Opens it; the module must be loaded.
    pub(super) fn open() -> io::Result<Self> {
        let file = rustix::fs::openat(CWD, DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { file })
    }

    /// Tells watchers of a change.
    pub(super) fn tell(&self, change: &Change<'_>) -> io::Result<Outcome> {
        let length = |name: &str| u32::try_from(name.len()).map_err(|_| io::ErrorKind::InvalidFilename);
        let raw = RawChange {
            folder: change.at.folder.as_raw_fd(),
            new_folder: change.to.map_or(-1, |to| to.folder.as_raw_fd()),
            name: change.at.name.as_ptr().addr() as u64,
            new_name: change.to.map_or(0, |to| to.name.as_ptr().addr() as u64),
            name_length: length(change.at.name)?,
            new_name_length: change.to.map_or(Ok(0), |to| length(to.name))?,
            kind: change.kind as u32,
            flags: flags(change.folder, change.last_link),
            inode: change.inode,
            own_after: change.own_after,
            borrowed: PhantomData,
        };
        match request::<Tell<'_>>(self.file.as_fd(), &raw) {
            Ok(0) => Ok(Outcome::Told),
            Ok(1) => Ok(Outcome::Own),
            Ok(_) => Ok(Outcome::Unwatched),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Outcome::Gone),
            Err(error) => Err(error),
        }
    }

    /// Tells of names that went together with their folder, which is known by its number alone; at most [`MAX_GONE`].
    /// Returns of how many watchers know now.
    pub(super) fn tell_gone(
        &self,
        within: BorrowedFd<'_>,
        folder: u64,
        gone: &[Gone<'_>],
    ) -> io::Result<u32> {
        let names: Vec<RawGoneName> = gone
            .iter()
            .map(|gone| RawGoneName {
                inode: gone.inode,
                name: gone.name.as_ptr().addr() as u64,
                // A longer name than any is left out by the module.
                length: u32::try_from(gone.name.len()).unwrap_or(u32::MAX),
                flags: flags(gone.folder, gone.last_link),
                own_after: gone.own_after,
            })
            .collect();
        let raw = RawGone {
            within: within.as_raw_fd(),
            count: u32::try_from(names.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
            folder,
            names: names.as_ptr().addr() as u64,
            borrowed: PhantomData,
        };
        let told = request::<TellGone<'_>>(self.file.as_fd(), &raw)?;
        Ok(u32::try_from(told).unwrap_or(0))
    }

    /// Lets the module note what is done from in here in the file system of this descriptor.
    pub(super) fn follow(&self, within: BorrowedFd<'_>) -> io::Result<()> {
        request::<Follow>(self.file.as_fd(), &within.as_raw_fd()).map(drop)
    }

    /// Puts an overflow into the queue of an inotify descriptor.
    pub(super) fn overflow(&self, inotify: BorrowedFd<'_>) -> io::Result<()> {
        request::<Overflow>(self.file.as_fd(), &inotify.as_raw_fd()).map(drop)
    }
}

fn flags(folder: bool, last_link: bool) -> u32 {
    (if folder { IS_FOLDER } else { 0 }) | (if last_link { LAST_LINK } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the header defines, by name.
    fn number(name: &str) -> u32 {
        let header = include_str!("../../../../vm-images/fsnotify/cove_fsnotify.h");
        let line = header.lines().map(str::trim).find(|line| {
            line.trim_start_matches("#define ").strip_prefix(name).is_some_and(|rest| rest.starts_with(' '))
        });
        let value = line.unwrap().trim_start_matches("#define ")[name.len()..].trim_start_matches([' ', '=']);
        let value = value.split([',', '\t', ' ']).next().unwrap();
        value
            .strip_prefix("0x")
            .map_or_else(|| value.parse().unwrap(), |hex| u32::from_str_radix(hex, 16).unwrap())
    }

    #[test]
    fn the_numbers_are_those_of_the_header() {
        for (name, kind) in [
            ("COVE_CREATED", Kind::Created),
            ("COVE_REPLACED", Kind::Replaced),
            ("COVE_MODIFIED", Kind::Modified),
            ("COVE_ATTRIBUTES", Kind::Attributes),
            ("COVE_DELETED", Kind::Deleted),
            ("COVE_MOVED", Kind::Moved),
        ] {
            assert_eq!(number(name), kind as u32, "{name}");
        }
        assert_eq!(number("COVE_MAX_GONE") as usize, MAX_GONE);
        assert_eq!((number("COVE_IS_FOLDER"), number("COVE_LAST_LINK")), (IS_FOLDER, LAST_LINK));
        assert_eq!(
            (number("COVE_TOLD"), number("COVE_OWN"), number("COVE_UNWATCHED")),
            (0, 1, 2),
            "as `Device::tell` reads them"
        );
    }

    #[test]
    fn the_layout_is_that_of_the_header() {
        assert_eq!(size_of::<RawChange<'_>>(), 56);
        assert_eq!(std::mem::offset_of!(RawChange<'_>, name), 8);
        assert_eq!(std::mem::offset_of!(RawChange<'_>, kind), 32);
        assert_eq!(std::mem::offset_of!(RawChange<'_>, own_after), 48);
        assert_eq!(Tell::NUMBER as u32, 0x4038_c001);
        assert_eq!(Follow::NUMBER as u32, 0x4004_c002);
        assert_eq!(Overflow::NUMBER as u32, 0x4004_c003);
        assert_eq!((size_of::<RawGoneName>(), size_of::<RawGone<'_>>()), (32, 24));
        assert_eq!(TellGone::NUMBER as u32, 0x4018_c004);
    }
}
