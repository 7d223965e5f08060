//! Joins a process inside with the caller's input, output, terminal and signals.
//!
//! ```text
//! stdin (thread) ─┐
//! SIGWINCH ───────┼─► pump (task) ──► ExecInput        ExecOutput ──► stdout, stderr
//! SIGINT, … ──────┘
//! ```
//! The two directions do not wait for each other: a process that does not read its input still gets its output shown.

use std::io;
use std::pin::pin;
use std::time::Duration;

use client::{ExecEvent, ExecInput, ExecSession};
use devcontainer_cli::terminal::{self, RawTerminal};
use protocol::agent::{ExecControl, TerminalSize};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::output;

/// How long what is being sent may hold up a signal that asks for an end.
const SENDING: Duration = Duration::from_secs(1);

/// How a process is joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joint {
    /// A terminal: raw mode, sizes, and every key goes inside.
    Terminal,
    /// Pipes, with standard input.
    Pipes,
    /// Pipes, without input.
    OutputOnly,
}

/// Runs a process to its end, whose status becomes ours.
pub(crate) async fn attach(session: ExecSession, joint: Joint) -> Result<(), Failure> {
    let ExecSession { input, output: mut process } = session;
    let signals = Signals::new().map_err(broken_terminal)?;
    let raw = match joint {
        Joint::Terminal => Some(RawTerminal::enter().map_err(broken_terminal)?),
        Joint::Pipes | Joint::OutputOnly => None,
    };
    let keys = (joint != Joint::OutputOnly).then(terminal::read_input);
    let mut pump = tokio::spawn(pump(input, keys, signals, joint));
    let result = loop {
        tokio::select! {
            event = process.next() => match event {
                Ok(ExecEvent::Output(bytes)) => {
                    if let Err(closed) = output::write(&bytes) {
                        break Err(closed);
                    }
                }
                Ok(ExecEvent::ErrorOutput(bytes)) => {
                    if let Err(closed) = output::write_error(&bytes) {
                        break Err(closed);
                    }
                }
                Ok(ExecEvent::Ended(end)) => break match end.status() {
                    0 => Ok(()),
                    status => Err(Failure::Status(u8::try_from(status & 0xff).unwrap_or(1))),
                },
                Err(error) => break Err(error.into()),
            },
            ended = &mut pump => match ended {
                Ok(number) => break Err(Failure::Status(128 + number)),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
        }
    };
    pump.abort();
    drop(raw);
    result
}

/// What goes to the process next.
enum Next {
    Input(Vec<u8>),
    EndOfInput,
    Control(ExecControl),
}

/// Hands input, sizes and signals over, as long as the process takes them. Ends, with the signal's number, only
/// when this program shall end.
async fn pump(
    mut input: ExecInput,
    mut keys: Option<mpsc::Receiver<Vec<u8>>>,
    signals: Signals,
    joint: Joint,
) -> u8 {
    let Signals { mut size, mut ending } = signals;
    // A terminal's ctrl-c is a key, so a signal comes from outside and means this program. Without one the process is
    // asked first; whoever asks twice does not want to wait.
    let is_for_us = |number, asked| joint == Joint::Terminal || asked || number == SIGHUP;
    let (mut asked, mut due) = (false, None);
    loop {
        let next = if let Some(number) = due.take() {
            Next::Control(ExecControl::Signal { number: i32::from(number) })
        } else {
            tokio::select! {
                piece = receive(&mut keys) => if let Some(bytes) = piece {
                    Next::Input(bytes)
                } else {
                    keys = None;
                    Next::EndOfInput
                },
                _ = size.recv(), if joint == Joint::Terminal => {
                    let engine::TerminalSize { rows, columns } = terminal::size();
                    Next::Control(ExecControl::Resize(TerminalSize { rows, columns }))
                },
                number = ending.next() => {
                    if is_for_us(number, asked) {
                        return number;
                    }
                    (asked, due) = (true, Some(number));
                    continue;
                },
            }
        };
        let mut sending = pin!(async {
            match &next {
                Next::Input(bytes) => input.send(bytes).await,
                Next::EndOfInput => input.close().await,
                Next::Control(control) => input.control(control).await,
            }
        });
        let sent = tokio::select! {
            sent = &mut sending => sent,
            number = ending.next() => {
                if is_for_us(number, asked) {
                    return number;
                }
                (asked, due) = (true, Some(number));
                // The process may not read, and nothing can be said before the rest of this. With us gone it is ended.
                tokio::select! {
                    sent = &mut sending => sent,
                    number = ending.next() => return number,
                    () = tokio::time::sleep(SENDING) => return number,
                }
            },
        };
        if sent.is_err() {
            // The process ended or closed its input: what is left to say comes as output.
            keys = None;
        }
    }
}

/// The next input; waits for ever once there is none any more.
async fn receive(keys: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match keys {
        Some(keys) => keys.recv().await,
        None => std::future::pending().await,
    }
}

const SIGHUP: u8 = 1;
const SIGINT: u8 = 2;
const SIGQUIT: u8 = 3;
const SIGTERM: u8 = 15;

/// Signals that mean something while a process is joined.
struct Signals {
    size: Signal,
    ending: EndingSignals,
}

/// Signals that ask for an end.
struct EndingSignals {
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            size: signal(SignalKind::window_change())?,
            ending: EndingSignals {
                hangup: signal(SignalKind::hangup())?,
                interrupt: signal(SignalKind::interrupt())?,
                quit: signal(SignalKind::quit())?,
                terminate: signal(SignalKind::terminate())?,
            },
        })
    }
}

impl EndingSignals {
    /// The number of the next one. Linux and macOS agree on these.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.hangup.recv() => SIGHUP,
            _ = self.interrupt.recv() => SIGINT,
            _ = self.quit.recv() => SIGQUIT,
            _ = self.terminate.recv() => SIGTERM,
        }
    }
}

fn broken_terminal(error: io::Error) -> Failure {
    api::Problem::new(api::ProblemCode::Internal, "could not take the terminal over").caused_by(&error).into()
}
