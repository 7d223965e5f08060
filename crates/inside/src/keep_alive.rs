//! Keeps the environment in use for as long as a command runs.
//!
//! It is a hold by being there: the daemon asks whether such a process runs in the container before it stops one that
//! nobody uses. So there is nothing to give back, however the process ends.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitCode;

use protocol::inside::{KEEP_ALIVE, PROGRAM};
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::chain;

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

/// `keep-alive [--] COMMAND ARGUMENT…`: runs the command, and ends as it ends.
pub(crate) fn main(mut words: Vec<OsString>) -> Result<ExitCode, String> {
    if words.first().is_some_and(|word| word == "--") {
        words.remove(0);
    }
    let Some((program, arguments)) = words.split_first() else {
        return Err(format!("say what to run: {PROGRAM} {KEEP_ALIVE} -- COMMAND"));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let ended = runtime.block_on(run(program, arguments));
    let status =
        ended.map_err(|error| format!("cannot run {}: {}", program.to_string_lossy(), chain(&error)))?;
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

async fn run(program: &OsString, arguments: &[OsString]) -> std::io::Result<std::process::ExitStatus> {
    let (tell, mut told) = mpsc::unbounded_channel();
    let ignored = ignored();
    for (kind, number) in HANDED_ON.into_iter().filter(|(_, it)| ignored >> (it.as_raw() - 1) & 1 == 0) {
        let (mut signals, tell) = (signal(kind)?, tell.clone());
        tokio::spawn(async move { while signals.recv().await.is_some() && tell.send(number).is_ok() {} });
    }
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

/// The signals that this process ignores, a bit for each: `nohup` and `&` in a script have their command begin so.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or_default()
}

/// Whether a signal is what a terminal makes of Ctrl-C and Ctrl-\.
fn is_key(signal: Signal) -> bool {
    matches!(signal, Signal::INT | Signal::QUIT)
}

/// Whether keys of a terminal reach this process. They reach the command as well then, and we wait for what it makes of
/// them.
fn is_foreground() -> bool {
    let Ok(terminal) = fs::File::open("/dev/tty") else { return false };
    tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp())
}

/// `kept-alive`: whether a hold is there.
pub(crate) fn is_held() -> Result<ExitCode, String> {
    let processes = fs::read_dir("/proc").map_err(|error| error.to_string())?;
    let pids = processes.flatten().filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    });
    // One that ended in between has no words.
    let mut words = pids.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let held = words.any(|words| is_hold(&words));
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether these words, each ended by a zero, are those of a hold.
fn is_hold(words: &[u8]) -> bool {
    let mut words = words.split(|byte| *byte == 0);
    let name = PROGRAM.rsplit('/').next().unwrap_or(PROGRAM).as_bytes();
    let program = words.next().and_then(|program| program.rsplit(|byte| *byte == b'/').next());
    program == Some(name) && words.next() == Some(KEEP_ALIVE.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_is_known_by_its_words() {
        assert!(is_hold(b"/dev/cove/bin/cove-inside\0keep-alive\0--\0make\0"));
        assert!(is_hold(b"cove-inside\0keep-alive\0make\0"));
        for other in
            [&b"/dev/cove/bin/cove-inside\0kept-alive\0"[..], b"sh\0-c\0cove-inside keep-alive\0", b""]
        {
            assert!(!is_hold(other), "{}", String::from_utf8_lossy(other));
        }
    }
}
