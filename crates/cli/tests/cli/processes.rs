//! What runs behind the fake daemon's exec, and the tests of `cove exec` that need no terminal.

use std::io::{Read, Write};
use std::process::Stdio;

use api::ExecRequest;
use protocol::agent::{ExecControl, ExecEnd};
use protocol::{Frame, FrameDecoder, FrameKind, encode_json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::fake::{Fake, Ran, running};

/// Plays a process. A shell (no arguments) says what reaches it and ends with status 7 at a `q`.
pub(crate) async fn run(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: ExecRequest,
) -> std::io::Result<()> {
    let argv: Vec<&str> = request.argv.iter().map(String::as_str).collect();
    let end = match argv.as_slice() {
        ["describe"] => {
            say(&mut stream, FrameKind::Output, &serde_json::to_vec(&request)?).await?;
            ExecEnd::Exited { code: 0 }
        }
        ["both"] => {
            say(&mut stream, FrameKind::Output, b"out\n").await?;
            say(&mut stream, FrameKind::ErrorOutput, b"err\n").await?;
            ExecEnd::Exited { code: 3 }
        }
        ["killed"] => ExecEnd::Signaled { number: 9 },
        ["cut"] => return Ok(()),
        ["flood"] => loop {
            say(&mut stream, FrameKind::Output, &[b'x'; 4096]).await?;
        },
        ["cat"] => cat(&mut stream).await?,
        _ => shell(&mut stream, &request).await?,
    };
    stream.write_all(&encode_json(&end)).await
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), kind: FrameKind, text: &[u8]) -> std::io::Result<()> {
    stream.write_all(&Frame::new(kind, text).encode()).await
}

async fn next_frame(
    stream: &mut (impl AsyncRead + Unpin),
    decoder: &mut FrameDecoder,
) -> std::io::Result<Frame> {
    loop {
        if let Some(frame) = decoder.next().expect("the client sends no long frames") {
            return Ok(frame);
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => decoder.push(&buffer[..count]),
        }
    }
}

async fn cat(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<ExecEnd> {
    let mut decoder = FrameDecoder::new();
    loop {
        let frame = next_frame(stream, &mut decoder).await?;
        if frame.kind == FrameKind::Input && frame.payload.is_empty() {
            return Ok(ExecEnd::Exited { code: 0 });
        }
        say(stream, FrameKind::Output, &frame.payload).await?;
    }
}

async fn shell(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &ExecRequest,
) -> std::io::Result<ExecEnd> {
    let size = request.terminal.map(|size| format!("{}x{}", size.rows, size.columns));
    let greeting = format!("ready {}\r\n", size.as_deref().unwrap_or("without terminal"));
    say(stream, FrameKind::Output, greeting.as_bytes()).await?;
    let mut decoder = FrameDecoder::new();
    loop {
        let frame = next_frame(stream, &mut decoder).await?;
        let text = match frame.kind {
            FrameKind::Message => match frame.message()? {
                ExecControl::Resize(size) => format!("size {}x{}\r\n", size.rows, size.columns),
                ExecControl::Signal { number } => return Ok(ExecEnd::Signaled { number }),
            },
            _ if frame.payload.contains(&b'q') => return Ok(ExecEnd::Exited { code: 7 }),
            _ => format!("got {:?}\r\n", String::from_utf8_lossy(&frame.payload)),
        };
        say(stream, FrameKind::Output, text.as_bytes()).await?;
    }
}

fn fake() -> Fake {
    Fake::start(vec![running("web", "/srv/web")], Vec::new())
}

#[test]
fn a_command_gives_its_streams_and_its_status() {
    let ran = fake().run(&["exec", "web", "--", "both"]);
    assert_eq!((ran.out.as_str(), ran.err.as_str(), ran.status), ("out\n", "err\n", Some(3)));
    assert_eq!(fake().run(&["exec", "web", "--", "killed"]).status, Some(128 + 9));
}

#[test]
fn what_is_asked_for_reaches_the_daemon() {
    let fake = fake();
    let mut command =
        fake.cove(&["exec", "-u", "root", "-w", "/tmp", "-e", "A=1", "-e", "B", "web", "--", "describe"]);
    command.env("B", "two");
    let ran = Ran::of(command, fake.home.path());
    let request: ExecRequest = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(request.user.as_deref(), Some("root"));
    assert_eq!(request.cwd.as_deref(), Some("/tmp"));
    assert_eq!(
        request.env,
        [("A", "1"), ("B", "two")].map(|(name, value)| (name.into(), value.into())).into()
    );
    assert_eq!(request.terminal, None, "no terminal is there");
    assert!(request.input, "standard input is not a terminal, so it is handed over");
}

#[test]
fn input_goes_in_whole_and_its_end_is_told() {
    let fake = fake();
    let mut child = fake
        .cove(&["exec", "web", "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let sent: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
    let mut input = child.stdin.take().unwrap();
    let copy = sent.clone();
    let writer = std::thread::spawn(move || input.write_all(&copy));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == sent, "{} of {} bytes came back", output.stdout.len(), sent.len());
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let fake = fake();
    let mut command = fake.cove(&["exec", "web", "--", "flood"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut some = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut some).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 13));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_process_that_was_lost_or_refused_is_a_problem() {
    insta::assert_snapshot!(fake().run(&["exec", "web", "--", "cut"]).all(), @r"
    --- stderr
    error[E0007]: the connection ended before the process did
    hint: the process may still run: look with `ps` in a new shell
    see: cove explain E0007
    --- status 1
    ");
    insta::assert_snapshot!(fake().run(&["exec", "web", "--", "refused"]).all(), @r"
    --- stderr
    error[E0006]: `web` is not running
    see: cove explain E0006
    --- status 1
    ");
}

#[test]
fn signals_go_to_the_process() {
    let fake = fake();
    let mut command = fake.cove(&["shell", "web"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut greeting = [0; 24];
    child.stdout.as_mut().unwrap().read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"ready without terminal\r\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
}
