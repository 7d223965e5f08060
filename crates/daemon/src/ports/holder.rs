//! Finds out which process of this computer holds a port.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(test, target_os = "macos"))]
mod lsof;

use std::fmt;

use api::Transport;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(target_os = "macos")]
use lsof as system;

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

/// The process that listens on a port; `None` when there is none, it belongs to another user, or the system
/// does not tell.
pub(super) fn of(port: u16, transport: Transport) -> Option<Holder> {
    system::of(port, transport)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_listener_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = of(listener.local_addr().unwrap().port(), Transport::Tcp).unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert!(!holder.name.is_empty());
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let holder = of(socket.local_addr().unwrap().port(), Transport::Udp).unwrap();
        assert_eq!(holder.pid, std::process::id());
    }
}
