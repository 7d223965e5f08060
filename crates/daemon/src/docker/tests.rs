use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use camino::Utf8PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::{DockerSockets, GUEST_SOCKET};
use crate::machine::testing::{Fixture, soon};

/// An engine that says what it heard once it has heard all of it, after a greeting.
fn engine(fixture: &Fixture) -> Utf8PathBuf {
    let path = fixture.paths.run_dir().join("engine-in-guest.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"hello ").await.unwrap();
                let mut heard = Vec::new();
                stream.read_to_end(&mut heard).await.unwrap();
                stream.write_all(&heard).await.unwrap();
            });
        }
    });
    fixture.shim.guest().put_socket(GUEST_SOCKET, &path);
    path
}

fn open(fixture: &Fixture) -> DockerSockets {
    let internal = fixture.paths.default_machine().engine_socket();
    DockerSockets::open(&fixture.machine, &fixture.paths.docker_socket(), &internal).unwrap()
}

async fn ask(path: &camino::Utf8Path, words: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(words).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn connecting_wakes_the_machine_and_half_close_passes() {
    let fixture = Fixture::new();
    engine(&fixture);
    let _sockets = open(&fixture);
    let socket = fixture.paths.docker_socket();
    assert_eq!(fs_err::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let answer = soon("the answer", ask(&socket, b"containers")).await;
    assert_eq!(answer, b"hello containers");
    assert_eq!(fixture.shim.starts(), 1);
}

#[tokio::test]
async fn the_daemons_own_socket_wakes_nothing() {
    let fixture = Fixture::new();
    engine(&fixture);
    let _sockets = open(&fixture);
    let engine = fixture.machine.engine();
    assert!(matches!(soon("the refusal", engine.ping()).await, Err(engine::EngineError::Unreachable { .. })));
    assert_eq!(fixture.shim.starts(), 0);
    fixture.run().await.unwrap();
    let answer = soon("the answer", ask(&fixture.paths.default_machine().engine_socket(), b"own")).await;
    assert_eq!(answer, b"hello own");
}

#[tokio::test]
async fn a_start_that_fails_answers_in_dockers_way_and_is_not_repeated_at_once() {
    let fixture = Fixture::new();
    let _sockets = open(&fixture);
    fixture.shim.fail_next_start("virtiofsd_missing", "not found");
    for _ in 0..3 {
        let request = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";
        let answer = soon("the answer", ask(&fixture.paths.docker_socket(), request)).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("[E0303]"), "{answer}");
    }
    assert_eq!(fixture.shim.starts(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_at_once_leave_nothing_behind() {
    let fixture = Fixture::new();
    engine(&fixture);
    fixture.run().await.unwrap();
    let _sockets = open(&fixture);
    let socket = fixture.paths.docker_socket();
    let before = open_descriptors();
    let mut streams = Vec::new();
    for number in 0..1000_u32 {
        let mut stream = soon("a connection", UnixStream::connect(&socket)).await.unwrap();
        stream.write_all(&number.to_be_bytes()).await.unwrap();
        streams.push(stream);
    }
    // All of them are through before the first one ends.
    for stream in &mut streams {
        let mut greeting = [0; 6];
        soon("a greeting", stream.read_exact(&mut greeting)).await.unwrap();
    }
    for (number, mut stream) in streams.into_iter().enumerate() {
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        soon("an answer", stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, u32::try_from(number).unwrap().to_be_bytes());
    }
    soon("the end of all connections", async {
        // Those of other tests count as well.
        while open_descriptors() > before + 300 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

fn open_descriptors() -> usize {
    fs_err::read_dir("/proc/self/fd").unwrap().count()
}
