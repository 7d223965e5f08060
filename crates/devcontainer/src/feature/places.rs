//! Finds again where in a configuration something about a feature stands.

use crate::jsonc::{self, Node, NodeKind, Position};

/// A configuration's text, for its places; empty when the text is not known.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    root: Option<Node>,
}

impl Places {
    /// A text that cannot be read has no places; why it cannot is told by whoever reads it for its content.
    pub(super) fn of(text: &[u8]) -> Self {
        Self { root: jsonc::parse(text).ok() }
    }

    /// Where the value behind these keys stands. A number is an index into an array.
    pub(super) fn value(&self, path: &[&str]) -> Option<Position> {
        self.node(path).map(|node| node.at)
    }

    /// Where the last of these keys stands.
    pub(super) fn key(&self, path: &[&str]) -> Option<Position> {
        let (last, before) = path.split_last()?;
        match &self.node(before)?.kind {
            NodeKind::Map(fields) => fields.iter().find(|field| field.name == *last).map(|field| field.at),
            _ => None,
        }
    }

    fn node(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self.root.as_ref()?, |node, step| match &node.kind {
            NodeKind::Map(fields) => {
                fields.iter().find(|field| field.name == *step).map(|field| &field.value)
            }
            NodeKind::List(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}
