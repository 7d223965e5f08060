//! The whole server over an in-memory transport, with a host that speaks the real protocol.

mod containers;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use protocol::agent::{Event, Exec, ExecControl, ExecEnd, FailureKind, Reply, Request, Target, TerminalSize};
use protocol::{Frame, FrameDecoder, FrameKind, encode_json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};

use crate::machine::Machine;
use crate::reaper;

const DEADLINE: Duration = Duration::from_mins(1);

/// What `cove-session` does, for a test in which no such program exists. Nothing writes it: a child that another test is
/// just starting would have it open for writing still when it is to be run.
const SESSION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/tests/session.sh");

/// The host's end, and the machine's folder.
struct Host {
    open: mpsc::Sender<oneshot::Sender<yamux::Stream>>,
    folder: TempDir,
    machine: Arc<Machine>,
}

/// One stream at the host's end.
struct Talk {
    stream: Compat<yamux::Stream>,
    decoder: FrameDecoder,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = Arc::new(Machine::new("b00t".into(), SESSION.into()));
        let (host, agent) = tokio::io::duplex(64 << 10);
        tokio::spawn(reaper::run());
        let served = Arc::clone(&machine);
        tokio::spawn(async move { super::serve(agent.compat(), served).await });
        let mut config = yamux::Config::default();
        config.set_max_num_streams(super::STREAMS);
        let mut connection = yamux::Connection::new(host.compat(), config, yamux::Mode::Client);
        let (open, mut wanted) = mpsc::channel::<oneshot::Sender<yamux::Stream>>(16);
        tokio::spawn(async move {
            let mut waiting: Option<oneshot::Sender<yamux::Stream>> = None;
            poll_fn(|context| {
                loop {
                    if waiting.is_none()
                        && let Poll::Ready(next) = wanted.poll_recv(context)
                    {
                        // Without a sender the test is over, and the transport is cut.
                        let Some(next) = next else { return Poll::Ready(()) };
                        waiting = Some(next);
                    }
                    if waiting.is_some()
                        && let Poll::Ready(stream) = connection.poll_new_outbound(context)
                    {
                        let asker = waiting.take().expect("it was just there");
                        let _ = asker.send(stream.unwrap());
                        continue;
                    }
                    match connection.poll_next_inbound(context) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(None | Some(Err(_))) => return Poll::Ready(()),
                        Poll::Ready(Some(Ok(_))) => panic!("the agent opens no streams"),
                    }
                }
            })
            .await;
        });
        Self { open, folder, machine }
    }

    async fn ask(&self, request: &Request) -> Talk {
        let mut talk = self.talk().await;
        talk.stream.write_all(&encode_json(request)).await.unwrap();
        talk.stream.flush().await.unwrap();
        talk
    }

    async fn talk(&self) -> Talk {
        let (asker, stream) = oneshot::channel();
        self.open.send(asker).await.unwrap();
        Talk { stream: stream.await.unwrap().compat(), decoder: FrameDecoder::new() }
    }

    /// A unix socket in the machine that gives back what it gets, and ends when its peer has ended.
    fn echo(&self) -> Request {
        let path = self.folder.path().join("echo.sock");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        Request::Connect(Target::Unix { path: path.to_str().unwrap().to_owned() })
    }
}

impl Talk {
    async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return Some(frame);
            }
            let mut piece = vec![0; 64 << 10];
            match timeout(DEADLINE, self.stream.read(&mut piece)).await.expect("an answer in time").unwrap() {
                0 => return None,
                count => self.decoder.push(&piece[..count]),
            }
        }
    }

    async fn message<T: serde::de::DeserializeOwned>(&mut self) -> T {
        self.frame().await.expect("a message").message().unwrap()
    }

    async fn send(&mut self, kind: FrameKind, bytes: &[u8]) {
        self.stream.write_all(&Frame::new(kind, bytes).encode()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn control(&mut self, control: ExecControl) {
        self.stream.write_all(&encode_json(&control)).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn pid(&mut self) -> i32 {
        match self.message().await {
            Reply::Started { pid } => pid,
            other => panic!("not started: {other:?}"),
        }
    }

    /// Output until this text has come.
    async fn until(&mut self, text: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(text) {
            let frame = self.frame().await.unwrap_or_else(|| panic!("the end came before `{text}`: {seen}"));
            assert_eq!(frame.kind, FrameKind::Output, "{}", String::from_utf8_lossy(&frame.payload));
            seen.push_str(&String::from_utf8_lossy(&frame.payload));
        }
        seen
    }

    /// All output, all error output, and the end.
    async fn rest(&mut self) -> (String, String, ExecEnd) {
        let (mut output, mut errors) = (String::new(), String::new());
        loop {
            let frame = self.frame().await.expect("the end is told before the stream ends");
            let text = String::from_utf8_lossy(&frame.payload);
            match frame.kind {
                FrameKind::Output => output.push_str(&text),
                FrameKind::ErrorOutput => errors.push_str(&text),
                _ => {
                    let end = frame.message().unwrap();
                    assert!(self.frame().await.is_none(), "the end is the last frame");
                    return (output, errors, end);
                }
            }
        }
    }
}

fn exec(script: &str) -> Exec {
    Exec {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: BTreeMap::from([("GIVEN".to_owned(), "value".to_owned())]),
        cwd: Some("/tmp".to_owned()),
        terminal: None,
        input: false,
    }
}

#[tokio::test]
async fn hello_is_answered_and_a_request_of_the_future_is_refused_alone() {
    let host = Host::new();
    let mut future = host.talk().await;
    future.send(FrameKind::Message, br#"{"type":"teleport"}"#).await;
    let Reply::Failed(failure) = future.message().await else { panic!("refused") };
    assert_eq!(failure.kind, FailureKind::Invalid);
    let request = Request::Hello { protocol: protocol::VERSION, version: "9".into() };
    let Reply::Hello(hello) = host.ask(&request).await.message().await else { panic!("hello") };
    assert_eq!((hello.boot_id.as_str(), hello.configured), ("b00t", false));
}

#[tokio::test]
async fn a_process_has_its_pipes_its_environment_and_its_status() {
    let host = Host::new();
    let mut request = exec("pwd; echo $GIVEN; cat; echo problem >&2; exit 3");
    request.input = true;
    let mut talk = host.ask(&Request::Exec(request)).await;
    talk.pid().await;
    talk.send(FrameKind::Input, b"typed").await;
    talk.send(FrameKind::Input, b"").await;
    let (output, errors, end) = talk.rest().await;
    assert_eq!((output.as_str(), errors.as_str()), ("/tmp\nvalue\ntyped", "problem\n"));
    assert_eq!(end, ExecEnd::Exited { code: 3 });
}

#[tokio::test]
async fn much_input_is_held_back_while_the_process_does_not_read() {
    let host = Host::new();
    let mut request = exec("read -r go < /proc/self/fd/0; sleep 0.2; wc -c");
    request.input = true;
    let mut talk = host.ask(&Request::Exec(request)).await;
    talk.pid().await;
    talk.send(FrameKind::Input, b"go\n").await;
    for _ in 0..32 {
        talk.send(FrameKind::Input, &vec![b'x'; 128 << 10]).await;
    }
    talk.send(FrameKind::Input, b"").await;
    let (output, _, end) = talk.rest().await;
    assert_eq!((output.trim(), end), ("4194304", ExecEnd::Exited { code: 0 }));
}

#[tokio::test]
async fn a_terminal_has_a_size_takes_keys_and_can_be_resized() {
    let host = Host::new();
    let mut request = exec("trap 'stty size; exit 5' INT; stty size; while :; do sleep 0.02; done");
    // Whoever runs the tests in the background has interrupts ignored, and a shell cannot take that back.
    request.argv.splice(0..0, ["env", "--default-signal"].map(str::to_owned));
    request.terminal = Some(TerminalSize { rows: 24, columns: 80 });
    let mut talk = host.ask(&Request::Exec(request)).await;
    talk.pid().await;
    talk.until("24 80").await;
    talk.control(ExecControl::Resize(TerminalSize { rows: 50, columns: 132 })).await;
    talk.send(FrameKind::Input, &[3]).await;
    let (output, _, end) = talk.rest().await;
    assert!(output.contains("50 132"), "{output}");
    assert_eq!(end, ExecEnd::Exited { code: 5 });
}

#[tokio::test]
async fn a_signal_reaches_the_whole_group() {
    let host = Host::new();
    let mut talk = host.ask(&Request::Exec(exec("sleep 600 & echo ready; wait"))).await;
    talk.pid().await;
    talk.until("ready").await;
    talk.control(ExecControl::Signal { number: 15 }).await;
    assert_eq!(talk.rest().await.2, ExecEnd::Signaled { number: 15 });
}

#[tokio::test]
async fn a_cut_stream_ends_its_process() {
    let host = Host::new();
    let mut talk = host.ask(&Request::Exec(exec("echo ready; exec sleep 600"))).await;
    let process = format!("/proc/{}", talk.pid().await);
    talk.until("ready").await;
    drop(talk);
    let gone = async {
        while Path::new(&process).exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, gone).await.expect("the process has ended");
}

#[tokio::test]
async fn a_program_or_folder_that_is_not_there_is_not_found() {
    let host = Host::new();
    let mut missing = exec("");
    missing.argv = vec!["no-such-program".to_owned()];
    let mut elsewhere = exec("true");
    elsewhere.cwd = Some("/no/such/folder".to_owned());
    for request in [missing, elsewhere] {
        let Reply::Failed(failure) = host.ask(&Request::Exec(request)).await.message().await else {
            panic!()
        };
        assert_eq!(failure.kind, FailureKind::NotFound, "{}", failure.message);
    }
    let target = Target::Unix { path: "/no/such/socket".to_owned() };
    let Reply::Failed(failure) = host.ask(&Request::Connect(target)).await.message().await else { panic!() };
    assert_eq!(failure.kind, FailureKind::NotFound, "{}", failure.message);
}

#[tokio::test]
async fn a_file_is_written_whole_with_its_folders_and_bits_or_not_at_all() {
    let host = Host::new();
    let place = host.folder.path().join("new/folder/file");
    let request = Request::PutFile { path: place.to_str().unwrap().to_owned(), mode: 0o750 };
    let mut cut = host.ask(&request).await;
    cut.send(FrameKind::Input, b"half of").await;
    cut.stream.shutdown().await.unwrap();
    assert!(cut.frame().await.is_none());
    assert!(!place.exists(), "a cut file is not there");

    let mut talk = host.ask(&request).await;
    talk.send(FrameKind::Input, b"whole ").await;
    talk.send(FrameKind::Input, b"file").await;
    talk.send(FrameKind::Input, b"").await;
    assert_eq!(talk.message::<Reply>().await, Reply::Done);
    assert_eq!(std::fs::read(&place).unwrap(), b"whole file");
    assert_eq!(place.metadata().unwrap().permissions().mode() & 0o7777, 0o750);
    let beside = std::fs::read_dir(place.parent().unwrap()).unwrap().count();
    assert_eq!(beside, 1, "nothing is left beside it");
}

#[tokio::test]
async fn a_watcher_hears_what_was_and_what_comes() {
    let host = Host::new();
    host.machine.journal.stage("root", Some(12));
    let mut talk = host.ask(&Request::Watch).await;
    assert_eq!(talk.message::<Reply>().await, Reply::Done);
    assert_eq!(talk.message::<Event>().await, Event::Stage { name: "root".into(), uptime_ms: 12 });
    host.machine.journal.warn("news");
    let Event::Log(line) = talk.message().await else { panic!("a line") };
    assert_eq!(line.message, "news");
}

#[tokio::test]
async fn a_connection_keeps_half_open_ends() {
    let host = Host::new();
    let mut talk = host.ask(&host.echo()).await;
    assert_eq!(talk.message::<Reply>().await, Reply::Done);
    talk.stream.write_all(b"last words").await.unwrap();
    talk.stream.shutdown().await.unwrap();
    let mut echoed = Vec::new();
    timeout(DEADLINE, talk.stream.read_to_end(&mut echoed)).await.unwrap().unwrap();
    assert_eq!(echoed, b"last words");
}

#[tokio::test]
async fn a_thousand_streams_and_bulk_both_ways_arrive_whole() {
    const BULK: usize = 64 << 20;
    let host = Host::new();
    let echo = host.echo();
    let mut bulk = host.ask(&echo).await;
    assert_eq!(bulk.message::<Reply>().await, Reply::Done);
    let bulk = tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(bulk.stream);
        let send = tokio::spawn(async move {
            let piece: Vec<u8> = (0..1 << 20).map(|index: usize| (index % 251) as u8).collect();
            for _ in 0..BULK / piece.len() {
                write.write_all(&piece).await.unwrap();
            }
            write.shutdown().await.unwrap();
        });
        let mut received = 0;
        let mut piece = vec![0; 64 << 10];
        loop {
            let count = read.read(&mut piece).await.unwrap();
            if count == 0 {
                break;
            }
            let expected = |index: usize| (((received + index) % (1 << 20)) % 251) as u8;
            assert!(piece[..count].iter().enumerate().all(|(index, byte)| *byte == expected(index)));
            received += count;
        }
        send.await.unwrap();
        received
    });
    let mut talks = Vec::new();
    for number in 0..1000u32 {
        let mut talk = host.ask(&echo).await;
        assert_eq!(talk.message::<Reply>().await, Reply::Done);
        talk.stream.write_all(&number.to_be_bytes()).await.unwrap();
        talk.stream.flush().await.unwrap();
        talks.push(talk);
    }
    for (number, talk) in talks.iter_mut().enumerate() {
        let echoed = timeout(DEADLINE, talk.stream.read_u32()).await.unwrap().unwrap();
        assert_eq!(echoed as usize, number);
    }
    assert_eq!(timeout(DEADLINE * 2, bulk).await.unwrap().unwrap(), BULK);
}

#[tokio::test]
async fn a_follower_is_told_of_a_new_listener_and_of_its_end() {
    let host = Host::new();
    let mut talk = host.ask(&Request::FollowListeners).await;
    let Reply::Listeners { .. } = talk.message().await else { panic!("what listens now") };
    let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut heard = async |wanted: bool| loop {
        let Reply::Listeners { listeners } = talk.message().await else { panic!("listeners") };
        if listeners.iter().any(|it| it.port == port && it.address == "::1") == wanted {
            return;
        }
    };
    timeout(DEADLINE, heard(true)).await.expect("it is seen");
    drop(listener);
    timeout(DEADLINE, heard(false)).await.expect("its end is seen");
}

#[tokio::test]
async fn datagrams_keep_their_borders_and_an_answer_finds_its_flow() {
    let host = Host::new();
    let server = tokio::net::UdpSocket::bind("[::1]:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut piece = vec![0; 64 << 10];
        while let Ok((count, from)) = server.recv_from(&mut piece).await {
            server.send_to(&piece[..count], from).await.unwrap();
        }
    });
    let target = Target::Udp { host: "::1".to_owned(), port, network_of: None };
    let mut talks =
        [host.ask(&Request::Connect(target.clone())).await, host.ask(&Request::Connect(target)).await];
    for (number, talk) in talks.iter_mut().enumerate() {
        assert_eq!(talk.message::<Reply>().await, Reply::Done);
        for length in [0, 1, 1200, 60_000] {
            talk.send(FrameKind::Input, &vec![number as u8; length]).await;
        }
    }
    for (number, talk) in talks.iter_mut().enumerate() {
        for length in [0, 1, 1200, 60_000] {
            let frame = talk.frame().await.unwrap();
            assert_eq!((frame.kind, frame.payload), (FrameKind::Output, vec![number as u8; length]));
        }
    }
}
