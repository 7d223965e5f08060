//! From `/proc`.

use api::Transport;
use camino::Utf8Path;

use super::Holder;

pub(super) fn of(port: u16, transport: Transport) -> Option<Holder> {
    let (tables, state) = match transport {
        Transport::Tcp => (["/proc/net/tcp", "/proc/net/tcp6"], "0A"),
        Transport::Udp => (["/proc/net/udp", "/proc/net/udp6"], "07"),
    };
    let inodes: Vec<String> = tables
        .iter()
        .filter_map(|path| fs_err::read_to_string(path).ok())
        .flat_map(|table| inodes_in(&table, port, state))
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

/// Inodes of the sockets at a port in a state, in the kernel's table: the address is field 1 with the port in hex
/// behind a colon, the state field 3 with `0A` for listening and `07` for UDP without a peer, the inode field 9.
fn inodes_in(table: &str, port: u16, state: &str) -> Vec<String> {
    let port = format!(":{port:04X}");
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let listens = fields.nth(1)?.ends_with(&port) && fields.nth(1)? == state;
            listens.then(|| fields.nth(5).map(str::to_owned)).flatten()
        })
        .collect()
}
