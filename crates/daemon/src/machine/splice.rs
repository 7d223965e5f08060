//! Joins a local connection and a stream into the guest, byte for byte, both ways.
//!
//! Half-close is kept: when one side has said all it will say, the other learns it and may still answer. `docker
//! attach` and `docker run -i` depend on that.

use std::future::{self, Future};
use std::io;
use std::os::fd::AsFd;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::io::InspectReader;

/// Joins a unix connection with a guest stream until both directions have ended, the client is gone, or one breaks.
/// `moved` is told whenever something came from either.
///
/// # Errors
/// When a direction breaks; both connections are of no use then.
pub async fn unix(client: &mut UnixStream, guest: &mut UnixStream, moved: impl Fn()) -> io::Result<()> {
    let (read, write) = client.split();
    both_ways(read, write, guest, moved, async |read| hung_up(read.as_ref()).await).await
}

/// Joins a TCP connection with a guest stream until both directions have ended or one breaks. `moved` is told whenever
/// something came from either.
///
/// # Errors
/// When a direction breaks; both connections are of no use then.
pub async fn tcp(client: &mut TcpStream, guest: &mut UnixStream, moved: impl Fn()) -> io::Result<()> {
    let (read, write) = client.split();
    // TCP does not tell a peer that is gone from one that has said all, until something is written to it.
    both_ways(read, write, guest, moved, |_| future::pending()).await
}

/// Once the client has said all, `hung_up` ends when it is gone altogether.
async fn both_ways<R, W, F>(
    from_client: R,
    mut to_client: W,
    guest: &mut UnixStream,
    moved: impl Fn(),
    hung_up: impl FnOnce(R) -> F,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    F: Future<Output = io::Result<()>>,
{
    let (from_guest, mut to_guest) = guest.split();
    let mut from_guest = InspectReader::new(from_guest, |_: &[u8]| moved());
    let mut from_client = InspectReader::new(from_client, |_: &[u8]| moved());
    let up = async move {
        tokio::io::copy(&mut from_client, &mut to_guest).await?;
        to_guest.shutdown().await?;
        io::Result::Ok(from_client.into_inner())
    };
    let down = async {
        tokio::io::copy(&mut from_guest, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::pin!(up, down);
    tokio::select! {
        ended = &mut up => {
            let from_client = ended?;
            // A client that is gone looks at first like one that has said all. Without this, a stream whose guest
            // side stays silent (an idle `docker attach`) would be kept for ever.
            tokio::select! {
                ended = &mut down => ended,
                gone = hung_up(from_client) => gone,
            }
        }
        ended = &mut down => {
            ended?;
            up.await.map(drop)
        }
    }
}

/// Waits until the peer of a connection has closed both directions.
///
/// # Errors
/// The system does not tell.
pub fn hung_up(connection: &UnixStream) -> impl Future<Output = io::Result<()>> + use<> {
    // A registration of its own, because what is cleared here belongs to the connection's writer there.
    let watched = connection.as_fd().try_clone_to_owned().and_then(|it| UnixStream::from_std(it.into()));
    async move {
        let watched = watched?;
        loop {
            if watched.ready(Interest::WRITABLE).await?.is_write_closed() {
                return Ok(());
            }
            // Forget that it can be written, to wait for the next change. That the peer is gone is not forgotten.
            let nothing = || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into());
            if let Err(error) = watched.try_io(Interest::WRITABLE, nothing)
                && error.kind() != io::ErrorKind::WouldBlock
            {
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;
    use tokio::time::timeout;

    const DEADLINE: Duration = Duration::from_mins(1);

    fn joined() -> (UnixStream, UnixStream, tokio::task::JoinHandle<io::Result<()>>) {
        let (client, mut near) = UnixStream::pair().unwrap();
        let (guest, mut far) = UnixStream::pair().unwrap();
        let task = tokio::spawn(async move { unix(&mut near, &mut far, || ()).await });
        (client, guest, task)
    }

    #[tokio::test]
    async fn an_answer_may_follow_the_end_of_the_question() {
        let (mut client, mut guest, task) = joined();
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = String::new();
        timeout(DEADLINE, guest.read_to_string(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, "question");
        guest.write_all(b"answer").await.unwrap();
        drop(guest);
        let mut answer = String::new();
        timeout(DEADLINE, client.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer, "answer");
        timeout(DEADLINE, task).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn input_goes_on_after_the_guest_has_ended_its_output() {
        let (mut client, mut guest, task) = joined();
        guest.shutdown().await.unwrap();
        let mut nothing = Vec::new();
        timeout(DEADLINE, client.read_to_end(&mut nothing)).await.unwrap().unwrap();
        client.write_all(b"more").await.unwrap();
        drop(client);
        let mut heard = String::new();
        timeout(DEADLINE, guest.read_to_string(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, "more");
        timeout(DEADLINE, task).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_either_side_says_is_told() {
        let (mut client, mut near) = UnixStream::pair().unwrap();
        let (mut guest, mut far) = UnixStream::pair().unwrap();
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move { unix(&mut near, &mut far, || tell.send(()).unwrap()).await });
        for side in [&mut client, &mut guest] {
            side.write_all(b"x").await.unwrap();
            timeout(DEADLINE, told.recv()).await.expect("it is told").unwrap();
        }
    }

    #[tokio::test]
    async fn a_client_that_vanishes_ends_a_silent_stream() {
        let (mut client, mut guest, task) = joined();
        client.write_all(b"x").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        timeout(DEADLINE, guest.read_to_end(&mut heard)).await.unwrap().unwrap();
        assert!(!task.is_finished(), "a half-closed client still waits for its answer");
        drop(client);
        timeout(DEADLINE, task).await.unwrap().unwrap().unwrap();
    }
}
