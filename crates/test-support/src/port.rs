//! Ports of this computer for tests.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Distance between two ports: programs under test look for a free one near a port that is taken.
const APART: u16 = 50;

/// A TCP port of the loopback that nobody has, and nobody takes by chance: below those that the system hands out by
/// itself, and handed out here only once in a while.
///
/// # Panics
/// When all are taken.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Other test programs may run at the same time.
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).expect("it is less than 10,000");
    let mut ports = (0..100).map(|_| first + NEXT.fetch_add(APART, Ordering::Relaxed) % 2_700);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.find(is_free).expect("a port is free")
}
