//! Keeps a program running: starts it, waits until it answers, starts it again when it ends unasked.
//!
//! ```text
//!            answers                    ended
//!  Starting ---------> Ready --------------------.
//!      |  ended                                  v
//!      `-------------------------------------> Failed --pause--> Starting
//!  any --stop--> TERM, later KILL --> Stopped
//! ```
//! The pause doubles with each failure up to [`LONGEST_PAUSE`], and starts over once the program has run for a
//! while. Every line it writes goes to the journal under its name; the last ones are told with a failure.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use protocol::agent::{ComponentState, ExecEnd, Level};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::console::chain;
use crate::journal::Journal;
use crate::mounts;
use crate::reaper::{self, Process, Whom};

/// The first pause before another start.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After running this long a program counts as well again.
const WELL_AFTER: Duration = Duration::from_mins(1);
/// Lines told with a failure.
const TAIL_LINES: usize = 30;
/// Longest line taken from a program, in bytes.
const LONGEST_LINE: u64 = 16 << 10;

/// A program to keep running.
pub(crate) struct Part {
    /// Its name, for the host and the log.
    pub(crate) name: &'static str,
    /// Makes the command anew for each start.
    pub(crate) command: Box<dyn Fn() -> Command + Send + Sync>,
    /// Resolves when the program answers.
    pub(crate) answers: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
    /// How unlikely the kernel is to kill it when memory is short: -1000 never, 0 as likely as any.
    pub(crate) oom_score: i16,
    /// How long it may take to end when asked to.
    pub(crate) grace: Duration,
}

type Tail = Arc<Mutex<VecDeque<String>>>;

/// Runs a part until `stop` is cancelled and it has ended. `ready` is true while it answers.
pub(crate) async fn keep(part: Part, journal: Journal, ready: watch::Sender<bool>, stop: CancellationToken) {
    let mut restarts = 0;
    let mut pause = FIRST_PAUSE;
    let tail = Tail::default();
    loop {
        journal.component(part.name, ComponentState::Starting, restarts, Vec::new());
        let started = Instant::now();
        let cause = match start(&part, &journal, &tail) {
            Err(error) => format!("it could not be started: {}", chain(&error)),
            Ok(mut process) => {
                let ended = run(&part, &mut process, &journal, &ready, restarts, &stop).await;
                ready.send_replace(false);
                match ended {
                    None => break,
                    Some(ExecEnd::Exited { code }) => format!("it ended with status {code}"),
                    Some(ExecEnd::Signaled { number }) => format!("it was killed by signal {number}"),
                }
            }
        };
        if started.elapsed() > WELL_AFTER {
            pause = FIRST_PAUSE;
        }
        let lines = tail.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        journal.error(format!("{}: {cause}; next start in {} ms", part.name, pause.as_millis()));
        journal.component(part.name, ComponentState::Failed, restarts, lines);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => break,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
        restarts += 1;
    }
    journal.component(part.name, ComponentState::Stopped, restarts, Vec::new());
}

/// Waits for the end of one run. `None`: it was asked to end, and has.
async fn run(
    part: &Part,
    process: &mut Process,
    journal: &Journal,
    ready: &watch::Sender<bool>,
    restarts: u32,
    stop: &CancellationToken,
) -> Option<ExecEnd> {
    let mut answers = (part.answers)();
    let mut is_ready = false;
    loop {
        tokio::select! {
            () = &mut answers, if !is_ready => {
                is_ready = true;
                journal.component(part.name, ComponentState::Ready, restarts, Vec::new());
                ready.send_replace(true);
            }
            end = process.ended() => return Some(end),
            () = stop.cancelled() => break,
        }
    }
    if let Err(error) = process.signal(Signal::TERM, Whom::Process) {
        journal.warn(format!("{} cannot be asked to end: {error}", part.name));
    }
    if tokio::time::timeout(part.grace, process.ended()).await.is_err() {
        journal.warn(format!("{} did not end within {} s and is killed", part.name, part.grace.as_secs()));
        let _ = process.signal(Signal::KILL, Whom::Group);
        process.ended().await;
    }
    None
}

fn start(part: &Part, journal: &Journal, tail: &Tail) -> io::Result<Process> {
    use std::os::unix::process::CommandExt as _;
    let mut command = (part.command)();
    command.stdin(Stdio::null()).process_group(0);
    let reader = reaper::merge_output(&mut command)?;
    let (process, _) = reaper::spawn(&mut command)?;
    let pid = process.pid().as_raw_nonzero().get();
    if let Err(error) = mounts::join_cgroup(part.name, pid) {
        journal.warn(format!("{} has no cgroup of its own: {error}", part.name));
    }
    if let Err(error) = std::fs::write(format!("/proc/{pid}/oom_score_adj"), part.oom_score.to_string()) {
        journal.warn(format!("{} keeps its memory score: {error}", part.name));
    }
    let reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    tokio::spawn(follow(reader, part.name, journal.clone(), Arc::clone(tail)));
    Ok(process)
}

/// Turns a program's output into journal lines until its last holder has closed it.
async fn follow(reader: pipe::Receiver, name: &'static str, journal: Journal, tail: Tail) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            continue;
        }
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(text.to_owned());
        drop(tail);
        journal.write(level_of(text), name, text);
    }
}

/// The level in a line of `key=value` words, as containerd and dockerd write them. Errors of theirs are mostly
/// those of a container's start, which its owner is told anyway: they do not go to the console.
fn level_of(line: &str) -> Level {
    let level = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("level="));
    match level {
        Some("trace" | "debug") => Level::Debug,
        Some("warning" | "warn" | "error" | "fatal" | "panic") => Level::Warn,
        _ => Level::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::agent::{Component, Event};

    fn part(script: &'static str) -> Part {
        Part {
            name: "part",
            command: Box::new(move || {
                let mut command = Command::new("sh");
                command.args(["-c", script]);
                command
            }),
            answers: Box::new(|| Box::pin(async {})),
            oom_score: 0,
            grace: Duration::from_millis(300),
        }
    }

    /// Runs a part and gives the states it went through until `enough` of them came.
    async fn states(part: Part, enough: usize) -> Vec<Component> {
        let journal = Journal::new();
        let mut feed = journal.watch().feed;
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keep(part, journal, watch::Sender::new(false), stop.clone()));
        let reaper = tokio::spawn(reaper::run());
        let mut states = Vec::new();
        let deadline = Duration::from_secs(20);
        while states.len() < enough {
            let event =
                tokio::time::timeout(deadline, feed.recv()).await.expect("a state within the deadline");
            if let Ok(Event::Component(component)) = event {
                states.push(component);
            }
        }
        stop.cancel();
        tokio::time::timeout(deadline, keeper).await.expect("the part ends").unwrap();
        while let Ok(event) = feed.try_recv() {
            if let Event::Component(component) = event {
                states.push(component);
            }
        }
        reaper.abort();
        states
    }

    #[tokio::test]
    async fn a_program_that_ends_is_started_again_and_its_last_words_are_told() {
        let mut failing = part("echo cannot work; exit 4");
        failing.answers = Box::new(|| Box::pin(std::future::pending()));
        let states = states(failing, 3).await;
        assert_eq!(states[0].state, ComponentState::Starting);
        assert_eq!(states[1].state, ComponentState::Failed);
        assert_eq!((states[2].state, states[2].restarts), (ComponentState::Starting, 1));
    }

    #[tokio::test]
    async fn a_program_that_ignores_the_request_to_end_is_killed() {
        let states = states(part("trap '' TERM; while :; do sleep 0.05; done"), 2).await;
        let kinds: Vec<_> = states.iter().map(|component| component.state).collect();
        assert_eq!(kinds, [ComponentState::Starting, ComponentState::Ready, ComponentState::Stopped]);
    }

    #[test]
    fn levels_are_read_from_the_line() {
        assert_eq!(level_of(r#"time="x" level=warning msg="y""#), Level::Warn);
        assert_eq!(level_of("level=debug"), Level::Debug);
        assert_eq!(level_of("panic: something"), Level::Info);
    }
}
