//! Who wrote what, and what has been seen: the order of writes without a clock.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::AUTHORS_OF_A_SIDE;
use crate::{Key, RunnerId, Token};

/// One of the two ends of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The control plane.
    Server,
    /// A runner.
    Runner(RunnerId),
}

/// One run of one program. It never wrote before it started, whatever its disk says, so its writes are never mistaken for
/// others. Authors of a side are ordered by their runs. As text `SIDE~RUN~TOKEN`, the side being `server` or `@RUNNER`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Author {
    /// Whose program.
    pub side: Side,
    /// Above that of every run of this side that was known as it started.
    pub run: u64,
    /// Random: two runs that started from copies of one disk have the same number.
    pub token: Token,
}

/// Why a text does not name an author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` does not name an author")]
pub struct InvalidAuthor(String);

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.side {
            Side::Server => write!(f, "server~{}~{}", self.run, self.token),
            Side::Runner(id) => write!(f, "@{id}~{}~{}", self.run, self.token),
        }
    }
}

impl From<Author> for String {
    fn from(author: Author) -> Self {
        author.to_string()
    }
}

impl TryFrom<String> for Author {
    type Error = InvalidAuthor;
    fn try_from(text: String) -> Result<Self, InvalidAuthor> {
        let parse = || {
            let mut parts = text.split('~');
            let (side, run, token) = (parts.next()?, parts.next()?, parts.next()?);
            let side = match side.strip_prefix('@') {
                Some(id) => Side::Runner(RunnerId::parse(id).ok()?),
                None if side == "server" => Side::Server,
                None => return None,
            };
            let token = Token::try_from(token.to_owned()).ok()?;
            parts.next().is_none().then_some(Self { side, run: run.parse().ok()?, token })
        };
        parse().ok_or_else(|| InvalidAuthor(text.clone()))
    }
}

/// Names one write, for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    /// Who wrote.
    pub author: Author,
    /// The how-manieth write of that author, from 1.
    pub count: u64,
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}", self.author, self.count)
    }
}

/// Which writes have been seen: of each author those up to a count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(BTreeMap<Author, u64>);

impl Stamp {
    /// Whether a write has been seen.
    pub fn covers(&self, dot: &Dot) -> bool {
        self.0.get(&dot.author).is_some_and(|count| *count >= dot.count)
    }

    /// Whether everything in the other has been seen.
    pub fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|(author, count)| self.0.get(author).is_some_and(|mine| mine >= count))
    }

    /// Each author, and how far it has been seen.
    pub fn iter(&self) -> impl Iterator<Item = (&Author, u64)> {
        self.0.iter().map(|(author, count)| (author, *count))
    }

    /// How many authors there are in it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing has been seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latest run of a side that it knows of, or 0.
    pub fn latest_run(&self, side: &Side) -> u64 {
        self.0.keys().filter(|author| author.side == *side).map(|author| author.run).max().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, dot: &Dot) {
        let count = self.0.entry(dot.author.clone()).or_default();
        *count = dot.count.max(*count);
        self.prune();
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (author, count) in &other.0 {
            match self.0.get_mut(author) {
                Some(mine) => *mine = (*mine).max(*count),
                None => {
                    self.0.insert(author.clone(), *count);
                }
            }
        }
        self.prune();
    }

    /// Forgets the oldest runs of a side that has more of them than is kept. The latest of a union are the latest of the
    /// latest of its parts, so it does not matter in which order stamps are joined.
    fn prune(&mut self) {
        if self.0.len() <= AUTHORS_OF_A_SIDE {
            return;
        }
        let mut of_side = 0;
        let mut side = None;
        let mut forgotten = Vec::new();
        for author in self.0.keys().rev() {
            of_side = if side == Some(&author.side) { of_side + 1 } else { 1 };
            side = Some(&author.side);
            if of_side > AUTHORS_OF_A_SIDE {
                forgotten.push(author.clone());
            }
        }
        for author in forgotten {
            self.0.remove(&author);
        }
    }
}

impl FromIterator<Dot> for Stamp {
    fn from_iter<T: IntoIterator<Item = Dot>>(dots: T) -> Self {
        let mut stamp = Self::default();
        dots.into_iter().for_each(|dot| stamp.add(&dot));
        stamp
    }
}

/// Documents a pen remembers that it wrote in.
const REMEMBERED: usize = 1 << 16;

/// What a program writes with, from its start to its end. It must not be copied nor read back from a disk, so it can be neither.
///
/// A stamp says how far an author has been seen, so each copy an author writes in must hold all that it wrote there before.
/// Where it does not, because a database was set back beneath its server or a runner was given an older copy of what it had
/// let go, the pen goes on as another author, which wrote nothing yet.
#[derive(Debug)]
pub struct Pen {
    author: Author,
    count: u64,
    /// The last write in each document.
    written: BTreeMap<Key, u64>,
}

impl Pen {
    /// The pen of a run that just started. `latest` is the latest run of its side that its disk knows of.
    pub fn new(side: Side, latest: u64, token: Token) -> Self {
        let author = Author { side, run: latest.saturating_add(1), token };
        Self { author, count: 0, written: BTreeMap::new() }
    }

    /// Who writes with it.
    pub fn author(&self) -> &Author {
        &self.author
    }

    /// How many writes it made.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The next write, in a copy that has seen this.
    pub(crate) fn next(&mut self, key: &Key, seen: &Stamp) -> Dot {
        let held = seen.0.get(&self.author).copied().unwrap_or(0);
        let went_back = self.written.get(key).is_some_and(|written| *written > held);
        if went_back || self.written.len() >= REMEMBERED {
            self.author.token = self.author.token.next();
            self.count = 0;
            self.written.clear();
        }
        self.count += 1;
        self.written.insert(key.clone(), self.count);
        Dot { author: self.author.clone(), count: self.count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(run: u64, count: u64) -> Dot {
        Dot { author: Author { side: Side::Server, run, token: Token(run) }, count }
    }

    #[test]
    fn an_author_is_its_text() {
        for side in [Side::Server, Side::Runner(RunnerId::parse("mac-1").unwrap())] {
            let author = Author { side, run: 12, token: Token(0xbeef) };
            assert_eq!(Author::try_from(author.to_string()), Ok(author));
        }
        for text in ["", "server", "server~1", "server~x~0", "other~1~0", "@~1~0", "server~1~0~2", "@a~1~zz"]
        {
            assert!(Author::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pen_on_a_copy_that_went_back_is_another_author() {
        let mut pen = Pen::new(Side::Server, 0, Token(7));
        let (key, other) = (Key::parse("a").unwrap(), Key::parse("b").unwrap());
        let first = pen.next(&key, &Stamp::default());
        let seen: Stamp = [first.clone()].into_iter().collect();
        assert_eq!(pen.next(&other, &Stamp::default()).author, first.author);
        let third = pen.next(&key, &seen);
        assert_eq!((third.author.clone(), third.count), (first.author, 3));
        let fourth = pen.next(&key, &seen);
        assert_eq!(fourth.count, 1);
        assert_ne!(fourth.author, third.author);
    }

    #[test]
    fn the_oldest_runs_are_forgotten_in_any_order() {
        let runs = 1..=3 * AUTHORS_OF_A_SIDE as u64;
        let forwards: Stamp = runs.clone().map(|run| dot(run, 1)).collect();
        let backwards: Stamp = runs.clone().rev().map(|run| dot(run, 1)).collect();
        assert_eq!(forwards, backwards);
        assert_eq!(forwards.len(), AUTHORS_OF_A_SIDE);
        assert!(forwards.covers(&dot(*runs.end(), 1)) && !forwards.covers(&dot(1, 1)));
    }
}
