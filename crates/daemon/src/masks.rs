//! Takes secrets out of what is told: lines of output, problems, details of steps.

use std::collections::BTreeMap;

use api::{EventKind, Problem};

/// What is shown instead of a secret.
const MASK: &str = "********";

/// Shortest text that is masked, in bytes: shorter ones are everywhere, and guessed at once.
const SHORTEST: usize = 3;

/// The secrets of one environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Masks {
    /// Longest first: one may be a part of another.
    values: Vec<String>,
}

impl Masks {
    pub(crate) fn new(secrets: &BTreeMap<String, String>) -> Self {
        // Output comes line by line, so a secret of several lines is one secret a line as well.
        let lines = secrets.values().flat_map(|value| value.lines().map(str::trim));
        let whole = secrets.values().map(|value| value.trim());
        let mut values: Vec<String> =
            lines.chain(whole).filter(|value| value.len() >= SHORTEST).map(str::to_owned).collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        Self { values }
    }

    /// A text without secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), MASK) } else { text }
        })
    }

    /// A problem without secrets.
    pub(crate) fn problem(&self, problem: Problem) -> Problem {
        if self.values.is_empty() { problem } else { problem.map_texts(|text| self.text(text)) }
    }

    /// An event without secrets.
    pub(crate) fn event(&self, kind: EventKind) -> EventKind {
        if self.values.is_empty() {
            return kind;
        }
        match kind {
            EventKind::StepStarted { step, detail } => {
                EventKind::StepStarted { step, detail: self.text(&detail) }
            }
            EventKind::Progress { step, item, current, total, unit } => {
                EventKind::Progress { step, item: self.text(&item), current, total, unit }
            }
            EventKind::Log { step, stream, line } => EventKind::Log { step, stream, line: self.text(&line) },
            EventKind::StepFailed { step, problem } => {
                EventKind::StepFailed { step, problem: self.problem(problem) }
            }
            EventKind::Warning { problem } => EventKind::Warning { problem: self.problem(problem) },
            same @ (EventKind::Changed | EventKind::Removed | EventKind::StepFinished { .. }) => same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_whole_and_line_by_line() {
        let secrets =
            [("A", "s3cret"), ("B", "s3cret-and-more"), ("KEY", "-----BEGIN\nabcdef\n"), ("N", "1")];
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let masks = Masks::new(&BTreeMap::from(secrets));
        assert_eq!(masks.text("x=s3cret-and-more y=s3cret 1"), "x=******** y=******** 1");
        assert_eq!(masks.text("got abcdef"), "got ********");
    }
}
