//! The calls that have no safe wrapper in the crates we use.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use tokio::io::unix::AsyncFd;

/// `swapon(2)`: the lower bits hold a priority.
const SWAP_FLAG_PREFER: i32 = 0x8000;
const SWAP_FLAG_PRIO_MASK: i32 = 0x7fff;

/// Starts swapping to a device that carries a swap signature.
#[expect(unsafe_code, reason = "swapon is wrapped by no safe crate we use")]
pub(crate) fn swapon(device: &Path, priority: u16) -> io::Result<()> {
    let path = CString::new(device.as_os_str().as_encoded_bytes()).map_err(io::Error::other)?;
    let flags = SWAP_FLAG_PREFER | (i32::from(priority) & SWAP_FLAG_PRIO_MASK);
    // SAFETY: `path` is a NUL-terminated string that lives through the call; the kernel keeps no pointer to it.
    let result = unsafe { libc::swapon(path.as_ptr(), flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets the runtime tell when a file can be read or written.
#[expect(unsafe_code, reason = "the runtime cannot know that a file stays open; an owned one does")]
pub(crate) fn register(file: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, always answers with the same descriptor, and is closed only when the
    // `AsyncFd` that now owns it is dropped.
    Ok(unsafe { AsyncFd::register(file) }?)
}

/// A request to a device whose argument is one value that the device only reads.
pub(crate) trait DeviceRequest {
    /// `_IOW` of the device's header.
    const NUMBER: libc::Ioctl;
    /// What it reads: of the layout in that header.
    type Argument;
}

/// Makes a request of a device and returns what it answers.
#[expect(unsafe_code, reason = "what a request reads is known to its device alone")]
pub(crate) fn request<R: DeviceRequest>(device: BorrowedFd<'_>, argument: &R::Argument) -> io::Result<i32> {
    // SAFETY: the device reads one `R::Argument` at that address during the call, as its header says, and writes
    // nothing there. Memory that the value points to is read only, too, and outlives the call because the value
    // borrows it.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), R::NUMBER, std::ptr::from_ref(argument)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `struct fstrim_range` of `linux/fs.h`.
#[repr(C)]
struct TrimRange {
    start: u64,
    length: u64,
    shortest: u64,
}

/// `FITRIM` of the same header: `_IOWR('X', 121, struct fstrim_range)`.
const TRIM: libc::Ioctl = 0xc018_5879;

/// Has a file system tell its device all blocks that no file has. Their bytes.
#[expect(unsafe_code, reason = "FITRIM is wrapped by no safe crate we use")]
pub(crate) fn trim(place: BorrowedFd<'_>) -> io::Result<u64> {
    let mut range = TrimRange { start: 0, length: u64::MAX, shortest: 0 };
    // SAFETY: the file system reads and writes one `struct fstrim_range` at that address during the call, which
    // `TrimRange` has the layout of; it keeps no pointer to it.
    let result = unsafe { libc::ioctl(place.as_raw_fd(), TRIM, std::ptr::from_mut(&mut range)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(range.length) }
}
