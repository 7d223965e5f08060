//! Whose value of a field counts.

use std::collections::BTreeMap;

use crate::Side;

/// Who decides about a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Between values written without knowing of each other, the server's counts.
    Server,
    /// Between values written without knowing of each other, the runner's counts.
    Runner,
    /// Only the server writes it.
    ServerAlone,
}

impl Owner {
    pub(crate) fn is(self, side: &Side) -> bool {
        match side {
            Side::Server => self != Self::Runner,
            Side::Runner(_) => self == Self::Runner,
        }
    }
}

/// The owner of each field. An entry holds for a field and for all below it; the longest one counts.
#[derive(Debug, Clone)]
pub struct Owners {
    entries: BTreeMap<String, Owner>,
    otherwise: Owner,
}

impl Owners {
    /// A table, and who owns what is not in it.
    pub fn new<'a>(entries: impl IntoIterator<Item = (&'a str, Owner)>, otherwise: Owner) -> Self {
        let entries = entries.into_iter().map(|(field, owner)| (field.to_owned(), owner)).collect();
        Self { entries, otherwise }
    }

    /// Who owns a field.
    pub fn of(&self, field: &str) -> Owner {
        let mut field = field;
        loop {
            if let Some(owner) = self.entries.get(field) {
                return *owner;
            }
            match field.rsplit_once('/') {
                Some((parent, _)) => field = parent,
                None => return self.otherwise,
            }
        }
    }
}

impl Default for Owners {
    /// Cove's: who sits at the computer decides what runs there, the server where things are and what is allowed.
    fn default() -> Self {
        let entries = [
            (crate::PLACED, Owner::Server),
            ("class", Owner::Server),
            ("project", Owner::Server),
            ("policy", Owner::ServerAlone),
            ("size", Owner::ServerAlone),
        ];
        Self::new(entries, Owner::Runner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_entry_counts() {
        let owners = Owners::new([("a", Owner::Server), ("a/b", Owner::ServerAlone)], Owner::Runner);
        for (field, owner) in [
            ("a", Owner::Server),
            ("a/c", Owner::Server),
            ("a/b", Owner::ServerAlone),
            ("a/b/c", Owner::ServerAlone),
            ("ab", Owner::Runner),
            ("b/a", Owner::Runner),
        ] {
            assert_eq!(owners.of(field), owner, "{field}");
        }
    }
}
