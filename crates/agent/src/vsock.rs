//! Sockets of the kernel between host and guest: each connection carries one request.
//!
//! Any process on the host can open such a connection, whoever runs it. So it counts for nothing until it has shown
//! the key that the machine's owner told on the serial port, which nobody else can reach. Other machines and the
//! guest's own processes are not heard at all.
//!
//! Where the hypervisor itself lets nobody but the machine's owner connect, it says so on the kernel's command line, and
//! no key is asked for.
//!
//! A peer that goes away looks as if it had only ended its half: the kernel has no reset for that. The next write
//! to it fails.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_vsock::{VMADDR_CID_ANY, VMADDR_CID_HOST, VsockAddr, VsockListener};

use crate::machine::Machine;
use crate::modules::{self, ModuleError, Modules};
use crate::server::{self, STREAMS};

/// Has an entry for each device that the driver serves.
const DRIVER: &str = "/sys/bus/virtio/drivers/vmw_vsock_virtio_transport";
/// How long a connection may be silent before it shows the key.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rest after a connection that could not be taken, such as one too many for the process.
const REST: Duration = Duration::from_millis(100);

/// Why nobody can connect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    /// The driver is there and refused.
    #[error("the driver cannot be loaded")]
    Driver(#[source] ModuleError),
    /// The loading was cut off.
    #[error("the driver was not loaded to its end")]
    CutOff(#[source] JoinError),
    /// The machine has no such device, or its kernel no driver for it.
    #[error("this machine has no device for sockets to its host")]
    NoDevice,
    /// The port cannot be had.
    #[error("cannot listen on port {}", protocol::AGENT_PORT)]
    Port(#[source] io::Error),
}

/// What a connection begins with: 32 random bytes that the host made for this boot.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key([u8; Self::BYTES]);

impl Key {
    const BYTES: usize = 32;

    /// Splits a line into what precedes a key, in small hexadecimal digits, and the key.
    pub(crate) fn at_end_of(line: &[u8]) -> Option<(&[u8], Self)> {
        let (before, digits) = line.split_at_checked(line.len().checked_sub(2 * Self::BYTES)?)?;
        let mut bytes = [0; Self::BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some((before, Self(bytes)))
    }

    /// Whether these are its bytes, in a time that does not tell how many of them were right.
    fn is(&self, bytes: &[u8; Self::BYTES]) -> bool {
        let differences = self.0.iter().zip(bytes).fold(0, |all, (ours, theirs)| all | (ours ^ theirs));
        differences == 0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

/// Takes the agent's port, having loaded the driver.
pub(crate) async fn listen() -> Result<VsockListener, ListenError> {
    let loading = tokio::task::spawn_blocking(|| {
        let refused = Modules::of_running_kernel()?.load_all(modules::SOCKETS);
        refused.into_iter().next().map_or(Ok(()), Err)
    });
    loading.await.map_err(ListenError::CutOff)?.map_err(ListenError::Driver)?;
    if !serves_a_device(Path::new(DRIVER)) {
        return Err(ListenError::NoDevice);
    }
    let everywhere = VsockAddr::new(VMADDR_CID_ANY, protocol::AGENT_PORT);
    VsockListener::bind(everywhere).map_err(ListenError::Port)
}

/// Whether a driver of the bus has found its device, by the driver's folder in sysfs.
fn serves_a_device(driver: &Path) -> bool {
    let entries = fs::read_dir(driver).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().as_encoded_bytes().starts_with(b"virtio"))
}

/// Serves connections until it is dropped, and they with it.
pub(crate) async fn serve(listener: VsockListener, key: Option<Key>, machine: Arc<Machine>) {
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if requests.len() < STREAMS => {
                    requests.spawn(attend(stream, peer.cid(), key.clone(), Arc::clone(&machine)));
                }
                Ok((_one_too_many, _)) => {}
                Err(error) => {
                    machine.journal.warn(format!("a connection of the host was lost: {error}"));
                    tokio::time::sleep(REST).await;
                }
            },
            Some(_) = requests.join_next() => {}
        }
    }
}

async fn attend<S>(mut stream: S, peer: u32, key: Option<Key>, machine: Arc<Machine>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    if is_admitted(&mut stream, peer, key.as_ref()).await {
        server::serve_stream(Box::new(stream), &machine).await;
    }
}

/// Whether a connection is the host's, and its user the machine's owner.
async fn is_admitted<S: AsyncRead + Unpin>(stream: &mut S, peer: u32, key: Option<&Key>) -> bool {
    let Some(key) = key else { return peer == VMADDR_CID_HOST };
    let mut shown = [0; Key::BYTES];
    peer == VMADDR_CID_HOST
        && matches!(timeout(PATIENCE, stream.read_exact(&mut shown)).await, Ok(Ok(_)))
        && key.is(&shown)
}

#[cfg(test)]
mod tests {
    use protocol::FrameDecoder;
    use protocol::agent::{Reply, Request};
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const LINE: &str = "to 00ff000000000000000000000000000000000000000000000000000000000001";

    fn key() -> Key {
        Key::at_end_of(LINE.as_bytes()).unwrap().1
    }

    /// What comes back to a peer that shows these bytes and then asks for a greeting.
    async fn told(peer: u32, shown: &[u8]) -> Option<Reply> {
        told_with(Some(key()), peer, shown).await
    }

    async fn told_with(key: Option<Key>, peer: u32, shown: &[u8]) -> Option<Reply> {
        let (mut host, agent) = tokio::io::duplex(4096);
        let machine = Arc::new(Machine::new("b00t".into(), "/nonexistent".into()));
        let serving = tokio::spawn(attend(agent, peer, key, machine));
        let hello = Request::Hello { protocol: protocol::VERSION, version: "1".into() };
        // Who is not admitted may be cut off in the middle of it.
        let _ = host.write_all(&[shown, &protocol::encode_json(&hello)].concat()).await;
        let _ = host.shutdown().await;
        let mut answer = Vec::new();
        host.read_to_end(&mut answer).await.unwrap();
        serving.await.unwrap();
        let mut decoder = FrameDecoder::new();
        decoder.push(&answer);
        decoder.next().unwrap().map(|frame| frame.message().unwrap())
    }

    #[tokio::test]
    async fn the_owner_on_the_host_is_answered() {
        let reply = told(VMADDR_CID_HOST, &key().0).await;
        assert!(matches!(&reply, Some(Reply::Hello(hello)) if hello.boot_id == "b00t"), "{reply:?}");
    }

    #[tokio::test]
    async fn nobody_else_is() {
        let mut wrong = key().0;
        wrong[31] ^= 1;
        for (peer, shown) in
            [(VMADDR_CID_HOST, &wrong[..]), (VMADDR_CID_HOST, b""), (1, &key().0), (3, &key().0)]
        {
            assert_eq!(told(peer, shown).await, None, "{peer} {shown:?}");
        }
    }

    #[tokio::test]
    async fn without_a_key_the_host_alone_is_answered() {
        assert!(told_with(None, VMADDR_CID_HOST, b"").await.is_some());
        assert_eq!(told_with(None, 3, b"").await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_shows_nothing_is_cut_off() {
        let (mut host, agent) = tokio::io::duplex(4096);
        let machine = Arc::new(Machine::new("b00t".into(), "/nonexistent".into()));
        tokio::spawn(attend(agent, VMADDR_CID_HOST, Some(key()), machine));
        host.write_all(&key().0[1..]).await.unwrap();
        assert_eq!(host.read(&mut [0]).await.unwrap(), 0);
    }

    #[test]
    fn a_key_is_read_whole_or_not() {
        let (before, key) = Key::at_end_of(LINE.as_bytes()).unwrap();
        assert_eq!((before, key.0[1], key.0[31]), (&b"to "[..], 0xff, 1));
        assert_eq!(Key::at_end_of(b"00ff"), None);
        assert_eq!(Key::at_end_of(LINE.to_uppercase().as_bytes()), None);
        assert!(!format!("{key:?}").contains("255"));
    }

    #[test]
    fn a_driver_counts_once_it_has_its_device() {
        let folder = tempfile::tempdir().unwrap();
        let driver = folder.path().join("driver");
        assert!(!serves_a_device(&driver));
        fs::create_dir(&driver).unwrap();
        fs::write(driver.join("bind"), "").unwrap();
        assert!(!serves_a_device(&driver));
        fs::write(driver.join("virtio5"), "").unwrap();
        assert!(serves_a_device(&driver));
    }
}
