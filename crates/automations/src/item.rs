//! The name of one thing that a file declares.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A service or a task. As text `services/NAME` or `tasks/NAME`: the two kinds have names of their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Item {
    /// A service.
    Service(String),
    /// A task.
    Task(String),
}

/// Longest name, by the schema of the files.
const MAX_NAME: usize = 128;

impl Item {
    /// Its name without its kind.
    pub fn name(&self) -> &str {
        match self {
            Self::Service(name) | Self::Task(name) => name,
        }
    }

    /// Reads `services/NAME` or `tasks/NAME`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('/')?;
        if !is_name(name) {
            return None;
        }
        match kind {
            "services" => Some(Self::Service(name.to_owned())),
            "tasks" => Some(Self::Task(name.to_owned())),
            _ => None,
        }
    }
}

/// Whether a text can be the name of a service or task.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "services/{name}"),
            Self::Task(name) => write!(f, "tasks/{name}"),
        }
    }
}

impl TryFrom<String> for Item {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is neither services/NAME nor tasks/NAME"))
    }
}

impl From<Item> for String {
    fn from(item: Item) -> Self {
        item.to_string()
    }
}
