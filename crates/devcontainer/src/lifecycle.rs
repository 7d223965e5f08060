//! Lifecycle commands: the three forms in which one is written, and the lists that run at each stage.

use crate::decode::{Mistakes, Spot};
use crate::jsonc::NodeKind;
use crate::ordered;
use serde::{Deserialize, Serialize};

/// What was expected where something else stands.
const EXPECTED: &str = "a string, an array of strings, or an object of these";

/// One lifecycle command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Command {
    /// A line for `/bin/sh -c`.
    Shell(String),
    /// A program and its arguments, run without a shell; never empty.
    Exec(Vec<String>),
    /// Named commands that run at the same time. The stage is over when all are, and fails if one does.
    /// None of them is itself `Parallel`.
    Parallel(#[serde(with = "ordered")] Vec<(String, Command)>),
}

/// The commands of each stage, in the order in which they run: those of the image first, the
/// configuration's own last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// Once, after the container was first started.
    pub on_create: Vec<Command>,
    /// Once after `on_create`, and again when a prebuilt container gets newer sources.
    pub update_content: Vec<Command>,
    /// Once, after `update_content`; the first stage that sees the user's secrets.
    pub post_create: Vec<Command>,
    /// At every start.
    pub post_start: Vec<Command>,
    /// Whenever a tool attaches.
    pub post_attach: Vec<Command>,
}

impl Command {
    /// Reads a command in any form; `None` for one that says nothing (`""`, `[]`, `{}`).
    pub(crate) fn decode(spot: Spot, mistakes: &mut Mistakes) -> Option<Self> {
        if !matches!(spot.node.kind, NodeKind::Map(_)) {
            return Self::decode_single(spot, EXPECTED, mistakes);
        }
        let commands: Vec<(String, Self)> = spot
            .fields(EXPECTED, mistakes)?
            .into_spots()
            .filter(|(_, spot)| spot.node.kind != NodeKind::Null)
            .filter_map(|(name, spot)| {
                let command = Self::decode_single(spot, "a string or an array of strings", mistakes)?;
                Some((name, command))
            })
            .collect();
        (!commands.is_empty()).then_some(Self::Parallel(commands))
    }

    fn decode_single(spot: Spot, expected: &str, mistakes: &mut Mistakes) -> Option<Self> {
        match spot.node.kind {
            NodeKind::Text(line) => (!line.trim().is_empty()).then_some(Self::Shell(line)),
            _ => spot.texts(expected, mistakes).filter(|words| !words.is_empty()).map(Self::Exec),
        }
    }

    /// Calls `change` with every string in the command, names excluded.
    pub(crate) fn for_each_text(&mut self, change: &mut dyn FnMut(&mut String)) {
        match self {
            Self::Shell(line) => change(line),
            Self::Exec(words) => words.iter_mut().for_each(change),
            Self::Parallel(commands) => {
                for (_, command) in commands {
                    command.for_each_text(change);
                }
            }
        }
    }
}

impl Lifecycle {
    /// Calls `change` with every string of every command.
    pub(crate) fn for_each_text(&mut self, change: &mut dyn FnMut(&mut String)) {
        let stages = [
            &mut self.on_create,
            &mut self.update_content,
            &mut self.post_create,
            &mut self.post_start,
            &mut self.post_attach,
        ];
        for command in stages.into_iter().flatten() {
            command.for_each_text(change);
        }
    }
}
