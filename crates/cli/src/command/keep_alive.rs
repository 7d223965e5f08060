//! `cove keep-alive`

use std::process::ExitStatus;
use std::time::Duration;

use api::{EnvironmentId, KeepAlive, Problem, ProblemCode};
use client::Client;
use futures::StreamExt;
use host::signals::is_ignored;
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::ssh;
use crate::arguments::KeepAliveArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::select;

/// Pause before a daemon that went away is asked again. One that begins anew stops nothing for minutes.
const PAUSE: Duration = Duration::from_secs(1);

/// What is handed on to the command, unless it was ignored from the beginning: then the command ignores it too, as it would
/// without us.
const HANDED_ON: [(SignalKind, Signal); 6] = [
    (SignalKind::hangup(), Signal::HUP),
    (SignalKind::interrupt(), Signal::INT),
    (SignalKind::quit(), Signal::QUIT),
    (SignalKind::terminate(), Signal::TERM),
    (SignalKind::user_defined1(), Signal::USR1),
    (SignalKind::user_defined2(), Signal::USR2),
];

/// Runs a command on this computer. The environment is in use until it ends, however it ends: the daemon sees the
/// connection go.
pub(super) async fn run(context: &Context, arguments: KeepAliveArguments) -> Result<(), Failure> {
    let KeepAliveArguments { environment, command } = arguments;
    let client = context.client().await?;
    let environment = select::environment(&client, environment.as_deref()).await?;
    let environment = ssh::bring_up(context, &client, environment).await?;
    let program = command.first().cloned().unwrap_or_default();
    let asked = KeepAlive { command: program.rsplit('/').next().unwrap_or_default().to_owned() };
    // It holds before the command begins, and what is wrong is told then.
    let held = client.keep_alive(environment.id.as_str(), &asked).await?;
    let holding = tokio::spawn(hold(client, environment.id, asked, held));
    let ended = run_here(&command).await.map_err(|error| {
        Problem::new(ProblemCode::InvalidRequest, format!("`{program}` cannot be run")).caused_by(&error)
    });
    holding.abort();
    status_of(ended?)
}

/// Holds for as long as it is polled; what ended with the daemon begins again with the next.
async fn hold(client: Client, id: EnvironmentId, asked: KeepAlive, mut held: client::Lines<KeepAlive>) {
    loop {
        while let Some(Ok(_)) = held.next().await {}
        held = loop {
            tokio::time::sleep(PAUSE).await;
            if let Ok(again) = client.keep_alive(id.as_str(), &asked).await {
                break again;
            }
        };
    }
}

async fn run_here(command: &[String]) -> std::io::Result<ExitStatus> {
    let (tell, mut told) = mpsc::unbounded_channel();
    for (kind, number) in HANDED_ON.into_iter().filter(|(_, it)| !is_ignored(it.as_raw())) {
        let (mut signals, tell) = (signal(kind)?, tell.clone());
        tokio::spawn(async move { while signals.recv().await.is_some() && tell.send(number).is_ok() {} });
    }
    let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut child = tokio::process::Command::new(program).args(arguments).spawn()?;
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    loop {
        tokio::select! {
            ended = child.wait() => return ended,
            Some(number) = told.recv() => {
                if let Some(pid) = pid.filter(|_| !(is_key(number) && is_foreground())) {
                    // It may have ended just now.
                    let _ = kill_process(pid, number);
                }
            }
        }
    }
}

/// Whether a signal is what a terminal makes of Ctrl-C and Ctrl-\.
fn is_key(signal: Signal) -> bool {
    matches!(signal, Signal::INT | Signal::QUIT)
}

/// Whether keys of a terminal reach this process. They reach the command as well then, and we wait for what it makes of
/// them.
fn is_foreground() -> bool {
    let Ok(terminal) = std::fs::File::open("/dev/tty") else { return false };
    tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp())
}

fn status_of(status: ExitStatus) -> Result<(), Failure> {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    if code == 0 { Ok(()) } else { Err(Failure::Status(u8::try_from(code).unwrap_or(1))) }
}
