//! What is wrong with a file, and where.

use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use devcontainer::Position;

/// One thing wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands.
    pub position: Position,
    /// The property by its path, for example `services.db.commands.start`; empty for the file as a whole.
    pub property: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Mistake {
    /// `line:column: "property": message`, on one line whatever the file says.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.position)?;
        if !self.property.is_empty() {
            write!(out, "\"{}\": ", printable(&self.property))?;
        }
        out.write_str(&printable(&self.message))
    }
}

/// What a file says is repeated in messages: it must not break the line or steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Why a file was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", one_to_a_line(file, mistakes))]
pub struct ReadError {
    /// The file as it was named.
    pub file: Utf8PathBuf,
    /// Every mistake, in the order of the text; never empty.
    pub mistakes: Vec<Mistake>,
}

fn one_to_a_line(file: &Utf8Path, mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("{file}:{mistake}")).collect::<Vec<_>>().join("\n")
}

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// More of them tell nobody more.
    pub(crate) const MOST: usize = 100;

    pub(crate) fn add(&mut self, position: Position, property: &str, message: impl Into<String>) {
        if !self.is_full() {
            self.0.push(Mistake { position, property: property.to_owned(), message: message.into() });
        }
    }

    /// Whether no more are kept.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= Self::MOST
    }

    /// All of them in the order of the text; `None` without any.
    pub(crate) fn told(mut self) -> Option<Vec<Mistake>> {
        self.0.sort_by_key(|mistake| mistake.position);
        (!self.0.is_empty()).then_some(self.0)
    }
}
