//! What the parts of the guest wrote, as far back as memory holds it, and as it comes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use api::{LogLevel, MachineLogLine};
use protocol::agent::{Level, LogLine};
use tokio::sync::broadcast;

/// Lines kept for those who come later.
const KEPT: usize = 4000;

/// Lines a slow reader may lag behind before it misses some.
const LAG: usize = 1024;

/// Longest line kept, in bytes. The guest is not trusted with this computer's memory.
const MAX_LINE: usize = 8 * 1024;

/// Longest name of a part of the guest, in bytes.
const MAX_SOURCE: usize = 64;

/// A ring of log lines with followers.
#[derive(Debug)]
pub(super) struct Journal {
    lines: Mutex<Lines>,
    sender: broadcast::Sender<MachineLogLine>,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<MachineLogLine>,
    boot: String,
    last_sequence: Option<u64>,
}

impl Journal {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { lines: Mutex::default(), sender: broadcast::channel(LAG).0 }
    }

    /// Forgets what an earlier boot wrote. The same boot again, after a reconnection, keeps its lines.
    pub(super) fn begin(&self, boot_id: &str) {
        let mut lines = self.lock();
        if lines.boot != boot_id {
            *lines = Lines { boot: boot_id.to_owned(), ..Lines::default() };
        }
    }

    /// Adds a line. One that was told before a reconnection already is skipped: `false`.
    pub(super) fn add(&self, line: LogLine) -> bool {
        let mut lines = self.lock();
        if lines.last_sequence.is_some_and(|last| line.sequence <= last) {
            return false;
        }
        lines.last_sequence = Some(line.sequence);
        let line = MachineLogLine {
            source: shortened(line.source, MAX_SOURCE),
            level: level(line.level),
            uptime_ms: line.uptime_ms,
            message: shortened(line.message, MAX_LINE),
        };
        if lines.kept.len() == KEPT {
            lines.kept.pop_front();
        }
        lines.kept.push_back(line.clone());
        drop(lines);
        // Nobody following is no failure.
        let _ = self.sender.send(line);
        true
    }

    /// The lines so far, and those to come without a gap in between.
    pub(super) fn follow(&self) -> (Vec<MachineLogLine>, broadcast::Receiver<MachineLogLine>) {
        let lines = self.lock();
        (lines.kept.iter().cloned().collect(), self.sender.subscribe())
    }

    /// The last lines that are worth a look or worse, else the last lines of any level.
    pub(super) fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lock();
        let told = |least: LogLevel| -> Vec<String> {
            let fitting = lines.kept.iter().rev().filter(|line| line.level >= least).take(count);
            let mut told: Vec<String> =
                fitting.map(|line| format!("{}: {}", line.source, line.message)).collect();
            told.reverse();
            told
        };
        let serious = told(LogLevel::Warn);
        if serious.is_empty() { told(LogLevel::Debug) } else { serious }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line of the serial console, which has no levels and no times.
pub(super) fn console_line(message: String) -> MachineLogLine {
    MachineLogLine { source: "console".to_owned(), level: LogLevel::Info, uptime_ms: 0, message }
}

fn level(level: Level) -> LogLevel {
    match level {
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
    }
}

fn shortened(mut line: String, most: usize) -> String {
    if line.len() > most {
        line.truncate(line.floor_char_boundary(most));
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sequence: u64, level: Level, message: &str) -> LogLine {
        LogLine { sequence, uptime_ms: 1, level, source: "agent".into(), message: message.into() }
    }

    #[test]
    fn a_reconnection_repeats_nothing_and_a_new_boot_starts_over() {
        let journal = Journal::new();
        journal.begin("one");
        assert!(journal.add(line(1, Level::Info, "a")));
        journal.begin("one");
        assert!(!journal.add(line(1, Level::Info, "a")));
        assert!(journal.add(line(2, Level::Warn, "b")));
        assert_eq!(journal.tail(5), ["agent: b"]);
        journal.begin("two");
        assert!(journal.add(line(1, Level::Info, "c")));
        let (lines, _) = journal.follow();
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn a_hostile_guest_does_not_fill_the_memory() {
        let journal = Journal::new();
        journal.begin("one");
        for sequence in 0..2 * KEPT as u64 {
            let long = "é".repeat(MAX_LINE);
            journal.add(LogLine { source: long.clone(), ..line(sequence, Level::Info, &long) });
        }
        let (lines, _) = journal.follow();
        assert_eq!(lines.len(), KEPT);
        assert!(lines.iter().all(|line| line.source.len() + line.message.len() <= MAX_LINE + MAX_SOURCE + 8));
    }
}
