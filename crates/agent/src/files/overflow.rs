//! Every watcher of a file system is told that it missed something.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::{fs, io};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::kernel::Device;

/// Puts an overflow into the queue of every inotify descriptor of any process that watches something in the file
/// system of `within`. Returns how many there were.
pub(super) fn tell(device: &Device, within: BorrowedFd<'_>) -> io::Result<u32> {
    let stat = rustix::fs::fstat(within)?;
    let number = rustix::fs::major(stat.st_dev) << 20 | rustix::fs::minor(stat.st_dev);
    let mut told = 0;
    for process in fs::read_dir("/proc")?.flatten() {
        let Some(pid) =
            process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        // A process may end at any time: what cannot be read of it watches no more.
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let is_inotify = fs::read_link(descriptor.path())
                .is_ok_and(|target| target.as_os_str() == "anon_inode:inotify");
            if !is_inotify {
                continue;
            }
            let about = process.path().join("fdinfo").join(descriptor.file_name());
            let watches_it = fs::read_to_string(about).is_ok_and(|text| watches(&text, number));
            let number = descriptor.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(number) = number.filter(|_| watches_it)
                && let Ok(inotify) = descriptor_of(pid, number)
                && device.overflow(inotify.as_fd()).is_ok()
            {
                told += 1;
            }
        }
    }
    Ok(told)
}

fn descriptor_of(pid: Pid, number: i32) -> io::Result<OwnedFd> {
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    Ok(pidfd_getfd(process, number, PidfdGetfdFlags::empty())?)
}

/// Whether a `fdinfo` file of an inotify descriptor names a watch in the file system with this number
/// (proc_pid_fdinfo(5); the number is hexadecimal).
fn watches(text: &str, file_system: u32) -> bool {
    text.lines().filter(|line| line.starts_with("inotify ")).any(|line| {
        let number = line.split(' ').find_map(|field| field.strip_prefix("sdev:"));
        number.and_then(|number| u32::from_str_radix(number, 16).ok()) == Some(file_system)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_are_found_by_their_file_system() {
        let text = "pos:\t0\nflags:\t00\nmnt_id:\t15\nino:\t1057\n\
             inotify wd:2 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 fhandle-type:1\n\
             inotify wd:1 ino:192627 sdev:2f mask:800afce ignored_mask:0\n";
        assert!(watches(text, 0x0080_0013) && watches(text, 0x2f));
        assert!(!watches(text, 0x2e) && !watches("", 0));
    }
}
