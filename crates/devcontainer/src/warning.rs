//! What is odd about a configuration without being wrong.

use crate::jsonc::Position;
use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that a person should look at, and where. Nothing is refused for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// The file it stands in.
    pub file: Utf8PathBuf,
    /// Where the property stands.
    pub position: Position,
    /// The property by its path.
    pub property: String,
    /// What is odd about it.
    pub oddity: Oddity,
}

/// What can be odd about a property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Oddity {
    /// Nobody knows the property, and one that is known has almost the same name.
    #[error("unknown property, kept as it is; did you mean \"{near}\"?")]
    Misspelt {
        /// The property that was probably meant.
        near: String,
    },
    /// The property means nothing beside another one.
    #[error("has no effect beside \"{beside}\"")]
    NoEffect {
        /// The other property.
        beside: String,
    },
}

impl fmt::Display for Warning {
    /// `file:line:column: "property": what is odd`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = format!("\"{}\": {}", self.property, self.oddity);
        let printable: String = message.chars().flat_map(printable).collect();
        write!(out, "{}:{}: {printable}", self.file, self.position)
    }
}

/// What a file says is repeated in messages: it must not break the line or steer the terminal.
pub(crate) fn printable(character: char) -> Vec<char> {
    if character.is_control() { character.escape_default().collect() } else { vec![character] }
}
