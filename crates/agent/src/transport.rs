//! The way to the host: a virtio-serial port that carries many streams.
//!
//! The port is one pipe of bytes that outlives whoever holds its other end, so both sides first find a common
//! beginning. The agent says `cove-agent BOOT` again and again until a line `cove-host BOOT` comes; everything
//! after that line is the multiplexer's. When the host goes away, or sends what the multiplexer cannot read, it
//! begins anew: a host that gets no line on a fresh connection sends any line to bring that about.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use rustix::fs::{Mode, OFlags};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use crate::console::chain;
use crate::device::Device;
use crate::machine::Machine;
use crate::server;

const PORTS: &str = "/sys/class/virtio-ports";
/// How often the line is said.
const REPEAT: Duration = Duration::from_millis(200);
/// How often a port without a host, or one that is not there yet, is looked at.
const INTERVAL: Duration = Duration::from_millis(20);
/// A line that is longer is none.
const LONGEST_LINE: usize = 256;

/// Serves whoever holds the other end of the port, one after the other, as long as the machine runs.
pub(crate) async fn run(machine: Arc<Machine>) {
    let path = find_port().await;
    loop {
        let session = async {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let device = Device::new(rustix::fs::open(&path, flags, Mode::empty())?)?;
            let early = shake_hands(&mut device.clone(), &machine.boot_id).await?;
            io::Result::Ok((device, early))
        };
        match session.await {
            Ok((device, early)) => {
                machine.journal.info("the host is connected");
                let transport = tokio::io::join(io::Cursor::new(early).chain(device.clone()), device);
                match server::serve(transport.compat(), Arc::clone(&machine)).await {
                    Ok(()) => machine.journal.info("the host has gone"),
                    Err(error) => machine.journal.info(format!("the host was cut off: {}", chain(&error))),
                }
            }
            Err(error) => {
                machine.journal.warn(format!("{}: {error}", path.display()));
                tokio::time::sleep(REPEAT).await;
            }
        }
    }
}

/// The device of the port with our name; waits until there is one.
async fn find_port() -> PathBuf {
    loop {
        if let Some(path) = port_in(Path::new(PORTS)) {
            return path;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn port_in(folder: &Path) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().find_map(|port| {
        let name = fs::read_to_string(port.path().join("name")).ok()?;
        (name.trim() == protocol::SERIAL_PORT_NAME).then(|| Path::new("/dev").join(port.file_name()))
    })
}

/// Finds the common beginning. Gives back what came after the host's line.
async fn shake_hands<S>(stream: &mut S, boot_id: &str) -> io::Result<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let own = format!("cove-agent {boot_id}\n");
    let expected = format!("cove-host {boot_id}");
    let mut received = Vec::new();
    let mut piece = [0; 4096];
    loop {
        // A line is written whole or, when no host is there to take it, not at all for now.
        let mut unsaid = own.as_bytes();
        while !unsaid.is_empty() {
            match timeout(INTERVAL, stream.write(unsaid)).await {
                Ok(count) => unsaid = &unsaid[count?..],
                Err(_) if unsaid.len() == own.len() => break,
                Err(_) => {}
            }
        }
        let until = tokio::time::Instant::now() + REPEAT;
        while let Ok(count) = tokio::time::timeout_at(until, stream.read(&mut piece)).await {
            let count = count?;
            if count == 0 {
                // Nobody is at the other end.
                received.clear();
                tokio::time::sleep(INTERVAL).await;
                break;
            }
            received.extend_from_slice(&piece[..count]);
            if let Some(rest) = after_line(&mut received, &expected) {
                return Ok(rest);
            }
        }
    }
}

/// Drops lines up to the expected one; gives back what follows it.
fn after_line(received: &mut Vec<u8>, expected: &str) -> Option<Vec<u8>> {
    while let Some(end) = received.iter().position(|byte| *byte == b'\n') {
        let rest = received.split_off(end + 1);
        let line = std::mem::replace(received, rest);
        // Noise before the line, without an end of its own, is part of it.
        if line.ends_with(format!("{expected}\n").as_bytes()) {
            return Some(std::mem::take(received));
        }
    }
    let excess = received.len().saturating_sub(LONGEST_LINE);
    received.drain(..excess);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    #[tokio::test]
    async fn the_line_is_said_until_the_host_answers_and_the_rest_is_kept() {
        let (mut agent, mut host) = duplex(4096);
        let hands = tokio::spawn(async move { shake_hands(&mut agent, "b00t").await.unwrap() });
        let mut said = vec![0; 32];
        host.read_exact(&mut said).await.unwrap();
        assert_eq!(said, b"cove-agent b00t\ncove-agent b00t\n");
        host.write_all(b"\x00\x01cove-host other\n\xffcove-host b00t\n\x00\x01rest").await.unwrap();
        assert_eq!(hands.await.unwrap(), b"\x00\x01rest");
    }

    #[tokio::test]
    async fn a_line_in_pieces_and_endless_noise_are_taken() {
        let (mut agent, mut host) = duplex(64);
        let hands = tokio::spawn(async move { shake_hands(&mut agent, "b00t").await.unwrap() });
        let (mut reader, mut writer) = tokio::io::split(&mut host);
        let drain = async {
            let mut sink = [0; 64];
            while reader.read(&mut sink).await.unwrap() > 0 {}
            std::future::pending::<()>().await;
        };
        let talk = async {
            for _ in 0..100 {
                writer.write_all(&[7; 64]).await.unwrap();
            }
            writer.write_all(b"\ncove-h").await.unwrap();
            writer.write_all(b"ost b00t\n").await.unwrap();
            hands.await.unwrap()
        };
        tokio::select! {
            rest = talk => assert_eq!(rest, b""),
            () = drain => {}
        }
    }

    #[test]
    fn the_port_is_found_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(port_in(folder.path()), None);
        for (port, name) in [("vport1p1", "org.other\n"), ("vport1p2", "cove.agent\n")] {
            fs::create_dir(folder.path().join(port)).unwrap();
            fs::write(folder.path().join(port).join("name"), name).unwrap();
        }
        assert_eq!(port_in(folder.path()), Some("/dev/vport1p2".into()));
    }
}
