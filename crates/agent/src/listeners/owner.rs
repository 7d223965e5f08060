//! Whose a listening socket is: the container and the command line of the process that holds it.

use std::collections::{BTreeSet, HashMap};

use fs_err as fs;
use protocol::agent::LONGEST_COMMAND;

/// Length of a container's id in the engine, in hexadecimal digits.
const ID_DIGITS: usize = 64;

/// The first process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// The container it is in.
    pub(super) container: Option<String>,
    /// Its command line, fit to be told.
    pub(super) command: Option<String>,
}

/// Owners by the inode of their socket.
#[derive(Debug, Default)]
pub(super) struct Owners {
    known: HashMap<u64, Owner>,
}

impl Owners {
    pub(super) fn of(&self, inode: u64) -> Option<&Owner> {
        self.known.get(&inode)
    }

    /// Finds the owners that are not known among the processes of a namespace.
    pub(super) fn find(&mut self, inodes: impl Iterator<Item = u64>, pids: &[i32]) {
        let mut missing: BTreeSet<u64> = inodes.filter(|inode| !self.known.contains_key(inode)).collect();
        for &pid in pids {
            if missing.is_empty() {
                return;
            }
            for held in sockets_held_by(pid) {
                if missing.remove(&held) {
                    let owner = Owner { container: container_of(pid), command: command_of(pid) };
                    self.known.insert(held, owner);
                }
            }
        }
    }

    /// Forgets all but these.
    pub(super) fn keep(&mut self, present: &[u64]) {
        let present: BTreeSet<&u64> = present.iter().collect();
        self.known.retain(|inode, _| present.contains(inode));
    }
}

fn sockets_held_by(pid: i32) -> Vec<u64> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inode = |entry: fs::DirEntry| {
        let link = fs::read_link(entry.path()).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    descriptors.filter_map(inode).collect()
}

/// The id of the container that a process is in.
pub(super) fn container_of(pid: i32) -> Option<String> {
    container_in(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

/// The last part of the cgroup's path that is an id.
fn container_in(cgroup: &str) -> Option<String> {
    let is_id = |part: &&str| part.len() == ID_DIGITS && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    cgroup.trim().rsplit(['/', '-', '.']).find(is_id).map(str::to_owned)
}

fn command_of(pid: i32) -> Option<String> {
    readable(&fs::read(format!("/proc/{pid}/cmdline")).ok()?)
}

/// A command line as the kernel keeps it, each word ended by a zero, fit to be told.
fn readable(words: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&words[..words.len().min(LONGEST_COMMAND)]);
    let text: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    // A letter that was cut, and each byte that is none, became longer than it was.
    let mut end = text.len().min(LONGEST_COMMAND);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Some(text[..end].trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_container_is_known_by_its_cgroup() {
        let id = "a1".repeat(32);
        assert_eq!(container_in(&format!("0::/docker/{id}\n")), Some(id.clone()));
        assert_eq!(container_in(&format!("0::/system.slice/docker-{id}.scope/init\n")), Some(id));
        assert_eq!(container_in("0::/exec\n"), None);
    }

    #[test]
    fn the_process_that_holds_a_socket_is_known_until_the_socket_is_gone() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&listener));
        let inode = std::fs::metadata(path).unwrap().ino();
        let pid = i32::try_from(std::process::id()).unwrap();
        let mut owners = Owners::default();
        owners.find([inode].into_iter(), &[pid]);
        let name = std::env::args().next().unwrap();
        let command = owners.of(inode).unwrap().command.clone().unwrap();
        assert!(command.starts_with(&name[..name.len().min(100)]), "{command}");
        owners.keep(&[]);
        assert_eq!(owners.of(inode), None);
    }

    proptest! {
        #[test]
        fn what_is_told_of_a_command_is_short_and_one_line(words in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(text) = readable(&words) {
                prop_assert!(text.len() <= LONGEST_COMMAND && !text.contains(char::is_control));
            }
        }
    }
}
