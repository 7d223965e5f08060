//! Stands over one run of one command: its lock, its log, its end, and the end of everything it started.

use std::fs;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use automations::{Exit, Runnable};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, set_child_subreaper, setsid, wait};

use super::folder::{Folder, Record};
use super::rotate::Log;
use super::tree;

/// What is said where the command runs; anything else is the reason why it does not.
pub(super) const UP: &str = "up";

/// How long output is still read after everything has ended: nobody can be there to write it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is read at once, in bytes.
const PIECE: usize = 16 * 1024;

/// Runs what standard input describes, as the job of this name.
pub(super) fn run(folder: &Folder, job: &str) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let mut description = Vec::new();
    io::stdin().take(1 << 20).read_to_end(&mut description).map_err(text)?;
    let runnable: Runnable = serde_json::from_slice(&description).map_err(|error| error.to_string())?;
    // Out of the supervisor's session, and heir of everything that the command starts.
    let _ = setsid();
    set_child_subreaper(Some(getpid())).map_err(|error| error.to_string())?;
    let Some(_lock) = folder.lock(job).map_err(text)? else {
        return Err(format!("another run of {job} is still there"));
    };
    if !tree::sweep(&folder.mark(job)) {
        return Err(format!("what the last run of {job} left cannot be ended"));
    }
    let keeper = getpid().as_raw_nonzero().get();
    let mut record = Record { token: runnable.token.clone(), keeper, child: None, exit: None };
    folder.write_record(job, &record).map_err(text)?;
    let mut log = Log::open(&folder.log(job)).map_err(text)?;
    let exit = match start(folder, job, &runnable) {
        Ok((child, output)) => {
            record.child = Some(child);
            folder.write_record(job, &record).map_err(text)?;
            say_up();
            let reader = thread::spawn(move || copy(output, &mut log));
            let exit = collect(child, keeper, || folder.was_asked(job, &runnable.token));
            finish(&reader);
            exit
        }
        Err(error) => {
            log.add(format!("could not start: {error}\n").as_bytes());
            Exit::Code(127)
        }
    };
    record.exit = Some(exit);
    folder.write_record(job, &record).map_err(text)
}

fn start(folder: &Folder, job: &str, runnable: &Runnable) -> io::Result<(i32, PipeReader)> {
    let (output, input) = io::pipe()?;
    let outputs = folder.outputs(job);
    // What an earlier run left is no answer of this one.
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&outputs)?;
    let Some((program, arguments)) = runnable.argv.split_first() else {
        return Err(io::Error::other("there is no command"));
    };
    let mut command = Command::new(program);
    command.args(arguments).envs(&runnable.env).current_dir(&runnable.folder).process_group(0);
    command.env(tree::MARK, folder.mark(job)).env("COVE_OUTPUT", outputs);
    command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
    let child = command.spawn()?;
    Ok((i32::try_from(child.id()).map_err(io::Error::other)?, output))
}

/// Tells the supervisor, which may be gone by now.
fn say_up() {
    let mut out = io::stdout();
    let _ = writeln!(out, "{UP}").and_then(|()| out.flush());
}

fn copy(mut output: PipeReader, log: &mut Log) {
    let mut piece = vec![0; PIECE];
    loop {
        match output.read(&mut piece) {
            Ok(0) => return,
            Ok(count) => log.add(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Waits for the command, then ends all that is left of what it started, and waits for that. Where it was asked to end,
/// so was the rest, which may take the time that the supervisor gives it: a shell dies before what it started.
fn collect(child: i32, keeper: i32, was_asked: impl Fn() -> bool) -> Exit {
    let mut exit = Exit::Unknown;
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == known(child) => {
                exit = exit_of(status);
                break;
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    while was_asked() {
        match wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return exit,
        }
    }
    tree::kill_below(keeper, || {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    });
    exit
}

fn known(child: i32) -> Pid {
    Pid::from_raw(child).expect("the id of a process that was started is not zero")
}

fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Unknown,
    }
}

/// The last of the output is in the log, unless something that could not be ended holds it open.
fn finish(reader: &JoinHandle<()>) {
    let mut left = LAST_WORDS;
    let pause = Duration::from_millis(5);
    while !reader.is_finished() && !left.is_zero() {
        thread::sleep(pause);
        left = left.saturating_sub(pause);
    }
}
