//! The programs that a client starts: a login shell, or a command for it.
//!
//! Each leads a session of its own, as after any login. It is hung up when its channel or the whole connection goes
//! before it ends.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use russh::server::{Handle, Msg};
use russh::{ChannelWriteHalf, Sig};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use super::channels::Inlet;
use super::signals;
use super::terminal::{self, Wish};
use crate::session::{self, Kind};

/// Bytes carried at once: what one packet holds.
const PIECE: usize = 32 << 10;
/// How long a terminal is listened to after the end of its shell, when others still hold it and are silent.
const LINGER: Duration = Duration::from_millis(200);

/// What a client wants started.
pub(super) struct Program<'a> {
    pub(super) shell: &'a str,
    /// A command for the shell; a login shell without one.
    pub(super) command: Option<&'a [u8]>,
    pub(super) env: Vec<(String, String)>,
    pub(super) terminal: Option<Wish>,
}

/// Those that run, by the group that each leads.
#[derive(Clone, Default)]
pub(super) struct Processes(Arc<Mutex<HashSet<Pid>>>);

impl Processes {
    /// Tells all of them that their connection is gone.
    pub(super) fn hang_up_all(&self) {
        self.lock().iter().copied().for_each(hang_up);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stopped process could not act on the first signal.
fn hang_up(group: Pid) {
    for signal in [Signal::HUP, Signal::CONT] {
        let _ = kill_process_group(group, signal);
    }
}

/// A process that was started: what it is carried with.
pub(super) struct Started {
    child: Child,
    group: Pid,
    terminal: Option<Arc<OwnedFd>>,
    processes: Processes,
}

/// What can be told to one that runs.
pub(super) struct Running {
    group: Pid,
    terminal: Option<Arc<OwnedFd>>,
}

impl Running {
    pub(super) fn resize(&self, size: Winsize) {
        if let Some(terminal) = &self.terminal {
            // One that is closed has nobody to look at it.
            let _ = tcsetwinsize(terminal, size);
        }
    }

    pub(super) fn signal(&self, signal: &Sig) {
        if let Some(signal) = signals::of(signal) {
            let _ = kill_process_group(self.group, signal);
        }
    }
}

/// Starts a program.
pub(super) fn start(program: &Program<'_>, processes: &Processes) -> io::Result<Started> {
    let name = program.shell.rsplit('/').next().unwrap_or(program.shell);
    let kind = if program.terminal.is_some() { Kind::Terminal } else { Kind::Pipes };
    let mut command = match program.command {
        None => session::command(kind, &format!("-{name}"), program.shell),
        Some(line) => {
            let mut command = session::command(kind, name, program.shell);
            command.arg("-c").arg(OsStr::from_bytes(line));
            command
        }
    };
    command.env("SHELL", program.shell);
    // What programs look at to know that they are used from afar. There is no network in between to name.
    command.env("SSH_CONNECTION", "127.0.0.1 0 127.0.0.1 22").env_remove("SSH_TTY");
    command.envs(program.env.iter().map(|(name, value)| (name, value)));
    let terminal = if let Some(wish) = &program.terminal {
        let (ours, theirs, path) = terminal::open(wish)?;
        command.env("TERM", &wish.term).env("SSH_TTY", path);
        command.stdin(theirs.try_clone()?).stdout(theirs.try_clone()?).stderr(theirs);
        rustix::io::ioctl_fionbio(&ours, true)?;
        Some(Arc::new(ours))
    } else {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        None
    };
    let child = tokio::process::Command::from(command).spawn()?;
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let group = group.ok_or_else(|| io::Error::other("the process has no number"))?;
    processes.lock().insert(group);
    Ok(Started { child, group, terminal, processes: processes.clone() })
}

impl Started {
    pub(super) fn running(&self) -> Running {
        Running { group: self.group, terminal: self.terminal.clone() }
    }

    /// Carries its bytes until it has ended and all of its output is sent, or the client has closed the channel.
    pub(super) async fn carry(
        mut self,
        write: ChannelWriteHalf<Msg>,
        inlet: Inlet,
        closed: CancellationToken,
        client: Handle,
    ) {
        let ended = tokio::select! {
            ended = self.until_its_end(&write, inlet) => ended,
            () = closed.cancelled() => Ok(None),
        };
        self.processes.lock().remove(&self.group);
        let Ok(Some(status)) = ended else {
            hang_up(self.group);
            return;
        };
        // Whoever is gone by now does not miss what is left to say.
        let _ = match (status.code(), status.signal()) {
            (None, Some(number)) => {
                let name = signals::name(number);
                let dumped = status.core_dumped();
                client
                    .exit_signal_request(write.id(), name, dumped, String::new(), String::new())
                    .await
                    .map_err(|()| russh::Error::Disconnect)
            }
            (code, _) => write.exit_status(code.unwrap_or(255).cast_unsigned()).await,
        };
        let _ = write.eof().await;
        let _ = write.close().await;
    }

    async fn until_its_end(
        &mut self,
        write: &ChannelWriteHalf<Msg>,
        inlet: Inlet,
    ) -> io::Result<Option<ExitStatus>> {
        if let Some(terminal) = self.terminal.clone() {
            let input = pipe::Sender::from_owned_fd_unchecked(terminal.try_clone()?)?;
            let output = pipe::Receiver::from_owned_fd_unchecked(terminal.try_clone()?)?;
            let over = CancellationToken::new();
            let ended = async {
                let ended = self.child.wait().await;
                over.cancel();
                ended
            };
            return Ok(Some(tokio::select! {
                (ended, ()) = async { tokio::join!(ended, from_terminal(output, write, &over)) } => ended?,
                never = feed(inlet, Some(input), true) => match never {},
            }));
        }
        let input = self.child.stdin.take();
        let (output, errors) = (self.child.stdout.take(), self.child.stderr.take());
        let outputs =
            async { tokio::join!(from_pipe(output, write, None), from_pipe(errors, write, Some(1))) };
        Ok(Some(tokio::select! {
            // As everywhere in ssh: whoever holds an output open keeps the channel open.
            (ended, _) = async { tokio::join!(self.child.wait(), outputs) } => ended?,
            never = feed(inlet, input, false) => match never {},
        }))
    }
}

enum Never {}

/// Hands over what comes, and the end of it; a terminal has no other end than that of its client.
async fn feed(mut inlet: Inlet, to: Option<impl AsyncWrite + Unpin>, is_terminal: bool) -> Never {
    if let Some(mut to) = to {
        while let Some(piece) = inlet.next().await {
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
        if is_terminal {
            std::future::pending::<()>().await;
        }
    }
    drop(inlet);
    std::future::pending().await
}

async fn from_pipe(
    from: Option<impl AsyncRead + Unpin>,
    write: &ChannelWriteHalf<Msg>,
    extended: Option<u32>,
) {
    let Some(mut from) = from else { return };
    loop {
        let mut piece = BytesMut::with_capacity(PIECE);
        match from.read_buf(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let sent = match extended {
                    Some(kind) => write.extended_data_bytes(kind, piece.freeze()).await,
                    None => write.data_bytes(piece.freeze()).await,
                };
                if sent.is_err() {
                    return;
                }
            }
        }
    }
}

/// Reads a terminal until nobody has it any more, or its shell has ended and those who still have it are silent.
async fn from_terminal(mut from: pipe::Receiver, write: &ChannelWriteHalf<Msg>, over: &CancellationToken) {
    loop {
        let mut piece = BytesMut::with_capacity(PIECE);
        let silence = async {
            over.cancelled().await;
            tokio::time::sleep(LINGER).await;
        };
        let read = tokio::select! {
            biased;
            read = from.read_buf(&mut piece) => read,
            () = silence => return,
        };
        match read {
            // A terminal that nobody has is an error to read.
            Ok(0) | Err(_) => return,
            Ok(_) => {
                if write.data_bytes(piece.freeze()).await.is_err() {
                    return;
                }
            }
        }
    }
}
