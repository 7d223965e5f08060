//! The way to the host: a virtio-serial port that carries many streams, or tells where they go instead.
//!
//! The port is one pipe of bytes that outlives whoever holds its other end, so both sides first find a common
//! beginning. The agent says `cove-agent BOOT` again and again until the host answers with one of two lines:
//!
//! - `cove-host BOOT`: everything after it is the multiplexer's.
//! - `cove-vsock BOOT KEY`: the host wants sockets of the kernel, see [`vsock`]. The agent answers
//!   `cove-listens BOOT` and serves them until the port's other end is closed, or `cove-cannot-listen BOOT` and
//!   begins anew, so that the host can take the other way.
//!
//! A machine whose command line says so has no such port: it is heard on those sockets alone, without a key. Should it
//! have no sockets either, it is heard on a port after all.
//!
//! When the host goes away, or sends what the multiplexer cannot read, it begins anew: a host that gets no line on
//! a fresh connection sends any line to bring that about.

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
use crate::vsock::{self, Key};

const PORTS: &str = "/sys/class/virtio-ports";
/// How often the line is said.
const REPEAT: Duration = Duration::from_millis(200);
/// How often a port without a host, or one that is not there yet, is looked at.
const INTERVAL: Duration = Duration::from_millis(20);
/// A line that is longer is none.
const LONGEST_LINE: usize = 256;

/// How the host wants to go on.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// Over the port; the bytes that came with the line are the multiplexer's.
    Multiplexed(Vec<u8>),
    /// Over sockets, each opened with the key.
    Sockets(Key),
}

/// Serves the host on sockets if this machine is one of those, and on the port else.
pub(crate) async fn run(machine: Arc<Machine>, on_sockets: bool) {
    if on_sockets {
        match vsock::listen().await {
            Ok(listener) => {
                machine.journal.info("the host is heard on sockets");
                return vsock::serve(listener, None, machine).await;
            }
            Err(error) => machine.journal.warn(format!("no sockets to the host: {}", chain(&error))),
        }
    }
    run_on_port(machine).await;
}

/// Serves whoever holds the other end of the port, one after the other, as long as the machine runs.
async fn run_on_port(machine: Arc<Machine>) {
    let path = find_port().await;
    loop {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = rustix::fs::open(&path, flags, Mode::empty()).map_err(Into::into).and_then(Device::new);
        let session = async { serve_host(opened?, &machine).await };
        if let Err(error) = session.await {
            machine.journal.warn(format!("{}: {error}", path.display()));
            tokio::time::sleep(REPEAT).await;
        }
    }
}

/// Serves one host, on the way it chooses, until it has gone.
async fn serve_host(mut port: Device, machine: &Arc<Machine>) -> io::Result<()> {
    let key = match shake_hands(&mut port, &machine.boot_id).await? {
        Answer::Sockets(key) => key,
        Answer::Multiplexed(early) => return multiplex(port, early, machine).await,
    };
    let mut hands = port.clone();
    match vsock::listen().await {
        Ok(listener) => {
            hands.write_all(format!("cove-listens {}\n", machine.boot_id).as_bytes()).await?;
            machine.journal.info("the host is connected, by sockets");
            let mut nowhere = tokio::io::sink();
            tokio::select! {
                () = vsock::serve(listener, Some(key), Arc::clone(machine)) => {}
                // The port has nothing more to say than its end.
                end = tokio::io::copy(&mut port, &mut nowhere) => { end?; }
            }
            machine.journal.info("the host has gone");
            Ok(())
        }
        Err(error) => {
            machine.journal.warn(format!("the host gets no sockets: {}", chain(&error)));
            // The port stays open: what the host says next would be lost with it.
            hands.write_all(format!("cove-cannot-listen {}\n", machine.boot_id).as_bytes()).await?;
            loop {
                if let Answer::Multiplexed(early) = shake_hands(&mut port, &machine.boot_id).await? {
                    return multiplex(port, early, machine).await;
                }
            }
        }
    }
}

async fn multiplex(port: Device, early: Vec<u8>, machine: &Arc<Machine>) -> io::Result<()> {
    machine.journal.info("the host is connected");
    let transport = tokio::io::join(io::Cursor::new(early).chain(port.clone()), port);
    match server::serve(transport.compat(), Arc::clone(machine)).await {
        Ok(()) => machine.journal.info("the host has gone"),
        Err(error) => machine.journal.info(format!("the host was cut off: {}", chain(&error))),
    }
    Ok(())
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

/// Finds the common beginning.
async fn shake_hands<S>(stream: &mut S, boot_id: &str) -> io::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let own = format!("cove-agent {boot_id}\n");
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
            if let Some(answer) = answer_in(&mut received, boot_id) {
                return Ok(answer);
            }
        }
    }
}

/// Drops lines up to one that answers this boot's.
fn answer_in(received: &mut Vec<u8>, boot_id: &str) -> Option<Answer> {
    while let Some(end) = received.iter().position(|byte| *byte == b'\n') {
        let rest = received.split_off(end + 1);
        let line = std::mem::replace(received, rest);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        // Noise before the line, without an end of its own, is part of it.
        if line.ends_with(format!("cove-host {boot_id}").as_bytes()) {
            return Some(Answer::Multiplexed(std::mem::take(received)));
        }
        if let Some((before, key)) = Key::at_end_of(line)
            && before.ends_with(format!("cove-vsock {boot_id} ").as_bytes())
        {
            return Some(Answer::Sockets(key));
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
        assert_eq!(hands.await.unwrap(), Answer::Multiplexed(b"\x00\x01rest".to_vec()));
    }

    #[test]
    fn a_host_that_wants_sockets_is_believed_with_this_boots_name_and_a_whole_key() {
        let key = "0123456789abcdef".repeat(4);
        let answers = |line: String| answer_in(&mut line.into_bytes(), "b00t");
        let wanted = answers(format!("noise cove-vsock b00t {key}\n"));
        assert!(matches!(wanted, Some(Answer::Sockets(_))), "{wanted:?}");
        for line in [
            format!("cove-vsock other {key}\n"),
            format!("cove-vsock b00t {}\n", &key[1..]),
            format!("cove-vsock b00t {}G\n", &key[1..]),
            format!("cove-vsock b00t {key}"),
        ] {
            assert_eq!(answers(line.clone()), None, "{line}");
        }
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
            answer = talk => assert_eq!(answer, Answer::Multiplexed(Vec::new())),
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
