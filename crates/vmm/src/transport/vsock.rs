//! Sockets between host and guest, where the host's kernel is Linux and offers them.

use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use fs_err as fs;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_vsock::{VsockAddr, VsockStream};

use crate::mux::OPEN_DEADLINE;

/// What makes sockets to guests. Whoever may open it may give a guest a context id.
const DEVICE: &str = "/dev/vhost-vsock";

/// The kernel's source of random bytes, which never runs dry.
const RANDOM: &str = "/dev/urandom";

/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// Context ids below are the hypervisor's, the local and the host's.
const FIRST_CONTEXT_ID: u32 = 3;

/// How long the guest's queue of unaccepted connections is given to become shorter.
const RETRY: Duration = Duration::from_millis(20);

/// A guest's address among the host's guests, and the key to its agent.
pub(crate) struct Vsock {
    context_id: u32,
    key: [u8; KEY_BYTES],
}

impl fmt::Debug for Vsock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vsock").field("context_id", &self.context_id).finish_non_exhaustive()
    }
}

impl Vsock {
    /// A new address, where this host lets us give guests one.
    pub(crate) fn offered() -> Option<Self> {
        let offered = Self::offered_by(Path::new(DEVICE), Path::new(RANDOM));
        offered.inspect_err(|error| tracing::debug!(%error, "no sockets to the guest")).ok()
    }

    fn offered_by(device: &Path, random: &Path) -> io::Result<Self> {
        fs::OpenOptions::new().read(true).write(true).open(device)?;
        let mut random = fs::File::open(random)?;
        let (mut number, mut key) = ([0; 4], [0; KEY_BYTES]);
        random.read_exact(&mut number)?;
        random.read_exact(&mut key)?;
        // Nothing on the host lists the ids in use, and another user's machine may hold any: so it is drawn from
        // two thousand million. Should it be taken all the same, QEMU says so.
        let context_id = (u32::from_ne_bytes(number) >> 1).max(FIRST_CONTEXT_ID);
        Ok(Self { context_id, key })
    }

    /// The guest's address.
    pub(crate) fn context_id(&self) -> u32 {
        self.context_id
    }

    pub(super) fn key_digits(&self) -> String {
        self.key
            .iter()
            .fold(String::with_capacity(2 * KEY_BYTES), |digits, byte| digits + &format!("{byte:02x}"))
    }

    /// Connects and shows the key.
    pub(super) async fn connect(&self, port: u32) -> io::Result<VsockStream> {
        let deadline = Instant::now() + OPEN_DEADLINE;
        loop {
            let connecting = VsockStream::connect(VsockAddr::new(self.context_id, port));
            let connected = timeout_at(deadline, connecting).await.unwrap_or_else(|late| Err(late.into()));
            match connected {
                Ok(mut stream) => {
                    stream.write_all(&self.key).await?;
                    return Ok(stream);
                }
                Err(error) if is_passing(error.kind()) && Instant::now() < deadline => sleep(RETRY).await,
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether a guest that listens may be too busy just now: its queue is full, or its processor was away.
fn is_passing(error: io::ErrorKind) -> bool {
    matches!(
        error,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, DuplexStream};

    use super::*;
    use crate::transport::Transport;

    fn vsock() -> Vsock {
        Vsock { context_id: 77, key: [0xa5; KEY_BYTES] }
    }

    async fn within<T>(work: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_mins(1), work).await.expect("the transport stalled")
    }

    /// Greets, hears what the host wants, and says this.
    async fn agent(port: DuplexStream, says: &str) -> BufReader<DuplexStream> {
        let mut port = BufReader::new(port);
        port.write_all(b"noise cove-agent b-1\ncove-agent b-1\n").await.unwrap();
        let mut wanted = String::new();
        port.read_line(&mut wanted).await.unwrap();
        assert_eq!(wanted, format!("cove-vsock b-1 {}\n", "a5".repeat(32)));
        port.write_all(says.as_bytes()).await.unwrap();
        port
    }

    #[tokio::test]
    async fn a_guest_that_listens_is_reached_by_sockets_until_its_port_ends() {
        let (host, port) = tokio::io::duplex(4096);
        let guest = tokio::spawn(agent(port, "cove-agent b-1\ncove-listens other\ncove-listens b-1\n"));
        let (transport, end) = within(Transport::establish(host, Some(vsock()))).await.unwrap();
        assert_eq!(transport.to_string(), "sockets to context 77");
        drop(guest.await.unwrap());
        assert_eq!(within(end).await, Ok(None));
    }

    #[tokio::test]
    async fn a_guest_that_cannot_listen_is_reached_over_the_port() {
        let (host, port) = tokio::io::duplex(4096);
        let guest = tokio::spawn(async move {
            let mut port = agent(port, "cove-cannot-listen b-1\ncove-agent b-1\n").await;
            let mut answer = [0; 14];
            port.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"cove-host b-1\n");
            port
        });
        let (transport, _end) = within(Transport::establish(host, Some(vsock()))).await.unwrap();
        assert_eq!(transport.to_string(), "the serial port");
        within(guest).await.unwrap();
    }

    #[test]
    fn sockets_are_offered_where_the_device_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("vhost-vsock");
        assert!(Vsock::offered_by(&device, Path::new(RANDOM)).is_err());
        fs::write(&device, "").unwrap();
        let first = Vsock::offered_by(&device, Path::new(RANDOM)).unwrap();
        let second = Vsock::offered_by(&device, Path::new(RANDOM)).unwrap();
        assert_ne!(first.key, second.key);
        assert!(Vsock::offered_by(folder.path(), Path::new(RANDOM)).is_err(), "a folder is no device");
    }

    #[test]
    fn every_address_is_one_a_guest_may_have() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let device = file("device", &[]);
        for (random, expected) in [([0; 36], 3), ([0xff; 36], 0x7fff_ffff)] {
            let vsock = Vsock::offered_by(&device, &file("random", &random)).unwrap();
            assert_eq!(vsock.context_id(), expected);
        }
    }

    #[test]
    fn the_key_is_not_in_what_is_logged() {
        assert_eq!(format!("{:?}", vsock()), "Vsock { context_id: 77, .. }");
    }
}
