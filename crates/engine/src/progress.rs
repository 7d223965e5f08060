//! What long work tells while it goes on: names, bytes and lines.

use std::collections::VecDeque;
use std::time::Duration;

/// How many lines of a failed step are kept for its error.
pub(crate) const TAIL_LINES: usize = 40;

/// A line longer than this is cut into several: it comes from programs that we do not control.
const LONGEST_LINE: usize = 16 * 1024;

/// One piece of news about one thing that is worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressEvent {
    /// The thing, as a person would name it: a build step, an image layer, a lifecycle command.
    pub item: String,
    /// What happened.
    pub kind: ProgressKind,
}

/// What happened to an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgressKind {
    /// Work on it began.
    Started,
    /// So much of it is through.
    Bytes {
        /// Bytes so far.
        done: u64,
        /// Bytes in all, where known.
        total: Option<u64>,
    },
    /// It said a line; without the line end.
    Line(String),
    /// It is done.
    Finished {
        /// The time it took, where known.
        took: Option<Duration>,
        /// Whether an earlier result could be used.
        cached: bool,
    },
    /// It failed; the error of the operation says why.
    Failed,
}

/// Takes the news. Must not block.
pub trait Progress: Send + Sync {
    /// Called for each piece of news, in order for each item.
    fn report(&self, event: ProgressEvent);
}

/// Nobody listens.
impl Progress for () {
    fn report(&self, _event: ProgressEvent) {}
}

/// A listener that has gone away is no reason to stop the work.
impl Progress for tokio::sync::mpsc::UnboundedSender<ProgressEvent> {
    fn report(&self, event: ProgressEvent) {
        let _ = self.send(event);
    }
}

/// Shorthands for those who report.
pub(crate) trait ProgressExt {
    fn started(&self, item: &str);
    fn line(&self, item: &str, line: impl Into<String>);
    fn bytes(&self, item: &str, done: u64, total: Option<u64>);
    fn finished(&self, item: &str, took: Option<Duration>, cached: bool);
    fn broke(&self, item: &str);
}

impl ProgressExt for dyn Progress + '_ {
    fn started(&self, item: &str) {
        self.report(ProgressEvent { item: item.to_owned(), kind: ProgressKind::Started });
    }

    fn line(&self, item: &str, line: impl Into<String>) {
        self.report(ProgressEvent { item: item.to_owned(), kind: ProgressKind::Line(line.into()) });
    }

    fn bytes(&self, item: &str, done: u64, total: Option<u64>) {
        self.report(ProgressEvent { item: item.to_owned(), kind: ProgressKind::Bytes { done, total } });
    }

    fn finished(&self, item: &str, took: Option<Duration>, cached: bool) {
        self.report(ProgressEvent { item: item.to_owned(), kind: ProgressKind::Finished { took, cached } });
    }

    fn broke(&self, item: &str) {
        self.report(ProgressEvent { item: item.to_owned(), kind: ProgressKind::Failed });
    }
}

/// Cuts bytes into lines. Text that is not UTF-8 is shown with replacement characters.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes bytes, gives the lines that are whole now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.rest.len() >= LONGEST_LINE {
                lines.push(self.take());
            }
        }
        lines
    }

    /// The last line, where its end is missing.
    pub(crate) fn finish(&mut self) -> Option<String> {
        (!self.rest.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let line = std::mem::take(&mut self.rest);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A progress bar draws over itself: what stands after the last carriage return is what one would see.
        let seen = line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line);
        String::from_utf8_lossy(seen).into_owned()
    }
}

/// The last lines of something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tail(VecDeque<String>);

impl Tail {
    pub(crate) fn push(&mut self, line: &str) {
        if self.0.len() == TAIL_LINES {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_any_cut() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"on"), Vec::<String>::new());
        assert_eq!(lines.push(b"e\r\ntwo\n 10%\r 90%\r100%\nth"), ["one", "two", "100%"]);
        assert_eq!(lines.push("r\u{e9}e".as_bytes()), Vec::<String>::new());
        assert_eq!(lines.finish().as_deref(), Some("thr\u{e9}e"));
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn an_endless_line_does_not_fill_the_memory() {
        let mut lines = Lines::default();
        let seen: usize = (0..100).map(|_| lines.push(&[b'x'; 4096]).len()).sum();
        assert_eq!(seen, 25);
    }

    #[test]
    fn a_tail_keeps_the_end() {
        let mut tail = Tail::default();
        (0..100).for_each(|number| tail.push(&number.to_string()));
        let lines = tail.into_lines();
        assert_eq!(
            (lines.len(), lines[0].as_str(), lines[TAIL_LINES - 1].as_str()),
            (TAIL_LINES, "60", "99")
        );
    }
}
