//! The guest's end is a yamux server over an in-memory pipe, greeting as the agent does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};

use super::*;

const PIPE_BYTES: usize = 64 * 1024;
const DEADLINE: Duration = Duration::from_mins(1);

/// A guest that greets `greetings` and then serves each stream with `serve`.
fn guest<F, S>(port: DuplexStream, greetings: &'static [u8], serve: F)
where
    F: Fn(Compat<yamux::Stream>) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        let mut port = BufReader::new(port);
        port.write_all(greetings).await.unwrap();
        let mut answer = String::new();
        port.read_line(&mut answer).await.unwrap();
        assert_eq!(answer, "cove-host b-1\n");
        // In flight when the answer came.
        port.write_all(b"cove-agent b-1\n").await.unwrap();
        let mut config = yamux::Config::default();
        config.set_max_num_streams(YAMUX_STREAMS);
        let mut connection = Connection::new(port.compat(), config, Mode::Server);
        while let Some(Ok(stream)) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {
            tokio::spawn(serve(stream.compat()));
        }
    });
}

async fn echo(mut stream: Compat<yamux::Stream>) {
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
    let _ = writer.shutdown().await;
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("the streams stalled")
}

async fn round_trip(mut stream: MuxStream, text: &[u8]) {
    stream.write_all(text).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.unwrap();
    assert_eq!(back, text);
}

#[tokio::test]
async fn greetings_are_found_behind_junk_and_skipped_when_repeated() {
    let (host, port) = tokio::io::duplex(PIPE_BYTES);
    guest(port, b"\x1b[2J\0junk\ncove-agent bad id\nBoot: cove-agent b-1\ncove-agent b-1\n", echo);
    let (mux, _end) = within(Mux::establish(host)).await.unwrap();
    within(round_trip(mux.open().await.unwrap(), b"hello")).await;
}

#[tokio::test]
async fn a_port_that_closes_before_the_greeting_is_an_error() {
    let (host, mut port) = tokio::io::duplex(PIPE_BYTES);
    port.write_all(&[b'x'; 5000]).await.unwrap();
    drop(port);
    assert!(matches!(within(Mux::establish(host)).await, Err(MuxError::Port(_))));
}

#[tokio::test]
async fn bulk_both_ways_arrives_whole_while_another_reader_sleeps() {
    let (host, port) = tokio::io::duplex(PIPE_BYTES);
    guest(port, b"cove-agent b-1\n", echo);
    let (mux, _end) = within(Mux::establish(host)).await.unwrap();
    // Its echo fills the window and stays there: it must not hold up anyone else.
    let mut sleeper = mux.open().await.unwrap();
    sleeper.write_all(&vec![7; 200 * 1024]).await.unwrap();
    let streams = (0..4_u8).map(|seed| {
        let mux = mux.clone();
        async move {
            let mut stream = mux.open().await.unwrap();
            let block: Vec<u8> = (0..64 * 1024_u32).map(|n| (n as u8).wrapping_mul(31) ^ seed).collect();
            let (mut reader, mut writer) = tokio::io::split(&mut stream);
            let write = async {
                for _ in 0..128 {
                    writer.write_all(&block).await.unwrap();
                }
                writer.shutdown().await.unwrap();
            };
            let read = async {
                let mut back = vec![0; block.len()];
                for _ in 0..128 {
                    reader.read_exact(&mut back).await.unwrap();
                    assert!(back == block, "bytes were changed or mixed up");
                }
                assert_eq!(reader.read(&mut back).await.unwrap(), 0);
            };
            tokio::join!(write, read);
        }
    });
    within(futures::future::join_all(streams)).await;
}

#[tokio::test]
async fn more_than_a_thousand_streams_live_at_once() {
    let (host, port) = tokio::io::duplex(PIPE_BYTES);
    guest(port, b"cove-agent b-1\n", echo);
    let (mux, _end) = within(Mux::establish(host)).await.unwrap();
    let opening = (0..1500_u32).map(|n| {
        let mux = mux.clone();
        async move {
            let mut stream = mux.open().await.unwrap();
            stream.write_all(&n.to_be_bytes()).await.unwrap();
            assert_eq!(stream.read_u32().await.unwrap(), n);
            stream
        }
    });
    let open = within(futures::future::join_all(opening)).await;
    let closing = open.into_iter().map(|stream| round_trip(stream, b"bye"));
    within(futures::future::join_all(closing)).await;
}

#[tokio::test]
async fn a_writer_is_freed_when_the_reader_goes_away_after_closing_its_half() {
    let finished = Arc::new(AtomicUsize::new(0));
    let (host, port) = tokio::io::duplex(PIPE_BYTES);
    let (done, mut dones) = mpsc::unbounded_channel();
    let counter = Arc::clone(&finished);
    guest(port, b"cove-agent b-1\n", move |mut stream| {
        let (done, counter) = (done.clone(), Arc::clone(&counter));
        async move {
            let _ = stream.write_all(&vec![1; 1 << 20]).await;
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = done.send(());
        }
    });
    let (mux, _end) = within(Mux::establish(host)).await.unwrap();
    for close_first in [true, false] {
        let mut stream = mux.open().await.unwrap();
        stream.write_all(b"go").await.unwrap();
        let mut some = [0; 1000];
        stream.read_exact(&mut some).await.unwrap();
        if close_first {
            stream.shutdown().await.unwrap();
        }
        drop(stream);
        within(dones.recv()).await.unwrap();
    }
    assert_eq!(finished.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_end_of_the_port_is_told_and_later_streams_are_refused() {
    let (host, port) = tokio::io::duplex(PIPE_BYTES);
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let mut port = BufReader::new(port);
        port.write_all(b"cove-agent b-1\n").await.unwrap();
        let _ = stopped.await;
    });
    let (mux, end) = within(Mux::establish(host)).await.unwrap();
    stop.send(()).unwrap();
    within(end).await.unwrap();
    assert!(matches!(within(mux.open()).await, Err(MuxError::Ended)));
}
