//! Processes and what they started, as `/proc` tells.

use std::collections::HashMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// The variable that marks what belongs to a job.
pub(super) const MARK: &str = "COVE_AUTOMATION";

/// How long a tree may take to be gone once it is killed: what hangs in the kernel, or belongs to another user, stays.
const PATIENCE: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_millis(5);

/// Asks a group of processes to end.
pub(super) fn ask_group(group: i32) {
    if let Some(group) = Pid::from_raw(group).filter(|_| group > 1) {
        let _ = kill_process_group(group, Signal::TERM);
    }
}

/// Kills everything below a process, but not itself, until nothing is there or `done` says so. What it starts
/// meanwhile goes too. Whether nothing is left.
pub(super) fn kill_below(root: i32, mut done: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        let below = below(root);
        let is_done = done();
        if below.is_empty() || is_done {
            return true;
        }
        if begun.elapsed() > PATIENCE {
            return false;
        }
        below.into_iter().for_each(kill);
        thread::sleep(PAUSE);
    }
}

/// Kills everything that carries a mark, until nothing does. Whether nothing is left.
pub(super) fn sweep(mark: &str) -> bool {
    sweep_those(|found| found == mark.as_bytes())
}

/// As [`sweep`], whatever follows in the mark.
pub(super) fn sweep_all(begin: &str) -> bool {
    sweep_those(|found| found.starts_with(begin.as_bytes()))
}

fn sweep_those(is_meant: impl Fn(&[u8]) -> bool) -> bool {
    let begun = Instant::now();
    loop {
        let marked: Vec<i32> = processes().filter(|pid| carries(*pid, &is_meant)).collect();
        if marked.is_empty() {
            return true;
        }
        if begun.elapsed() > PATIENCE {
            return false;
        }
        marked.into_iter().for_each(kill);
        thread::sleep(PAUSE);
    }
}

fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn carries(pid: i32, is_meant: impl Fn(&[u8]) -> bool) -> bool {
    // A dead one that nobody collected has no variables any more.
    let Ok(variables) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    variables
        .split(|byte| *byte == 0)
        .filter_map(|variable| variable.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))
        .any(is_meant)
}

fn processes() -> impl Iterator<Item = i32> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(move |pid| *pid != own)
}

/// What a process started, and what that did; the dead ones that nobody collected are left out.
fn below(root: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for pid in processes() {
        if let Some((parent, alive)) = parent(pid)
            && alive
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut all, mut next) = (Vec::new(), vec![root]);
    while let Some(pid) = next.pop() {
        for child in children.remove(&pid).unwrap_or_default() {
            all.push(child);
            next.push(child);
        }
    }
    all
}

/// The parent of a process, and whether it is more than a zombie.
fn parent(pid: i32) -> Option<(i32, bool)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets and may hold anything: what counts comes behind the last one.
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    let state = words.next()?;
    Some((words.next()?.parse().ok()?, !matches!(state, "Z" | "X")))
}
