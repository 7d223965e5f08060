//! The end of the machine: everything stopped in order, every byte on the disks, power off.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal};
use rustix::system::RebootCommand;

use crate::journal::Journal;
use crate::machine::Machine;

/// How long processes may take to end by themselves.
const GRACE: Duration = Duration::from_secs(3);
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks for the end; returns at once.
pub(crate) fn request(machine: &Machine) {
    machine.switch_off.cancel();
}

/// Ends all processes but this one, then takes every file system away that keeps data.
pub(crate) async fn end_everything(journal: &Journal) {
    for signal in [Signal::TERM, Signal::KILL] {
        let deadline = tokio::time::Instant::now() + GRACE;
        for pid in others() {
            // It may have ended by itself in between.
            let _ = rustix::process::kill_process(pid, signal);
        }
        while !others().is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(INTERVAL).await;
        }
    }
    rustix::fs::sync();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for place in to_unmount(&mounts) {
        if let Err(error) = rustix::mount::unmount(&place, UnmountFlags::empty()) {
            journal.warn(format!("{} stays mounted: {error}", place.display()));
        }
    }
    rustix::fs::sync();
}

/// Switches the machine off. Returns only where the kernel refuses.
pub(crate) fn switch_off() {
    rustix::fs::sync();
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
}

/// All processes but this one and the kernel's own, which have no program.
fn others() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid > 1 && fs::read_link(format!("/proc/{pid}/exe")).is_ok())
        .filter_map(Pid::from_raw)
        .collect()
}

/// Places with file systems that keep data or belong to the host, the last mounted first.
fn to_unmount(mounts: &str) -> Vec<PathBuf> {
    let keeps = |line: &&str| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next().unwrap_or("/"), words.next().unwrap_or_default());
        place != "/" && matches!(kind, "ext4" | "virtiofs" | "overlay") || place.starts_with("/var/lib/")
    };
    let places = mounts.lines().filter(keeps).filter_map(|line| line.split(' ').nth(1));
    places.map(|place| Path::new(&unescape(place)).to_owned()).rev().collect()
}

/// Spaces and their like are octal in the table of mounts.
fn unescape(place: &str) -> String {
    place.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_mounted_last_goes_first_and_the_image_stays() {
        let mounts = "tmpfs / tmpfs rw 0 0\n/dev/vda /usr erofs ro 0 0\n/dev/vdb /var/lib/cove ext4 rw 0 0\n\
                      share0 /home/a\\040b virtiofs rw 0 0\n/dev/vdb /var/lib/docker ext4 rw 0 0\n";
        let places = to_unmount(mounts);
        let expected = ["/var/lib/docker", "/home/a b", "/var/lib/cove"].map(PathBuf::from);
        assert_eq!(places, expected);
    }
}
