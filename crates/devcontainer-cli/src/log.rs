//! The log on standard error, in the shapes of the reference: text with a moment before every entry, or an object a
//! line for programs.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use engine::{Progress, ProgressEvent, ProgressKind};
use jiff::Timestamp;
use provision::Masks;
use serde::Serialize;

use crate::arguments::{LogFormat, LogLevel};
use crate::outcome::Failure;

/// How much an entry matters. The numbers are what programs see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "u8")]
#[repr(u8)]
pub(crate) enum Level {
    /// Everything.
    Trace = 1,
    /// What helps with finding a fault.
    Debug = 2,
    /// What a person wants to see.
    Info = 3,
    /// What may go wrong later.
    Warning = 4,
    /// What went wrong.
    Error = 5,
}

impl From<Level> for u8 {
    fn from(level: Level) -> Self {
        level as Self
    }
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Trace => Self::Trace,
            LogLevel::Debug => Self::Debug,
            LogLevel::Info => Self::Info,
        }
    }
}

/// The channel of lines that lifecycle commands say.
const HOOKS: &str = "postCreate";

/// The command of this computer, which the reference words in another way.
const INITIALIZE: &str = "initializeCommand";

/// One entry. The order of the fields is that of the reference.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Entry<'a> {
    /// A line.
    Text { level: Level, timestamp: i64, text: &'a str },
    /// Output as it came.
    Raw {
        level: Level,
        timestamp: i64,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        channel: Option<&'a str>,
    },
    /// Something begins.
    Start { level: Level, timestamp: i64, text: &'a str },
    /// It is over.
    Stop { level: Level, timestamp: i64, text: &'a str, start_timestamp: i64 },
    /// How a stage goes.
    Progress {
        name: &'a str,
        status: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        step_detail: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        channel: Option<&'a str>,
    },
}

/// The log of one run. A copy writes to the same place.
#[derive(Clone)]
pub(crate) struct Log {
    shared: Arc<Shared>,
}

struct Shared {
    format: LogFormat,
    level: Level,
    /// Whether a person looks at it on a terminal.
    live: bool,
    begun: Instant,
    masks: Masks,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    header: Option<String>,
    /// When what is under way began, by its name.
    started: Vec<(String, i64)>,
    /// The lifecycle command that runs.
    hook: Option<RunningHook>,
}

/// A lifecycle command that runs, which may be several at the same time.
struct RunningHook {
    name: String,
    /// How many of them run still.
    running: usize,
    /// Whether one has failed.
    failed: bool,
}

impl Log {
    /// A log. `masks` are kept out of every entry; without `header` nothing says who writes.
    pub(crate) fn new(level: impl Into<Level>, format: LogFormat, masks: Masks, header: bool) -> Self {
        let header = header.then(|| {
            format!(
                "@devcontainers/cli {} (Cove {}). {} {}.",
                crate::REFERENCE_VERSION,
                env!("CARGO_PKG_VERSION"),
                std::env::consts::OS,
                std::env::consts::ARCH
            )
        });
        let state = Mutex::new(State { header, ..State::default() });
        let live = std::io::stdout().is_terminal();
        let shared = Shared { format, level: level.into(), live, begun: Instant::now(), masks, state };
        Self { shared: Arc::new(shared) }
    }

    /// Writes a line of text.
    pub(crate) fn write(&self, level: Level, text: &str) {
        let text = self.shared.masks.apply(text);
        self.entry(level, &Entry::Text { level, timestamp: now(), text: &text });
    }

    /// Writes what went wrong.
    pub(crate) fn error(&self, text: &str) {
        self.write(Level::Error, text);
    }

    /// Writes why a command failed, and prints it where programs look for it.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        for line in &failure.details {
            self.error(line);
        }
        self.error(&failure.description);
        if failure.message != failure.description {
            self.error(&failure.message);
        }
        let masked = |text: &str| self.shared.masks.apply(text).into_owned();
        let (description, message) = (masked(&failure.description), masked(&failure.message));
        Failure { description, message, ..failure.clone() }.print()
    }

    /// Whether entries of this level are shown as text.
    pub(crate) fn shows(&self, level: Level) -> bool {
        level >= self.shared.level
    }

    /// Reports of steps go into this log; those of lifecycle commands on a channel of their own.
    pub(crate) fn steps(&self) -> Steps {
        Steps { log: self.clone(), hooks: false }
    }

    /// As [`steps`](Self::steps), for lifecycle commands.
    pub(crate) fn hooks(&self) -> Steps {
        Steps { log: self.clone(), hooks: true }
    }

    fn entry(&self, level: Level, entry: &Entry<'_>) {
        let header = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).header.take();
        if let Some(header) = header {
            let (level, timestamp) = (Level::Info, now());
            self.put(level, &Entry::Text { level, timestamp, text: &header });
        }
        self.put(level, entry);
    }

    fn put(&self, level: Level, entry: &Entry<'_>) {
        let text = match self.shared.format {
            LogFormat::Json => serde_json::to_string(entry).ok().map(|line| line + "\n"),
            LogFormat::Text if !self.shows(level) => None,
            LogFormat::Text if self.shared.live => self.terminal_text(entry),
            LogFormat::Text => file_text(entry, self.shared.level),
        };
        if let Some(text) = text {
            // A log that nobody reads any more is no reason to stop.
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
        }
    }

    fn terminal_text(&self, entry: &Entry<'_>) -> Option<String> {
        let since = self.shared.begun.elapsed().as_millis();
        match entry {
            Entry::Text { text, .. } => Some(format!("[{since} ms] {}\n", text.trim_end())),
            Entry::Raw { text, .. } => Some((*text).to_owned()),
            Entry::Start { text, .. } => Some(format!("[{since} ms] Start: {text}\n")),
            Entry::Stop { text, timestamp, start_timestamp, .. } if self.shows(Level::Trace) => {
                Some(format!("[{since} ms] Stop ({} ms): {text}\n", timestamp - start_timestamp))
            }
            Entry::Stop { .. } | Entry::Progress { .. } => None,
        }
    }
}

fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// An entry for a file or pipe: the moment, and the text without colours.
fn file_text(entry: &Entry<'_>, level: Level) -> Option<String> {
    let stamp = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
    let plain = |text: &str| plain(text).trim_end_matches(['\r', '\n']).to_owned();
    match entry {
        Entry::Text { text, .. } | Entry::Raw { text, .. } => Some(format!("[{stamp}] {}\n", plain(text))),
        Entry::Start { text, .. } => Some(format!("[{stamp}] Start: {}\n", plain(text))),
        Entry::Stop { text, timestamp, start_timestamp, .. } if level <= Level::Debug => {
            Some(format!("[{stamp}] Stop ({} ms): {}\n", timestamp - start_timestamp, plain(text)))
        }
        Entry::Stop { .. } | Entry::Progress { .. } => None,
    }
}

/// The text without the sequences that colour it.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        let after = &rest[at + 2..];
        let end = after.find(|c: char| ('@'..='~').contains(&c)).map_or(after.len(), |end| end + 1);
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

/// Takes the reports of steps.
pub(crate) struct Steps {
    log: Log,
    hooks: bool,
}

impl Steps {
    fn raw(&self, text: &str) {
        let text = self.log.shared.masks.apply(text);
        let channel = self.hooks.then_some(HOOKS);
        let level = Level::Info;
        self.log.entry(level, &Entry::Raw { level, timestamp: now(), text: &text, channel });
    }

    fn stage(&self, item: &str, status: &str) {
        // The item says also who wants it, and which one of several it is.
        let stage = item.split(' ').next().unwrap_or(item);
        let name = format!("Running {stage}...");
        let channel = Some(HOOKS);
        self.log.entry(Level::Info, &Entry::Progress { name: &name, status, step_detail: None, channel });
    }

    fn bold(&self, text: &str) {
        self.raw(&format!("\u{1b}[1m{text}\u{1b}[0m\r\n\r\n"));
    }

    fn hook_started(&self, item: &str) {
        // One of several in parallel stands behind its hook, in brackets.
        let (hook, name) = match item.strip_suffix(')').and_then(|item| item.split_once(" (")) {
            Some((hook, name)) => (hook, Some(name)),
            None => (item, None),
        };
        let is_first = {
            let mut state = self.state();
            let running = state.hook.get_or_insert_with(|| RunningHook {
                name: hook.to_owned(),
                running: 0,
                failed: false,
            });
            running.running += 1;
            running.running == 1
        };
        self.stage(hook, "running");
        if hook == INITIALIZE {
            return self.bold(&match name {
                Some(name) => format!("Running '{name}' from {INITIALIZE}..."),
                None => format!("Running the {INITIALIZE} from devcontainer.json..."),
            });
        }
        if is_first {
            self.bold(&format!("Running the {hook}..."));
        }
        if let Some(name) = name {
            self.bold(&format!("Running {name} of {hook}..."));
        }
    }

    /// One command of a hook is over. The hook is once all are.
    fn hook_ended(&self, failed: bool) {
        let over = {
            let mut state = self.state();
            let Some(hook) = &mut state.hook else { return };
            hook.running = hook.running.saturating_sub(1);
            hook.failed |= failed;
            if hook.running > 0 { None } else { state.hook.take() }
        };
        if let Some(hook) = over {
            self.stage(&hook.name, if hook.failed { "failed" } else { "succeeded" });
        }
    }

    fn started(&self, item: &str) {
        if self.hooks {
            return self.hook_started(item);
        }
        let (level, timestamp) = (Level::Info, now());
        self.state().started.push((item.to_owned(), timestamp));
        let text = self.log.shared.masks.apply(item);
        self.log.entry(level, &Entry::Start { level, timestamp, text: &text });
    }

    fn finished(&self, item: &str) {
        if self.hooks {
            return self.hook_ended(false);
        }
        let begun = {
            let mut state = self.state();
            let at = state.started.iter().rposition(|(name, _)| name == item);
            at.map(|at| state.started.swap_remove(at).1)
        };
        let (level, timestamp) = (Level::Info, now());
        let text = self.log.shared.masks.apply(item);
        let start_timestamp = begun.unwrap_or(timestamp);
        self.log.entry(level, &Entry::Stop { level, timestamp, text: &text, start_timestamp });
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.log.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Steps {
    fn report(&self, event: ProgressEvent) {
        match event.kind {
            ProgressKind::Started => self.started(&event.item),
            ProgressKind::Line(line) => self.raw(&format!("{line}\r\n")),
            ProgressKind::Finished { .. } => self.finished(&event.item),
            ProgressKind::Failed if self.hooks => self.hook_ended(true),
            ProgressKind::Failed => self.log.write(Level::Error, &format!("{} failed", event.item)),
            ProgressKind::Bytes { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_references_shape() {
        let level = Level::Info;
        for (entry, expected) in [
            (
                Entry::Text { level, timestamp: 5, text: "a" },
                r#"{"type":"text","level":3,"timestamp":5,"text":"a"}"#,
            ),
            (
                Entry::Stop { level, timestamp: 9, text: "Run", start_timestamp: 5 },
                r#"{"type":"stop","level":3,"timestamp":9,"text":"Run","startTimestamp":5}"#,
            ),
            (
                Entry::Raw { level, timestamp: 5, text: "x\r\n", channel: Some(HOOKS) },
                r#"{"type":"raw","level":3,"timestamp":5,"text":"x\r\n","channel":"postCreate"}"#,
            ),
            (
                Entry::Progress {
                    name: "Running x...",
                    status: "running",
                    step_detail: None,
                    channel: Some(HOOKS),
                },
                r#"{"type":"progress","name":"Running x...","status":"running","channel":"postCreate"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&entry).unwrap(), expected);
        }
    }

    #[test]
    fn files_get_no_colours() {
        assert_eq!(plain("\u{1b}[1mRunning\u{1b}[0m it \u{1b}["), "Running it ");
        let raw = Entry::Raw {
            level: Level::Info,
            timestamp: 0,
            text: "\u{1b}[31mno\u{1b}[39m\r\n",
            channel: None,
        };
        assert!(file_text(&raw, Level::Info).unwrap().ends_with("Z] no\n"));
        let stop = Entry::Stop { level: Level::Info, timestamp: 9, text: "x", start_timestamp: 5 };
        assert_eq!(file_text(&stop, Level::Info), None);
        assert!(file_text(&stop, Level::Debug).unwrap().ends_with("Stop (4 ms): x\n"));
    }
}
