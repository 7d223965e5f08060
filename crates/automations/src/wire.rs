//! What the daemon and the program inside the container say to each other: one JSON value a line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Automations, Exit, Item, Phase, State, Wish};

/// What the daemon tells: everything, each time. Sent again it changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Which run of the container this is for: everything of an earlier one has ended with it.
    pub run: String,
    /// The working folder of commands.
    pub folder: String,
    /// What is declared.
    pub automations: Automations,
    /// What is wanted.
    pub wish: Wish,
    /// The values of the secrets that variables name.
    pub secrets: BTreeMap<String, String>,
    /// Identifies each of those values: another one with each change.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
    /// What somebody else looks after, in another container, and how it stands there. It is waited for and no more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub elsewhere: BTreeMap<Item, State>,
}

impl Order {
    /// Whether another one asks for the same, whatever each remembers of how tasks ended, and however all stands
    /// elsewhere.
    pub fn asks_same(&self, other: &Self) -> bool {
        let forget = |order: &Self| {
            let mut order = order.clone();
            order.wish.tasks.values_mut().for_each(|task| task.ended = None);
            order.elsewhere.clear();
            order
        };
        forget(self) == forget(other)
    }
}

/// What the program inside tells: how everything stands, each time something changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Process id of the one that looks after everything, in the container.
    pub pid: u32,
    /// Digest of what is declared, as it was told last.
    pub declared: String,
    /// How each stands.
    pub items: BTreeMap<Item, Status>,
}

/// How one stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where it is.
    pub phase: Phase,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// The session it acted on last.
    pub session: String,
    /// The first process of it, in the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How it ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// What is wrong, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How often it was started again in a row.
    pub restarts: u32,
    /// How long it last took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<u64>,
    /// What a task left for others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// The secrets it was started with last, by the versions of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// The last lines it wrote, where it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
}

impl Status {
    /// As one who waits for it needs to know it.
    pub fn state(&self) -> State {
        State {
            phase: self.phase,
            session: self.session.clone(),
            message: self.message.clone(),
            outputs: self.outputs.clone(),
            ..State::default()
        }
    }
}

/// One program to run, as it is told to the process that stands over it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runnable {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables on top of those there are.
    pub env: BTreeMap<String, String>,
    /// Working folder.
    pub folder: String,
    /// Identifies this start of it.
    pub token: String,
}
