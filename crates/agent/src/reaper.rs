//! The one place that collects ended processes.
//!
//! PID 1 inherits every orphan of the guest, so it must wait for any child; and it has children of its own whose
//! exit status somebody wants. Two waiters would steal from each other. So nobody else waits, ever: [`spawn`]
//! starts a child and notes its owner under the same lock that [`collect`] holds while it waits. A child that
//! ends before its owner is noted stays a zombie until the lock is free, and its id is not used again before.
//!
//! For the same reason [`Process::signal`] cannot hit a stranger: it holds the lock, and an id still noted here
//! has not been collected.

use std::collections::HashMap;
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use protocol::agent::ExecEnd;
use rustix::process::{Pid, Signal, WaitOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Owners of living children by process id. One for the process, as `waitpid(-1)` is.
static OWNERS: LazyLock<Mutex<HashMap<i32, oneshot::Sender<ExecEnd>>>> = LazyLock::new(Mutex::default);

/// Longest output of a tool that is kept, in bytes.
const LONGEST_OUTPUT: usize = 64 << 10;

fn owners() -> MutexGuard<'static, HashMap<i32, oneshot::Sender<ExecEnd>>> {
    OWNERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child of ours, alive or not yet asked about.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    told: oneshot::Receiver<ExecEnd>,
    end: Option<ExecEnd>,
}

impl Process {
    /// Its id.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for its end. Dropping the future loses nothing, and asking again gives the same answer.
    pub(crate) async fn ended(&mut self) -> ExecEnd {
        if let Some(end) = self.end {
            return end;
        }
        // The sender is dropped unsent only if the id was given to a second child, which the lock rules out.
        let end = (&mut self.told).await.unwrap_or(ExecEnd::Exited { code: 255 });
        *self.end.insert(end)
    }

    /// Sends a signal to the process, or to its group. Ended: done.
    pub(crate) fn signal(&self, number: Signal, to: Whom) -> io::Result<()> {
        let owners = owners();
        if !owners.contains_key(&self.pid.as_raw_nonzero().get()) {
            return Ok(());
        }
        let outcome = match to {
            Whom::Process => rustix::process::kill_process(self.pid, number),
            // A process that has not yet made its group is reached alone.
            Whom::Group => rustix::process::kill_process_group(self.pid, number)
                .or_else(|_| rustix::process::kill_process(self.pid, number)),
        };
        match outcome {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whom a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    /// The process alone.
    Process,
    /// The group it leads.
    Group,
}

/// Starts a child. Its pipes, if asked for, are in the second value; nobody must wait on that.
pub(crate) fn spawn(command: &mut Command) -> io::Result<(Process, Child)> {
    let mut owners = owners();
    let child = command.spawn()?;
    let raw = i32::try_from(child.id()).map_err(io::Error::other)?;
    let pid = Pid::from_raw(raw).ok_or_else(|| io::Error::other("a child without an id"))?;
    let (tell, told) = oneshot::channel();
    owners.insert(raw, tell);
    Ok((Process { pid, told, end: None }, child))
}

/// Collects every ended child there is now, ours and orphans, and tells the owners.
fn collect() {
    let mut owners = owners();
    // An error says that there is no child at all.
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        let end = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => ExecEnd::Exited { code },
            (None, Some(number)) => ExecEnd::Signaled { number },
            (None, None) => continue,
        };
        if let Some(owner) = owners.remove(&pid.as_raw_nonzero().get()) {
            // An owner that no longer cares has dropped its end.
            let _ = owner.send(end);
        }
    }
}

/// Collects children as they end, until the runtime is gone.
pub(crate) async fn run() -> io::Result<()> {
    let mut ended = signal(SignalKind::child())?;
    loop {
        collect();
        // Several ends may come as one signal; `collect` takes all there are.
        if ended.recv().await.is_none() {
            return Ok(());
        }
    }
}

/// How a tool ended, and what it said on either output.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its end.
    pub(crate) end: ExecEnd,
    /// The first part of its output.
    pub(crate) output: String,
}

impl Outcome {
    /// Whether it ended with status 0.
    pub(crate) fn is_success(&self) -> bool {
        self.end == ExecEnd::Exited { code: 0 }
    }
}

/// Both outputs of a command as one pipe. The command must be dropped for the pipe to end.
pub(crate) fn merge_output(command: &mut Command) -> io::Result<PipeReader> {
    let (reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    Ok(reader)
}

/// Runs a tool to its end with this input.
pub(crate) async fn run_tool(mut command: Command, input: &[u8]) -> io::Result<Outcome> {
    let reader = merge_output(&mut command)?;
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    let (mut process, mut child) = spawn(&mut command)?;
    drop(command);
    let mut reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    if let Some(stdin) = child.stdin.take() {
        let mut stdin = pipe::Sender::from_owned_fd(OwnedFd::from(stdin))?;
        stdin.write_all(input).await?;
    }
    let mut output = Vec::new();
    let mut piece = vec![0; 8192];
    loop {
        match reader.read(&mut piece).await? {
            0 => break,
            count => {
                let room = LONGEST_OUTPUT.saturating_sub(output.len()).min(count);
                output.extend_from_slice(&piece[..room]);
            }
        }
    }
    let end = process.ended().await;
    Ok(Outcome { end, output: String::from_utf8_lossy(&output).trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn with_reaper<T>(work: impl Future<Output = T>) -> T {
        tokio::select! {
            value = work => value,
            _ = run() => panic!("the reaper runs as long as the runtime"),
        }
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn each_owner_gets_its_own_childs_end() {
        with_reaper(async {
            let mut children: Vec<_> =
                (0..40).map(|code| spawn(&mut shell(&format!("exit {code}"))).unwrap().0).collect();
            for (code, child) in children.iter_mut().enumerate() {
                assert_eq!(child.ended().await, ExecEnd::Exited { code: i32::try_from(code).unwrap() });
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_killed_child_says_so_and_a_later_signal_hits_nobody() {
        with_reaper(async {
            let (mut child, _) = spawn(&mut shell("exec sleep 60")).unwrap();
            child.signal(Signal::TERM, Whom::Process).unwrap();
            assert_eq!(child.ended().await, ExecEnd::Signaled { number: 15 });
            child.signal(Signal::KILL, Whom::Process).unwrap();
            assert_eq!(child.ended().await, ExecEnd::Signaled { number: 15 }, "asked again");
        })
        .await;
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_leaves_the_reaper_working() {
        with_reaper(async {
            assert!(spawn(&mut Command::new("/no/such/program")).is_err());
            let outcome = run_tool(shell("cat; echo problem >&2; exit 3"), b"given\n").await.unwrap();
            assert_eq!(outcome.output, "given\nproblem");
            assert_eq!(outcome.end, ExecEnd::Exited { code: 3 });
        })
        .await;
    }

    #[tokio::test]
    async fn orphans_are_collected_without_disturbing_owners() {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
        with_reaper(async {
            // The shell ends at once and leaves a child behind, whose parent becomes this process.
            let outcome = run_tool(shell("(sleep 0.2; exit 9) & echo $!"), b"").await.unwrap();
            assert!(outcome.is_success());
            let orphan = format!("/proc/{}", outcome.output);
            let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
            while std::path::Path::new(&orphan).exists() {
                assert!(tokio::time::Instant::now() < deadline, "{orphan} was not collected");
                let _ = run_tool(shell("exit 0"), b"").await.unwrap();
            }
        })
        .await;
    }
}
