//! Sockets that wait for connections, in the guest's network and in every container's.
//!
//! Read from `/proc`: for each distinct network namespace, one process in it shows the tables.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fs_err as fs;
use protocol::agent::Listener;

/// Most listeners told; a container that opens more is not worth the message.
const MOST: usize = 4096;
/// Length of a container's id in the engine, in hexadecimal digits.
const ID_DIGITS: usize = 64;

/// All listeners, each once.
pub(crate) fn all() -> Vec<Listener> {
    let mut seen = BTreeSet::new();
    let mut found = BTreeSet::new();
    let own = namespace_of("self").unwrap_or_default();
    let mut pids: Vec<i32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    // A namespace is shown by its oldest process, which is the one most likely to stay.
    pids.sort_unstable();
    for pid in pids {
        let Some(namespace) = namespace_of(&pid.to_string()) else { continue };
        let is_own = namespace == own;
        if !seen.insert(namespace) {
            continue;
        }
        let container = if is_own { None } else { container_of(pid) };
        let network_of = (!is_own).then_some(pid);
        for table in ["tcp", "tcp6", "udp", "udp6"] {
            let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
            let protocol = table.trim_end_matches('6');
            for (address, port) in parse(&text, protocol) {
                found.insert(Listener {
                    protocol: protocol.to_owned(),
                    address: address.to_string(),
                    port,
                    network_of,
                    container: container.clone(),
                });
            }
        }
    }
    found.into_iter().take(MOST).collect()
}

fn namespace_of(pid: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    Some(link.to_string_lossy().into_owned())
}

fn container_of(pid: i32) -> Option<String> {
    container_in(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
}

/// The last part of the cgroup's path that is an id.
fn container_in(cgroup: &str) -> Option<String> {
    let is_id = |part: &&str| part.len() == ID_DIGITS && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    cgroup.trim().rsplit(['/', '-', '.']).find(is_id).map(str::to_owned)
}

/// Listening sockets of one table. State 0A is TCP's; UDP has no such state: a socket without a peer (07) counts.
fn parse(table: &str, protocol: &str) -> Vec<(IpAddr, u16)> {
    let wanted = if protocol == "tcp" { "0A" } else { "07" };
    let lines = table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, _peer, state) = (words.next()?, words.next()?, words.next()?);
        let (address, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        (state == wanted && port != 0).then_some((address_of(address)?, port))
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
        \x20  0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 1 1\n\
        \x20  1: 0F02000A:D2F0 0202000A:0050 01 00000000:00000000 00:00000000 00000000  0 0 2 1\n";
    const TCP6: &str = "  sl  local_address remote_address st\n\
        \x20  0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0\n\
        \x20  1: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A 0:0\n";

    #[test]
    fn listening_sockets_are_told_and_connections_are_not() {
        assert_eq!(parse(TCP, "tcp"), [("127.0.0.1".parse().unwrap(), 5432)]);
        let six = parse(TCP6, "tcp");
        assert_eq!(six, [("::1".parse().unwrap(), 8080), ("127.0.0.1".parse().unwrap(), 8081)]);
    }

    #[test]
    fn a_bound_udp_socket_without_a_peer_counts() {
        let table = "  sl\n 0: 0F02000A:0035 00000000:0000 07 0:0\n 1: 0F02000A:9999 0302000A:0035 01 0:0\n";
        assert_eq!(parse(table, "udp"), [("10.0.2.15".parse().unwrap(), 53)]);
    }

    #[test]
    fn a_container_is_known_by_its_cgroup() {
        let id = "a1".repeat(32);
        assert_eq!(container_in(&format!("0::/docker/{id}\n")), Some(id.clone()));
        assert_eq!(container_in(&format!("0::/system.slice/docker-{id}.scope/init\n")), Some(id));
        assert_eq!(container_in("0::/exec\n"), None);
    }

    #[test]
    fn a_listener_of_this_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(all().iter().any(|found| found.port == port && found.network_of.is_none()));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|\n){0,300}", hex in "[0-9A-Fa-fé]{0,40}") {
            let _ = parse(&text, "tcp");
            let _ = address_of(&hex);
        }
    }
}
