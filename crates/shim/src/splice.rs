//! Joins a client's connection and a stream into the guest.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncWriteExt as _, BufReader, copy_buf, split};
use tokio::net::UnixStream;
use vmm::ByteStream;

/// Bytes on their way in each direction.
const BUFFER_BYTES: usize = 64 * 1024;

/// Carries bytes both ways until both directions have ended, or the client is gone.
///
/// A client that only ends its own direction still gets all that the guest sends. One that closed the connection
/// takes the stream down with it, so that the guest's writers learn of it.
pub(crate) async fn splice(client: UnixStream, guest: ByteStream) -> io::Result<()> {
    let (mut from_guest, mut to_guest) = split(guest);
    let (from_client, mut to_client) = client.into_split();
    let up = async {
        let mut from_client = BufReader::with_capacity(BUFFER_BYTES, from_client);
        copy_buf(&mut from_client, &mut to_guest).await?;
        if is_closed(from_client.get_ref().as_ref())? {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        // The guest may have ended the stream already; what it sent still counts.
        let _ = to_guest.shutdown().await;
        Ok(())
    };
    let down = async {
        let mut from_guest = BufReader::with_capacity(BUFFER_BYTES, &mut from_guest);
        copy_buf(&mut from_guest, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(up, down).map(drop)
}

/// Whether the other side has closed both directions.
fn is_closed(client: &UnixStream) -> io::Result<bool> {
    // macOS looks only in the directions it is asked about, and there the one for reading also ends with half of the
    // connection; Linux tells of this end in any case.
    let mut fds = [PollFd::new(client, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(fds[0].revents().contains(PollFlags::HUP))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, DuplexStream};

    use super::*;

    fn joined() -> (UnixStream, DuplexStream, tokio::task::JoinHandle<io::Result<()>>) {
        let (client, shim_client) = UnixStream::pair().unwrap();
        let (guest, shim_guest) = tokio::io::duplex(1024);
        let task = tokio::spawn(splice(shim_client, Box::new(shim_guest)));
        (client, guest, task)
    }

    async fn within<T>(work: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), work).await.expect("the splice stalled")
    }

    #[tokio::test]
    async fn a_half_close_is_passed_on_and_the_rest_still_arrives() {
        let (mut client, mut guest, task) = joined();
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut question = String::new();
        within(guest.read_to_string(&mut question)).await.unwrap();
        assert_eq!(question, "question");
        let answer = vec![b'a'; 300_000];
        let answering = async {
            guest.write_all(&answer).await.unwrap();
            guest.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let ((), read) = within(async { tokio::join!(answering, client.read_to_end(&mut received)) }).await;
        read.unwrap();
        assert_eq!(received, answer);
        within(task).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_left_takes_the_stream_down() {
        let (client, mut guest, task) = joined();
        drop(client);
        assert!(within(task).await.unwrap().is_err());
        assert!(within(guest.write_all(&vec![0; 10_000])).await.is_err(), "the guest can still write");
    }
}
