//! Sockets that wait for TCP connections, in the guest's network and in every container's.
//!
//! Read from `/proc`: for each distinct network namespace, one process in it shows the tables. UDP has no such state: a
//! client's socket looks like a server's, so nothing is told of it.

mod bell;
mod follow;
mod owner;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fs_err as fs;
use protocol::agent::Listener;

pub(crate) use follow::serve;
use owner::Owners;

/// Most listeners told, and most of one container: one that opens more is not worth the message, and takes no place from
/// others.
const MOST: usize = 4096;
const MOST_OF_ONE: usize = 256;

/// Where the engine answers names for containers on networks of their own: in their namespace, and no server of theirs.
const ENGINES_RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));

/// A listening socket of one table.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    address: IpAddr,
    port: u16,
    inode: u64,
}

/// Looks, and remembers whose socket was whose: that takes longer to find out than the rest.
#[derive(Debug, Default)]
pub(crate) struct Looker {
    owners: Owners,
}

impl Looker {
    /// All listeners, each once.
    pub(crate) fn look(&mut self) -> Vec<Listener> {
        let own = namespace_of("self").unwrap_or_default();
        let mut namespaces: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let Some(namespace) = namespace_of(&pid.to_string()) else { continue };
            namespaces.entry(namespace).or_default().push(pid);
        }
        let (mut found, mut present) = (Vec::new(), Vec::new());
        for (namespace, mut pids) in namespaces {
            // A namespace is shown by its oldest process, which is the one most likely to stay.
            pids.sort_unstable();
            let Some(&oldest) = pids.first() else { continue };
            let is_own = namespace == own;
            let sockets = sockets_of(oldest);
            present.extend(sockets.iter().map(|socket| socket.inode));
            if !is_own {
                self.owners.find(sockets.iter().map(|socket| socket.inode), &pids);
            }
            for socket in sockets {
                let owner = self.owners.of(socket.inode);
                let container = owner.map(|owner| owner.container.clone());
                found.push(Listener {
                    protocol: "tcp".to_owned(),
                    address: socket.address.to_string(),
                    port: socket.port,
                    network_of: (!is_own).then_some(oldest),
                    container: container.unwrap_or_else(|| (!is_own).then(|| owner::container_of(oldest))?),
                    command: owner.and_then(|owner| owner.command.clone()),
                });
            }
        }
        self.owners.keep(&present);
        found.sort_unstable();
        found.dedup();
        fair(&mut found);
        found
    }
}

/// Leaves out what is too much, of each container apart.
fn fair(found: &mut Vec<Listener>) {
    let mut counts: HashMap<(Option<i32>, Option<String>), usize> = HashMap::new();
    found.retain(|listener| {
        let count = counts.entry((listener.network_of, listener.container.clone())).or_default();
        *count += 1;
        *count <= MOST_OF_ONE
    });
    found.truncate(MOST);
}

fn sockets_of(pid: i32) -> Vec<Socket> {
    let tables = ["tcp", "tcp6"].map(|table| format!("/proc/{pid}/net/{table}"));
    let texts = tables.iter().map(|table| fs::read_to_string(table).unwrap_or_default());
    texts.flat_map(|text| parse(&text)).collect()
}

fn namespace_of(pid: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// Listening sockets of one table: their state is 0A.
fn parse(table: &str) -> Vec<Socket> {
    let lines = table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, _peer, state) = (words.next()?, words.next()?, words.next()?);
        let (address, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let inode = words.nth(5).and_then(|word| word.parse().ok()).unwrap_or_default();
        let socket = Socket { address: address_of(address)?, port, inode };
        (state == "0A" && port != 0 && socket.address != ENGINES_RESOLVER).then_some(socket)
    });
    lines.collect()
}

/// Addresses are written as 32-bit words in the processor's order, which is little-endian on both of ours.
fn address_of(text: &str) -> Option<IpAddr> {
    let words: Option<Vec<u32>> = (0..text.len())
        .step_by(8)
        .map(|at| text.get(at..at + 8).and_then(|word| u32::from_str_radix(word, 16).ok()))
        .collect();
    let bytes: Vec<u8> = words?.into_iter().flat_map(u32::to_le_bytes).collect();
    if let Ok(v4) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
    Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue\n\
        \x20  0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 4711 1\n\
        \x20  1: 0B00007F:9A3C 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 4712 1\n\
        \x20  2: 0F02000A:D2F0 0202000A:0050 01 00000000:00000000 00:00000000 00000000  0 0 4713 1\n";
    const TCP6: &str = "  sl  local_address remote_address st\n\
        \x20  0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 8\n\
        \x20  1: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A 0:0\n";

    fn socket(address: &str, port: u16, inode: u64) -> Socket {
        Socket { address: address.parse().unwrap(), port, inode }
    }

    #[test]
    fn a_container_that_opens_thousands_hides_no_other() {
        let listener = |container: &str, port| Listener {
            protocol: "tcp".to_owned(),
            address: "0.0.0.0".to_owned(),
            port,
            network_of: Some(1),
            container: Some(container.to_owned()),
            command: None,
        };
        let mut found: Vec<_> = (1..=5000).map(|port| listener("greedy", port)).collect();
        found.push(listener("modest", 6000));
        fair(&mut found);
        assert_eq!((found.len(), found.last().unwrap().port), (257, 6000));
    }

    #[test]
    fn listening_sockets_are_told_and_neither_connections_nor_the_engines_resolver() {
        assert_eq!(parse(TCP), [socket("127.0.0.1", 5432, 4711)]);
        assert_eq!(parse(TCP6), [socket("::1", 8080, 8), socket("127.0.0.1", 8081, 0)]);
    }

    #[test]
    fn a_listener_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut looker = Looker::default();
        let is_it = |found: &Listener| found.port == port && found.network_of.is_none();
        assert!(looker.look().iter().any(|found| is_it(found) && found.address == "::1"));
        drop(listener);
        // A process that another test begins meanwhile has it too, until it becomes its program.
        let begun = std::time::Instant::now();
        while looker.look().iter().any(is_it) {
            assert!(begun.elapsed() < std::time::Duration::from_secs(10), "it stays");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|\n){0,300}", hex in "[0-9A-Fa-fé]{0,40}") {
            let _ = parse(&text);
            let _ = address_of(&hex);
        }
    }
}
