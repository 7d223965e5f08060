//! Finds out which process of this computer holds a port.

use std::fmt;

use camino::Utf8Path;

/// A process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// Its name.
    pub(super) name: String,
    /// Its id.
    pub(super) pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (process {})", self.name, self.pid)
    }
}

/// The process that listens on a TCP port; `None` when there is none, it belongs to another user, or the system
/// does not tell.
pub(super) fn of(port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs_err::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    if wanted.is_empty() {
        return None;
    }
    for entry in Utf8Path::new("/proc").read_dir_utf8().ok()?.flatten() {
        let Ok(pid) = entry.file_name().parse::<u32>() else { continue };
        let Ok(descriptors) = fs_err::read_dir(entry.path().join("fd")) else { continue };
        let holds = descriptors.flatten().any(|descriptor| {
            fs_err::read_link(descriptor.path())
                .is_ok_and(|link| wanted.iter().any(|socket| link.as_os_str() == socket.as_str()))
        });
        if holds {
            let name = fs_err::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(Holder { name: name.trim().to_owned(), pid });
        }
    }
    None
}

/// Inodes of the sockets that listen on a port, in the kernel's table: the address is field 1 with the port in hex
/// behind a colon, the state field 3 with `0A` for listening, the inode field 9.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let port = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let listens = fields.nth(1)?.ends_with(&port) && fields.nth(1)? == "0A";
            listens.then(|| fields.nth(5).map(str::to_owned)).flatten()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = of(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert!(!holder.name.is_empty());
    }
}
