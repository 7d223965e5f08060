//! Runs of commands as the supervisor sees them: one thread watches each, and tells.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use automations::{Exit, Item, Runnable};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::folder::{Folder, Record};
use super::keep::UP;
use super::supervise::Event;
use super::tree;

/// Which command of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The task's command, or the service's `start`.
    Main,
    /// `ready`.
    Ready,
    /// `stop`.
    Stop,
}

/// A job: a command of an item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Job {
    pub(super) item: Item,
    pub(super) part: Part,
}

impl Job {
    pub(super) fn new(item: &Item, part: Part) -> Self {
        Self { item: item.clone(), part }
    }

    /// Its name in files. Names of items have no dots.
    pub(super) fn name(&self) -> String {
        let kind = match self.item {
            Item::Service(_) => "service",
            Item::Task(_) => "task",
        };
        let part = match self.part {
            Part::Main => "",
            Part::Ready => ".ready",
            Part::Stop => ".stop",
        };
        format!("{kind}.{}{part}", self.item.name())
    }
}

/// How often something that is about to be is looked for.
const PAUSE: Duration = Duration::from_millis(10);

/// How long a run of which nothing was written down yet may be on its way.
const BEGINNING: Duration = Duration::from_secs(10);

/// Starts a job and watches it. Its end is told in any case.
pub(super) fn start(
    folder: &Folder,
    job: Job,
    runnable: Runnable,
    limit: Option<Duration>,
    tell: &Sender<Event>,
) {
    let (folder, tell) = (folder.clone(), tell.clone());
    thread::spawn(move || {
        let outcome = launch(&folder, &job, &runnable);
        match outcome {
            Ok((keeper, line)) if line == UP => {
                let _ = tell.send(Event::Up(job.clone()));
                follow(&folder, &job, keeper, &runnable.token, limit, &tell);
            }
            // It ended before it could say more, perhaps well: its record tells.
            Ok((keeper, _)) => follow(&folder, &job, keeper, &runnable.token, limit, &tell),
            Err(error) => {
                let _ = tell.send(Event::Ended { job, exit: Exit::Unknown, why: Some(error) });
            }
        }
    });
}

/// Watches a job that another supervisor started.
pub(super) fn adopt(folder: &Folder, job: Job, keeper: i32, token: String, tell: &Sender<Event>) {
    let (folder, tell) = (folder.clone(), tell.clone());
    thread::spawn(move || {
        // One that was only just beginning comes up while nobody else listens.
        let is_up = || folder.record(&job.name()).is_some_and(|it| it.token == token && it.child.is_some());
        while !is_up() && matches!(folder.lock(&job.name()), Ok(None)) {
            thread::sleep(PAUSE);
        }
        let _ = tell.send(Event::Up(job.clone()));
        follow(&folder, &job, keeper, &token, None, &tell);
    });
}

/// Starts the process that stands over a run; its id and the first line it says.
fn launch(folder: &Folder, job: &Job, runnable: &Runnable) -> Result<(i32, String), String> {
    let failed = |error: std::io::Error| format!("could not start: {error}");
    let mut keeper = Command::new("/proc/self/exe")
        .args(["automations", "keep", &job.name(), "--folder"])
        .arg(folder.path())
        .env_remove(tree::MARK)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(failed)?;
    let pid = i32::try_from(keeper.id()).unwrap_or_default();
    if let Some(mut input) = keeper.stdin.take() {
        let text = serde_json::to_vec(runnable).map_err(|error| error.to_string())?;
        // One that ended at once does not read; its end says why.
        let _ = input.write_all(&text);
    }
    Ok((pid, first_line(keeper.stdout.take())))
}

fn first_line(output: Option<ChildStdout>) -> String {
    let mut line = String::new();
    if let Some(output) = output {
        let _ = BufReader::new(output).read_line(&mut line);
    }
    line.trim_end().to_owned()
}

/// Waits for the end of a run and tells how it was.
fn follow(
    folder: &Folder,
    job: &Job,
    keeper: i32,
    token: &str,
    limit: Option<Duration>,
    tell: &Sender<Event>,
) {
    if !wait_for(keeper, limit) {
        end(folder, job);
        wait_for(keeper, None);
    }
    let name = job.name();
    let record = folder.record(&name).filter(|record| record.token == token);
    let exit = record.and_then(|record| record.exit);
    let mut why = None;
    if exit.is_none() {
        why = match folder.lock(&name) {
            // Whoever stood over it was killed. What it had started has our mark.
            Ok(Some(_lock)) if tree::sweep(&folder.mark(&name)) => None,
            Ok(Some(_lock)) => Some("it cannot be ended".to_owned()),
            // What has the mark is another run's, in whose way this one was.
            Ok(None) => Some("another run of it is still there".to_owned()),
            Err(error) => Some(error.to_string()),
        };
    }
    let _ = tell.send(Event::Ended { job: job.clone(), exit: exit.unwrap_or(Exit::Unknown), why });
}

/// Waits for the end of a process; whether that came within the limit.
fn wait_for(pid: i32, limit: Option<Duration>) -> bool {
    let Some(process) = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return true;
    };
    let until = limit.map(|limit| Instant::now() + limit);
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], left.as_ref()) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

/// Kills everything of a job; its watcher tells the end.
pub(super) fn end(folder: &Folder, job: &Job) {
    if let Some(record) = folder.record(&job.name()).filter(|record| record.exit.is_none()) {
        let is_held = || !matches!(folder.lock(&job.name()), Ok(None));
        tree::kill_below(record.keeper, is_held);
    }
}

/// Asks the command of a job to end, once: some programs take a second time for an order to hurry.
pub(super) fn ask(folder: &Folder, job: &Job) {
    let name = job.name();
    let is_there = matches!(folder.lock(&name), Ok(None));
    let record = folder.record(&name).filter(|record| is_there && record.exit.is_none());
    if let Some(Record { token, child: Some(child), .. }) = record
        && folder.note_asked(&name, &token)
    {
        tree::ask_group(child);
    }
}

/// How a job stands that an earlier supervisor started.
pub(super) enum Found {
    /// It runs, under this process.
    Alive(i32),
    /// It has ended.
    Ended(Exit),
    /// It never began.
    Never,
}

/// Looks for a run of a job. One that is only just beginning is waited for.
pub(super) fn find(folder: &Folder, job: &Job, token: &str) -> Found {
    let name = job.name();
    let begun = Instant::now();
    loop {
        let is_free = !matches!(folder.lock(&name), Ok(None));
        let record = folder.record(&name).filter(|record| record.token == token);
        match record {
            Some(record) if is_free => return Found::Ended(record.exit.unwrap_or(Exit::Unknown)),
            Some(record) => return Found::Alive(record.keeper),
            None if is_free => {
                tree::sweep(&folder.mark(&name));
                return Found::Never;
            }
            // What is there is another run, which nobody wants any more.
            None if begun.elapsed() > BEGINNING => {
                end(folder, job);
                return Found::Never;
            }
            None => thread::sleep(PAUSE),
        }
    }
}

/// The shell's arguments for a command, and its variables.
pub(super) fn runnable(
    command: &str,
    env: BTreeMap<String, String>,
    folder: &str,
    token: String,
) -> Runnable {
    let argv = [super::shell(), "-c", command].map(str::to_owned).to_vec();
    Runnable { argv, env, folder: folder.to_owned(), token }
}
