//! What the machine has to tell: log lines, the state of its parts, and how far its boot has come.
//!
//! Everything is kept in memory, bounded, and handed to whoever watches: first what is true now, then what
//! happens. A watcher that is too slow misses lines and sees it by the gap in their numbers; it never slows the
//! machine down. Lines of one source beyond a rate are dropped and counted: guests are chatty when they break.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::agent::{Component, ComponentState, Emulation, Event, Level, LogLine};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::broadcast;

use crate::console;

/// Lines kept for a watcher that comes later.
const KEPT_LINES: usize = 2000;
/// Events a slow watcher may lag behind before it loses some.
const WATCHER_LAG: usize = 1024;
/// Longest line, in bytes; the rest is cut.
const LONGEST_LINE: usize = 4096;
/// Lines a second that one source may write for long, and at once.
const RATE: u64 = 200;
const BURST: u64 = 1000;

/// Time since the kernel started, in milliseconds.
pub(crate) fn uptime_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

/// A handle on the one journal; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    shared: Arc<Mutex<Shared>>,
    events: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct Shared {
    lines: VecDeque<LogLine>,
    sequence: u64,
    components: BTreeMap<String, Component>,
    stages: Vec<(String, u64)>,
    emulation: Option<Emulation>,
    budgets: HashMap<String, Budget>,
}

/// How many lines a source may still write: a bucket that fills with time.
#[derive(Debug, Clone, Copy)]
struct Budget {
    lines: u64,
    filled_ms: u64,
    dropped: u64,
}

impl Budget {
    fn take(&mut self, now_ms: u64) -> bool {
        let earned = now_ms.saturating_sub(self.filled_ms) * RATE / 1000;
        if earned > 0 {
            self.lines = (self.lines + earned).min(BURST);
            self.filled_ms = now_ms;
        }
        let allowed = self.lines > 0;
        self.lines = self.lines.saturating_sub(1);
        allowed
    }
}

/// What a watcher gets: the present, and a feed of what comes.
pub(crate) struct Watch {
    /// Components, stages, what runs foreign programs, and the kept lines.
    pub(crate) present: Vec<Event>,
    /// What happens from then on.
    pub(crate) feed: broadcast::Receiver<Event>,
}

impl Journal {
    /// An empty journal.
    pub(crate) fn new() -> Self {
        Self { shared: Arc::default(), events: broadcast::Sender::new(WATCHER_LAG) }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line.
    pub(crate) fn write(&self, level: Level, source: &str, message: impl Into<String>) {
        let mut message: String = message.into();
        if message.len() > LONGEST_LINE {
            let end = (0..=LONGEST_LINE).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(end);
            message.push('…');
        }
        if level == Level::Error {
            console::say(&format!("cove: {source}: {message}"));
        }
        let now_ms = uptime_ms();
        let mut shared = self.lock();
        shared.sequence += 1;
        let budget = shared.budgets.entry(source.to_owned()).or_insert(Budget {
            lines: BURST,
            filled_ms: now_ms,
            dropped: 0,
        });
        if !budget.take(now_ms) {
            budget.dropped += 1;
            return;
        }
        let dropped = std::mem::take(&mut budget.dropped);
        if dropped > 0 {
            let note = format!("{dropped} lines were dropped: too many in a short time");
            self.push(&mut shared, now_ms, Level::Warn, source, note);
            shared.sequence += 1;
        }
        self.push(&mut shared, now_ms, level, source, message);
    }

    fn push(&self, shared: &mut Shared, uptime_ms: u64, level: Level, source: &str, message: String) {
        let line =
            LogLine { sequence: shared.sequence, uptime_ms, level, source: source.to_owned(), message };
        if shared.lines.len() == KEPT_LINES {
            shared.lines.pop_front();
        }
        shared.lines.push_back(line.clone());
        // Nobody watching is no fault.
        let _ = self.events.send(Event::Log(line));
    }

    /// A line of the agent's own, about the normal course.
    pub(crate) fn info(&self, message: impl Into<String>) {
        self.write(Level::Info, "agent", message);
    }

    /// A line of the agent's own, worth a look.
    pub(crate) fn warn(&self, message: impl Into<String>) {
        self.write(Level::Warn, "agent", message);
    }

    /// A line of the agent's own about a failure; it reaches the console too.
    pub(crate) fn error(&self, message: impl Into<String>) {
        self.write(Level::Error, "agent", message);
    }

    /// Marks a stage of the boot, now or at a known time. The first mark of a stage counts.
    pub(crate) fn stage(&self, name: &str, at_ms: Option<u64>) {
        let uptime_ms = at_ms.unwrap_or_else(uptime_ms);
        let mut shared = self.lock();
        if shared.stages.iter().any(|(known, _)| known == name) {
            return;
        }
        shared.stages.push((name.to_owned(), uptime_ms));
        let _ = self.events.send(Event::Stage { name: name.to_owned(), uptime_ms });
    }

    /// Notes how a part stands. `log_tail` is told with failures only.
    pub(crate) fn component(&self, name: &str, state: ComponentState, restarts: u32, log_tail: Vec<String>) {
        let component = Component { name: name.to_owned(), state, restarts, log_tail };
        let mut shared = self.lock();
        shared.components.insert(name.to_owned(), component.clone());
        let _ = self.events.send(Event::Component(component));
    }

    /// Notes what runs programs of another processor.
    pub(crate) fn emulation(&self, emulation: Emulation) {
        let mut shared = self.lock();
        shared.emulation = Some(emulation.clone());
        let _ = self.events.send(Event::Emulation(emulation));
    }

    /// Begins a watch. Nothing is told twice and nothing is missed between the present and the feed.
    pub(crate) fn watch(&self) -> Watch {
        let shared = self.lock();
        let components = shared.components.values().cloned().map(Event::Component);
        let stages =
            shared.stages.iter().map(|(name, at)| Event::Stage { name: name.clone(), uptime_ms: *at });
        let emulation = shared.emulation.iter().cloned().map(Event::Emulation);
        let lines = shared.lines.iter().cloned().map(Event::Log);
        let present = components.chain(stages).chain(emulation).chain(lines).collect();
        Watch { present, feed: self.events.subscribe() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(events: &[Event]) -> Vec<&LogLine> {
        events
            .iter()
            .filter_map(|event| if let Event::Log(line) = event { Some(line) } else { None })
            .collect()
    }

    #[test]
    fn a_watcher_sees_the_present_and_then_what_comes() {
        let journal = Journal::new();
        journal.stage("root", Some(7));
        journal.stage("root", Some(9));
        journal.component("dockerd", ComponentState::Starting, 0, Vec::new());
        journal.info("before");
        let mut watch = journal.watch();
        assert_eq!(watch.present.len(), 3);
        assert!(watch.present.contains(&Event::Stage { name: "root".into(), uptime_ms: 7 }));
        assert_eq!(lines(&watch.present)[0].message, "before");
        journal.warn("after");
        let Event::Log(line) = watch.feed.try_recv().unwrap() else { panic!("a line was written") };
        assert_eq!((line.sequence, line.level, line.message.as_str()), (2, Level::Warn, "after"));
    }

    #[test]
    fn a_flood_of_one_source_is_cut_and_shows_as_a_gap() {
        let journal = Journal::new();
        for number in 0..3 * BURST {
            journal.write(Level::Info, "dockerd", format!("line {number}"));
        }
        journal.info("others are heard");
        let watch = journal.watch();
        let lines = lines(&watch.present);
        assert!(lines.len() < 2 * BURST as usize, "{} lines were kept", lines.len());
        let last = lines.last().unwrap();
        assert_eq!(last.message, "others are heard");
        assert!(last.sequence > 3 * BURST, "{}: dropped lines have numbers too", last.sequence);
    }

    #[test]
    fn a_budget_fills_again_with_time() {
        let mut budget = Budget { lines: 1, filled_ms: 0, dropped: 0 };
        assert!(budget.take(1));
        assert!(!budget.take(2));
        assert!(budget.take(1000));
    }

    #[test]
    fn a_long_line_is_cut_between_letters() {
        let journal = Journal::new();
        journal.info("ä".repeat(LONGEST_LINE));
        let watch = journal.watch();
        let message = &lines(&watch.present)[0].message;
        assert!(message.len() < LONGEST_LINE + 4 && message.ends_with('…'), "{} bytes", message.len());
    }
}
