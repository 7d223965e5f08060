//! What runs behind the fake daemon's exec, and the tests of `cove exec` that need no terminal.

use std::io::{Read, Seek, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

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
        ["deaf"] => {
            say(&mut stream, FrameKind::Output, b"ready\n").await?;
            std::future::pending().await
        }
        ["sh", ..] => match really(&mut stream, &request).await? {
            Some(end) => end,
            None => return Ok(()),
        },
        _ => shell(&mut stream, &request).await?,
    };
    stream.write_all(&encode_json(&end)).await
}

/// Runs a real process on this computer in the place of one in a container. As the daemon does, it is killed when its
/// client goes away; nothing then.
async fn really(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &ExecRequest,
) -> std::io::Result<Option<ExecEnd>> {
    let mut command = tokio::process::Command::new(&request.argv[0]);
    command.args(&request.argv[1..]).envs(&request.env).kill_on_drop(true).stdin(Stdio::piped());
    command.current_dir(request.cwd.as_deref().unwrap_or("/")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut input = child.stdin.take();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    if !request.input {
        input = None;
    }
    let mut decoder = FrameDecoder::new();
    let (mut open, mut buffers) = ([true; 2], [[0; 4096], [0; 4096]]);
    let [out_buffer, err_buffer] = &mut buffers;
    while open != [false; 2] {
        let (mut read, mut write) = tokio::io::split(&mut *stream);
        tokio::select! {
            count = out.read(out_buffer), if open[0] => match count? {
                0 => open[0] = false,
                count => say(&mut write, FrameKind::Output, &out_buffer[..count]).await?,
            },
            count = err.read(err_buffer), if open[1] => match count? {
                0 => open[1] = false,
                count => say(&mut write, FrameKind::ErrorOutput, &err_buffer[..count]).await?,
            },
            frame = next_frame(&mut read, &mut decoder) => match frame {
                Ok(frame) if frame.kind == FrameKind::Input && frame.payload.is_empty() => input = None,
                Ok(frame) if frame.kind == FrameKind::Input => {
                    if let Some(input) = &mut input {
                        // A process that does not read its input is none of a daemon's mistakes.
                        let _ = input.write_all(&frame.payload).await;
                    }
                }
                Ok(_) => {}
                Err(_) => return Ok(None),
            },
        }
    }
    Ok(Some(ExecEnd::Exited { code: child.wait().await?.code().unwrap_or(128) }))
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

#[test]
fn a_process_that_does_not_read_its_input_can_be_interrupted() {
    let fake = fake();
    let mut much = tempfile::tempfile().unwrap();
    much.write_all(&vec![b'x'; 16 << 20]).unwrap();
    much.rewind().unwrap();
    let mut command = fake.cove(&["exec", "web", "--", "deaf"]);
    let mut child = command.stdin(much).stdout(Stdio::piped()).spawn().unwrap();
    let mut greeting = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut greeting).unwrap();
    // All that is between the two is full by then.
    std::thread::sleep(Duration::from_millis(500));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let asked = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if asked.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(128 + 2));
}
