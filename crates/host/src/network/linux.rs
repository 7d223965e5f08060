//! The kernel's own announcements (`rtnetlink`). What they say is not looked into.

use std::io;
use std::sync::Arc;
use std::thread;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use tokio::sync::Notify;

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_IFADDR`, `RTMGRP_IPV6_ROUTE` of
/// `linux/rtnetlink.h`.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

pub(super) fn watch(changed: Arc<Notify>) -> io::Result<()> {
    // Without a protocol it is `NETLINK_ROUTE`.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    thread::Builder::new().name("cove-network".to_owned()).spawn(move || {
        loop {
            // What does not fit is cut off, which does not matter.
            match recv(&socket, &mut [0; 4096][..], RecvFlags::empty()) {
                // Or more was announced than the socket holds: something did change.
                Ok(_) | Err(Errno::NOBUFS) => changed.notify_one(),
                Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::warn!(%error, "changes of the network are not noticed any more");
                    return;
                }
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use crate::network::NetworkChanges;

    /// Says that this process is in a network of its own, where it may change something.
    const INSIDE: &str = "COVE_TEST_OWN_NETWORK";

    #[tokio::test]
    async fn an_address_that_comes_is_told() {
        if std::env::var_os(INSIDE).is_some() {
            return in_a_network_of_its_own().await;
        }
        let inside = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "network::linux::tests::an_address_that_comes_is_told"])
            .env(INSIDE, "yes")
            .output()
            .expect("unshare belongs to util-linux");
        let said = String::from_utf8_lossy(&inside.stdout);
        assert!(inside.status.success() && said.contains("1 passed"), "{said}");
    }

    async fn in_a_network_of_its_own() {
        let mut changes = NetworkChanges::watch().unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(50), changes.next()).await;
        assert!(quiet.is_err(), "nothing has changed yet");
        let status = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip is installed");
        assert!(status.success());
        tokio::time::timeout(Duration::from_secs(10), changes.next()).await.expect("it is told");
    }
}
