//! `exec`: runs a program in a container, joined with this process's terminal, input, output and exit status.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use engine::{Channel, ExecControl, ExecSession, TerminalSize};
use futures::StreamExt;
use provision::Masks;
use provision::workplace::Program;
use tokio::io::AsyncWriteExt;
use tokio::signal::unix::{SignalKind, signal};

use super::{Found, Running};
use crate::Surroundings;
use crate::arguments::{ExecArguments, LogFormat};
use crate::engines::Said;
use crate::log::Log;
use crate::outcome::{Failure, with_causes};
use crate::target::Asked;
use crate::terminal::{self, RawTerminal};

/// The status of a program that signal 13, `SIGPIPE`, ended: nobody reads what it writes.
const NOBODY_READS: i32 = 128 + 13;

/// What is said to fail.
const FAILING: &str = "An error occurred running the command in the container.";

pub(crate) async fn run(arguments: ExecArguments, surroundings: &Surroundings<'_>) -> ExitCode {
    let log = Log::new(arguments.log.log_level, arguments.log.log_format, Masks::default(), false);
    match exec(&arguments, surroundings, &log).await {
        Ok(status) => ExitCode::from(u8::try_from(status & 0xff).unwrap_or(1)),
        Err(failure) => {
            log.error(&failure.message);
            ExitCode::FAILURE
        }
    }
}

pub(crate) async fn exec(
    arguments: &ExecArguments,
    surroundings: &Surroundings<'_>,
    log: &Log,
) -> Result<i32, Failure> {
    let lookup = &arguments.lookup;
    let target = Asked::of(lookup, surroundings).read(FAILING)?;
    let said = Said { docker: &lookup.docker, compose: lookup.docker_compose_path.as_deref() };
    let found = Found::find(&target, true, said, surroundings, FAILING).await?;
    let running =
        Running { folders: &arguments.folders, probe: arguments.probe, remote_env: &arguments.remote_env };
    let mut inside = found.inside(running, surroundings, log);
    let place = inside.workplace(true).await?;
    let on_terminal = terminal::is_interactive();
    let program = Program {
        argv: arguments.command.clone(),
        terminal: (on_terminal || arguments.log.log_format == LogFormat::Json).then(|| size(arguments)),
        input: true,
        ..Program::default()
    };
    let session = found.engine.exec(&found.state.id, &place.exec_spec(program)).await;
    let session = session.map_err(|error| Failure::caused(FAILING, &error))?;
    join(session, on_terminal, arguments.log.terminal_rows.is_none()).await
}

/// The size of the terminal: as said, else that of this one.
fn size(arguments: &ExecArguments) -> TerminalSize {
    match (arguments.log.terminal_rows, arguments.log.terminal_columns) {
        (Some(rows), Some(columns)) => TerminalSize { rows, columns },
        _ => terminal::size(),
    }
}

/// Joins the program with this process until it ends; its exit status.
async fn join(session: ExecSession, raw: bool, follow_size: bool) -> Result<i32, Failure> {
    let ExecSession { mut input, mut output, control } = session;
    let mut ends_with_us = KillOnDrop(Some(control.clone()));
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::plain(with_causes(error));
    let guard = raw.then(RawTerminal::enter).transpose().map_err(|error| failed(&error))?;
    let resizing = (raw && follow_size).then(|| tokio::spawn(follow_terminal(control.clone())));
    let mut keys = terminal::read_input();
    let typing = tokio::spawn(async move {
        while let Some(piece) = keys.recv().await {
            if input.write_all(&piece).await.is_err() || input.flush().await.is_err() {
                return;
            }
        }
        // The program may wait for the end of its input; one that has ended does not mind.
        let _ = input.shutdown().await;
        std::future::pending::<()>().await;
    });
    let mut cut_off = None;
    while let Some(piece) = output.next().await {
        match piece {
            Ok((channel, bytes)) => {
                if let Err(error) = show(channel, &bytes) {
                    cut_off = Some(match error.kind() {
                        ErrorKind::BrokenPipe => Ok(NOBODY_READS),
                        _ => Err(Failure::plain(format!("could not write what the program says: {error}"))),
                    });
                    break;
                }
            }
            Err(error) => {
                cut_off = Some(Err(failed(&error)));
                break;
            }
        }
    }
    typing.abort();
    if let Some(resizing) = resizing {
        resizing.abort();
    }
    drop(guard);
    if let Some(ended) = cut_off {
        // Here and not by the guard, whose task would end with this process.
        let killed = control.kill().await;
        ends_with_us.0 = None;
        return ended.and_then(|status| killed.map(|()| status).map_err(|error| failed(&error)));
    }
    let status = control.exit_code().await.map_err(|error| failed(&error));
    ends_with_us.0 = None;
    status
}

/// Kills the program when this command is called off.
struct KillOnDrop(Option<ExecControl>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(control) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { control.kill().await });
        }
    }
}

fn show(channel: Channel, bytes: &[u8]) -> std::io::Result<()> {
    match channel {
        Channel::Out => {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        }
        Channel::Err => std::io::stderr().lock().write_all(bytes),
    }
}

/// Tells the program of every new size of this terminal.
async fn follow_terminal(control: ExecControl) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    while changes.recv().await.is_some() {
        if control.resize(terminal::size()).await.is_err() {
            return;
        }
    }
}
