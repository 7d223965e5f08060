//! The socket between a machine's network card and a network in user space: one Ethernet frame a datagram.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

/// What either end may have on its way out, in bytes. macOS asks that the buffer for what comes in be some times
/// larger, or frames are lost when both sides are busy.
pub const SEND_BUFFER_BYTES: usize = 1 << 20;

/// What either end may have waiting to be read, in bytes.
pub const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Largest packet, in bytes: what every peer of the guest takes.
pub const MTU: u16 = 1500;

/// Both ends: the machine's and the network's.
///
/// # Errors
/// When the kernel gives no sockets. Smaller buffers than asked for are no error.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (machine, network) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::empty(), None)?;
    for end in [&machine, &network] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        for outcome in [
            set_socket_send_buffer_size(end, SEND_BUFFER_BYTES),
            set_socket_recv_buffer_size(end, RECEIVE_BUFFER_BYTES),
        ] {
            if let Err(error) = outcome {
                tracing::warn!(%error, "the network's buffers stay small");
            }
        }
    }
    Ok((machine, network))
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::{socket_recv_buffer_size, socket_send_buffer_size};

    use super::*;

    #[test]
    fn a_frame_stays_whole_and_buffers_are_as_large_as_the_host_allows() {
        let (machine, network) = pair().unwrap();
        for length in [60, 1514] {
            rustix::io::write(&machine, &vec![7; length]).unwrap();
            let mut frame = [0; 4096];
            assert_eq!(rustix::io::read(&network, &mut frame).unwrap(), length);
        }
        let limit = |name: &str| {
            let text = fs_err::read_to_string(format!("/proc/sys/net/core/{name}")).unwrap_or_default();
            text.trim().parse().unwrap_or(usize::MAX)
        };
        assert!(socket_send_buffer_size(&machine).unwrap() >= SEND_BUFFER_BYTES.min(limit("wmem_max")));
        assert!(socket_recv_buffer_size(&network).unwrap() >= RECEIVE_BUFFER_BYTES.min(limit("rmem_max")));
    }
}
