//! Lock files: which Debian packages an image is made of, by name, version and digest.
//!
//! One line a package, sorted by name, so that a change reads well in a review. No mirror is named: a path is
//! relative to whatever archive the machine's apt uses.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::digest::Digest;

const HEAD: &str = "\
# Written by `cargo xtask image`, from the signed indexes of Debian. One package a line:
# name version sha256 size path
";

/// A pinned package file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    /// Package name.
    pub(crate) name: String,
    /// Full Debian version, epoch included.
    pub(crate) version: String,
    /// Digest of the `.deb`.
    pub(crate) sha256: Digest,
    /// Length of the `.deb` in bytes.
    pub(crate) size: u64,
    /// Path below the archive: `pool/...`; the security archive's begin with `pool/updates/`.
    pub(crate) path: String,
}

/// The pinned packages of one image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    /// Digest of the requests that the lock answers; another digest means that the list was edited.
    pub(crate) wanted: Option<Digest>,
    pins: BTreeMap<String, Pin>,
}

/// A lock file that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not `name version sha256 size path`: `{text}`")]
pub(crate) struct LockSyntax {
    line: usize,
    text: String,
}

/// A package that a new lock has in another version, has newly, or has no more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Move {
    name: String,
    from: Option<String>,
    to: Option<String>,
}

impl Lock {
    /// Makes a lock of pins, for the requests with this digest.
    pub(crate) fn new(wanted: Digest, pins: impl IntoIterator<Item = Pin>) -> Self {
        let pins = pins.into_iter().map(|pin| (pin.name.clone(), pin)).collect();
        Self { wanted: Some(wanted), pins }
    }

    /// Reads a lock file's text.
    ///
    /// # Errors
    /// The first line that is not a pin.
    pub(crate) fn parse(text: &str) -> Result<Self, LockSyntax> {
        let mut lock = Self::default();
        for (index, line) in text.lines().enumerate() {
            if let Some(comment) = line.strip_prefix('#') {
                if let Some(digest) = comment.trim().strip_prefix("wanted ") {
                    lock.wanted = Digest::parse(digest);
                }
                continue;
            }
            let pin = pin(line).ok_or_else(|| LockSyntax { line: index + 1, text: line.to_owned() })?;
            lock.pins.insert(pin.name.clone(), pin);
        }
        Ok(lock)
    }

    /// Every pin, by name.
    pub(crate) fn pins(&self) -> impl Iterator<Item = &Pin> {
        self.pins.values()
    }

    /// How many packages are pinned.
    pub(crate) fn len(&self) -> usize {
        self.pins.len()
    }

    /// The newer lock, with this lock's pin wherever `newer` has the same package and `moves` does not say that it
    /// must move.
    pub(crate) fn advance(&self, newer: &Self, moves: impl Fn(&str) -> bool) -> Self {
        let keep = |pin: &Pin| match self.pins.get(&pin.name) {
            Some(old) if !moves(&pin.name) => old.clone(),
            _ => pin.clone(),
        };
        Self {
            wanted: newer.wanted.clone(),
            pins: newer.pins.values().map(|pin| (pin.name.clone(), keep(pin))).collect(),
        }
    }

    /// What differs in `newer`, by name.
    pub(crate) fn moved_in(&self, newer: &Self) -> Vec<Move> {
        let mut names: Vec<&String> = self.pins.keys().chain(newer.pins.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let version = |lock: &Self, name: &str| lock.pins.get(name).map(|pin| pin.version.clone());
        names
            .into_iter()
            .filter(|name| self.pins.get(*name) != newer.pins.get(*name))
            .map(|name| Move { name: name.clone(), from: version(self, name), to: version(newer, name) })
            .collect()
    }

    /// Digest of the lock file's text: the name of this set of packages.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.to_string())
    }
}

fn pin(line: &str) -> Option<Pin> {
    let mut fields = line.split(' ');
    let pin = Pin {
        name: fields.next().filter(|name| !name.is_empty())?.to_owned(),
        version: fields.next()?.to_owned(),
        sha256: Digest::parse(fields.next()?)?,
        size: fields.next()?.parse().ok()?,
        path: fields.next().filter(|path| path.starts_with("pool/"))?.to_owned(),
    };
    fields.next().is_none().then_some(pin)
}

impl fmt::Display for Lock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HEAD)?;
        if let Some(wanted) = &self.wanted {
            writeln!(formatter, "# wanted {wanted}")?;
        }
        for pin in self.pins.values() {
            writeln!(formatter, "{} {} {} {} {}", pin.name, pin.version, pin.sha256, pin.size, pin.path)?;
        }
        Ok(())
    }
}

impl fmt::Display for Move {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        match (&self.from, &self.to) {
            (Some(from), Some(to)) if from == to => write!(formatter, " {from}, published again"),
            (Some(from), Some(to)) => write!(formatter, " {from} -> {to}"),
            (None, Some(to)) => write!(formatter, " {to}, new"),
            (Some(from), None) => write!(formatter, " {from}, gone"),
            (None, None) => formatter.write_char('?'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(name: &str, version: &str) -> Pin {
        let path = format!("pool/main/x/{name}_{version}.deb");
        Pin { name: name.into(), version: version.into(), sha256: Digest::of(version), size: 7, path }
    }

    fn lock(pins: &[(&str, &str)]) -> Lock {
        Lock::new(Digest::of("list"), pins.iter().map(|(name, version)| pin(name, version)))
    }

    #[test]
    fn text_comes_back_the_same_and_sorted() {
        let lock = lock(&[("zlib", "1:1.3"), ("apt", "3.0~rc1+b2")]);
        let text = lock.to_string();
        assert_eq!(Lock::parse(&text), Ok(lock));
        assert!(text.find("\napt").unwrap() < text.find("\nzlib").unwrap());
    }

    #[test]
    fn a_bad_line_is_named() {
        for bad in ["apt 1 2 3", "apt 1 nothex 3 pool/x", ""] {
            let text = format!("{}{bad}\n", lock(&[("apt", "1")]));
            let error = Lock::parse(&text).unwrap_err();
            assert_eq!((error.line, error.text.as_str()), (5, bad));
        }
    }

    #[test]
    fn only_what_must_move_moves() {
        let old = lock(&[("apt", "1"), ("git", "1"), ("linux-6.1", "6.1")]);
        let newer = lock(&[("apt", "2"), ("git", "2"), ("linux-6.2", "6.2")]);
        let next = old.advance(&newer, |name| name == "git");
        assert_eq!(next, lock(&[("apt", "1"), ("git", "2"), ("linux-6.2", "6.2")]));
        let moves: Vec<String> = old.moved_in(&next).iter().map(ToString::to_string).collect();
        assert_eq!(moves, ["git 1 -> 2", "linux-6.1 6.1, gone", "linux-6.2 6.2, new"]);
    }
}
