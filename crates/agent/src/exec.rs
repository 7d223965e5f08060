//! Runs a process in the guest for the host: pipes or a terminal, signals, and the way it ended.
//!
//! The process belongs to its stream: a stream that is cut ends the whole group, first with a hang-up, then for
//! good. What a process leaves running in the background keeps running, unless it holds the output open: then
//! output is carried for [`LINGER`] more, and dropped.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protocol::FrameKind;
use protocol::agent::{Exec, ExecControl, ExecEnd, FailureKind, Reply, TerminalSize};
use rustix::process::{Pid, Signal};
use rustix::pty::OpenptFlags;
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use crate::device::Device;
use crate::engine::find_program;
use crate::machine::Machine;
use crate::reaper::{self, Process, Whom};
use crate::server::{Channel, ChannelError, Refusal};
use crate::session;

/// Processes that the host may have at once.
const PROCESSES: usize = 512;
/// Bytes carried at once.
const PIECE: usize = 32 << 10;
/// How long output is carried after the end of the process, when others hold it open and are silent.
const LINGER: Duration = Duration::from_millis(200);
/// How long a process may take to end after its stream was cut.
const GRACE: Duration = Duration::from_secs(3);

/// Control-D: what a person types to end the input of a terminal.
const END_OF_INPUT: u8 = 4;

static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Counts a process as long as it is served.
struct Place;

impl Place {
    fn take() -> Option<Self> {
        let before = RUNNING.fetch_add(1, Ordering::Relaxed);
        let place = Self;
        (before < PROCESSES).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a process's input goes and its output comes from.
enum Ends {
    Terminal(Device),
    Pipes { input: Option<pipe::Sender>, output: pipe::Receiver, errors: pipe::Receiver },
}

/// Runs the process and carries its bytes.
pub(crate) async fn serve(
    mut channel: Channel,
    request: Exec,
    machine: &Arc<Machine>,
) -> Result<(), ChannelError> {
    let Some(place) = Place::take() else {
        let refusal = Refusal::new(FailureKind::TooMany, format!("{PROCESSES} processes run already"));
        return channel.finish(&Reply::from(refusal)).await;
    };
    let (process, ends) = match start(&request, machine) {
        Ok(started) => started,
        Err(refusal) => return channel.finish(&Reply::from(refusal)).await,
    };
    // From here on the process is ended with this value, however the stream goes.
    let mut process = Leash { process: Some(process), _place: place };
    channel.outgoing.message(&Reply::Started { pid: process.pid().as_raw_nonzero().get() }).await?;
    carry(channel, &mut process, ends).await
}

fn start(request: &Exec, machine: &Machine) -> Result<(Process, Ends), Refusal> {
    let Some((program, arguments)) = request.argv.split_first() else {
        return Err(Refusal::new(FailureKind::Invalid, "no program was named"));
    };
    let Some(file) = find_program(program) else {
        return Err(Refusal::new(FailureKind::NotFound, format!("no program `{program}` is in the guest")));
    };
    let folder = request.cwd.as_deref().unwrap_or("/");
    if !std::path::Path::new(folder).is_dir() {
        return Err(Refusal::new(FailureKind::NotFound, format!("no folder {folder} is in the guest")));
    }
    let mut command = Command::new(&machine.session);
    if request.terminal.is_some() {
        command.arg(session::TERMINAL);
    }
    command.arg(folder).arg(file).args(arguments);
    command.env_clear().env("PATH", session::PATH).env("HOME", "/root").env("LANG", "C.UTF-8");
    if request.terminal.is_some() {
        command.env("TERM", "xterm-256color");
    }
    command.envs(machine.environment.proxy()).env("SSL_CERT_FILE", crate::trust::BUNDLE).envs(&request.env);
    let started = match request.terminal {
        Some(size) => with_terminal(command, size),
        None => with_pipes(command, request.input),
    };
    started.map_err(|error| {
        let words = format!("cannot run `{program}`: {error}");
        Refusal::new(crate::server::kind_of(&error), words)
    })
}

fn with_terminal(mut command: Command, size: TerminalSize) -> io::Result<(Process, Ends)> {
    use rustix::pty::{grantpt, openpt, ptsname, unlockpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    resize(&master, size)?;
    let name = ptsname(&master, Vec::new())?;
    let opened = rustix::fs::open(
        name.as_c_str(),
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    let slave = File::from(opened);
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
    let (process, _) = reaper::spawn(&mut command)?;
    // Our copies of the slave end are in the command: the master sees the end only when they are closed.
    drop(command);
    Ok((process, Ends::Terminal(Device::new(master)?)))
}

fn with_pipes(mut command: Command, input: bool) -> io::Result<(Process, Ends)> {
    command.stdin(if input { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (process, child) = reaper::spawn(&mut command)?;
    let Child { stdin, stdout, stderr, .. } = child;
    let missing = || io::Error::other("a pipe that was asked for is not there");
    let output = pipe::Receiver::from_owned_fd(OwnedFd::from(stdout.ok_or_else(missing)?))?;
    let errors = pipe::Receiver::from_owned_fd(OwnedFd::from(stderr.ok_or_else(missing)?))?;
    let input = stdin.map(|stdin| pipe::Sender::from_owned_fd(OwnedFd::from(stdin))).transpose()?;
    Ok((process, Ends::Pipes { input, output, errors }))
}

fn resize(master: &impl std::os::fd::AsFd, size: TerminalSize) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).map_err(Into::into)
}

/// A process that ends with its holder.
struct Leash {
    process: Option<Process>,
    _place: Place,
}

impl Leash {
    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the process is taken only by drop")
    }

    fn pid(&mut self) -> Pid {
        self.process().pid()
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        if process.signal(Signal::HUP, Whom::Group).is_err() {
            return;
        }
        // Outside of a runtime nothing can be waited for; that is at the very end of the machine.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if tokio::time::timeout(GRACE, process.ended()).await.is_err() {
                    let _ = process.signal(Signal::KILL, Whom::Group);
                }
            });
        }
    }
}

async fn carry(channel: Channel, process: &mut Leash, ends: Ends) -> Result<(), ChannelError> {
    let Channel { mut incoming, mut outgoing } = channel;
    let (send, mut output) = mpsc::channel::<(FrameKind, Vec<u8>)>(4);
    let (master, input) = match ends {
        Ends::Terminal(master) => {
            tokio::spawn(follow(master.clone(), FrameKind::Output, send));
            (Some(master.clone()), Some(Input::Terminal(master)))
        }
        Ends::Pipes { input, output, errors } => {
            tokio::spawn(follow(errors, FrameKind::ErrorOutput, send.clone()));
            tokio::spawn(follow(output, FrameKind::Output, send));
            (None, input.map(Input::Pipe))
        }
    };
    let (feed, arriving) = mpsc::channel::<Vec<u8>>(1);
    let feeder = tokio::spawn(feed_input(input, arriving));
    let mut feed = Some(feed);
    let mut waiting: Option<Vec<u8>> = None;

    let end = loop {
        tokio::select! {
            end = process.process().ended() => break end,
            Some((kind, bytes)) = output.recv() => outgoing.bytes(kind, &bytes).await?,
            // Nothing is read from the host while the process does not take its input.
            room = room(feed.clone()), if waiting.is_some() => {
                if let (Some(room), Some(bytes)) = (room, waiting.take()) {
                    room.send(bytes);
                }
            }
            frame = incoming.frame(), if waiting.is_none() => match frame? {
                // The host has gone: the process ends with the leash. The end of the input is an empty frame.
                None => return Ok(()),
                Some(frame) => match frame.kind {
                    FrameKind::Input if frame.payload.is_empty() => feed = None,
                    FrameKind::Input if feed.is_some() => waiting = Some(frame.payload),
                    // Others are of a newer host; this agent cannot do them.
                    FrameKind::Message => if let Ok(control) = frame.message() {
                        obey(control, process.process(), master.as_ref());
                    },
                    _ => {}
                },
            },
        }
    };
    drop(feed);
    feeder.abort();
    while let Ok(Some((kind, bytes))) = tokio::time::timeout(LINGER, output.recv()).await {
        outgoing.bytes(kind, &bytes).await?;
    }
    outgoing.message::<ExecEnd>(&end).await?;
    outgoing.end().await
}

/// Waits until the process takes input. `None`: it never will, and the bytes are dropped.
async fn room(feed: Option<mpsc::Sender<Vec<u8>>>) -> Option<mpsc::OwnedPermit<Vec<u8>>> {
    feed?.reserve_owned().await.ok()
}

fn obey(control: ExecControl, process: &Process, master: Option<&Device>) {
    match control {
        ExecControl::Resize(size) => {
            if let Some(master) = master {
                // A terminal without readers cannot be resized; nobody looks at it.
                let _ = resize(master.file(), size);
            }
        }
        ExecControl::Signal { number } => {
            if let Some(signal) = Signal::from_named_raw(number) {
                let _ = process.signal(signal, Whom::Group);
            }
        }
    }
}

enum Input {
    Terminal(Device),
    Pipe(pipe::Sender),
}

async fn feed_input(input: Option<Input>, mut arriving: mpsc::Receiver<Vec<u8>>) {
    let Some(mut input) = input else { return };
    while let Some(bytes) = arriving.recv().await {
        let written = match &mut input {
            Input::Terminal(terminal) => terminal.write_all(&bytes).await,
            Input::Pipe(pipe) => pipe.write_all(&bytes).await,
        };
        if written.is_err() {
            return;
        }
    }
    if let Input::Terminal(terminal) = &mut input {
        let _ = terminal.write_all(&[END_OF_INPUT]).await;
    }
}

/// Reads until the end, as fast as the host takes it.
async fn follow(mut from: impl AsyncRead + Unpin, kind: FrameKind, to: mpsc::Sender<(FrameKind, Vec<u8>)>) {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(count) => {
                if to.send((kind, piece[..count].to_vec())).await.is_err() {
                    return;
                }
            }
        }
    }
}
