//! What can go wrong with features before anything is downloaded or run, and what a person should know.

use super::reference::ReferenceError;
use crate::jsonc::Position;
use std::fmt;

/// Where something about a feature is said: in the configuration, or in another feature's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, or the feature in whose file it stands; empty for what came with the command line.
    pub file: String,
    /// Where in the file, if that is known.
    pub position: Option<Position>,
    /// The property by its path, for example `features.node.version`.
    pub property: String,
}

impl fmt::Display for Place {
    /// `file:line:column: "property"`, without what is not known.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_str(), self.position) {
            ("", _) => {}
            (file, Some(position)) => write!(out, "{}:{position}: ", printable(file))?,
            (file, None) => write!(out, "{}: ", printable(file))?,
        }
        write!(out, "\"{}\"", printable(&self.property))
    }
}

fn printable(text: &str) -> String {
    text.chars().flat_map(crate::warning::printable).collect()
}

/// One thing wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureMistake {
    /// Where it stands.
    pub place: Place,
    /// What is wrong.
    pub problem: FeatureProblem,
}

impl fmt::Display for FeatureMistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, printable(&self.problem.to_string()))
    }
}

/// What can be wrong with what is said about a feature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureProblem {
    /// It names no feature.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The value beside a feature is none of those that it may be.
    #[error("expected an object with options, or a version as a string, found {found}")]
    Options {
        /// What stands there.
        found: &'static str,
    },
    /// An option is given something that cannot be a variable.
    #[error("expected a string, a number, true or false, found {found}")]
    Value {
        /// What stands there.
        found: &'static str,
    },
}

/// Why the features of a configuration cannot be installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// What is said about features is wrong. Shown one to a line.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid(
        /// Every mistake; never empty.
        Vec<FeatureMistake>,
    ),
    /// What was fetched is not what the lockfile or the reference itself says.
    #[error(
        "the content of feature `{written}` is not what {} says: expected {expected}, found {found}",
        if *locked { "the lockfile" } else { "its digest" }
    )]
    Integrity {
        /// The feature as written.
        written: String,
        /// The digest that it should have.
        expected: String,
        /// The digest of what came.
        found: String,
        /// Whether the lockfile says so, as opposed to the reference.
        locked: bool,
    },
    /// Features wait for each other.
    #[error("features wait for each other: {}", .0.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" waits for "))]
    Cycle(
        /// Features as written, each waiting for the next; the last is the first.
        Vec<String>,
    ),
    /// Dependencies of dependencies without an end.
    #[error("more than {limit} features come together; the dependencies of `{written}` go too far")]
    TooMany {
        /// How many are allowed.
        limit: usize,
        /// The feature that was one too many.
        written: String,
    },
    /// Something was not fetched yet: a mistake of the caller.
    #[error("feature `{written}` was not fetched")]
    NotFetched {
        /// The feature as written.
        written: String,
    },
}

/// Something that works but that a person should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureWarning {
    /// What it is about.
    pub place: Place,
    /// What to know.
    pub kind: WarningKind,
}

impl fmt::Display for FeatureWarning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, printable(&self.kind.to_string()))
    }
}

/// What a person should know about a feature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WarningKind {
    /// A reference of the time before registries.
    #[error("`{written}` is an old name, write `{successor}`")]
    LegacyReference {
        /// As written.
        written: String,
        /// What it stands for.
        successor: String,
    },
    /// The feature goes by another id today.
    #[error("the feature was renamed, write `{current}`")]
    Renamed {
        /// Its present reference.
        current: String,
    },
    /// Its author has given it up.
    #[error("feature `{id}` is deprecated and gets no more updates")]
    Deprecated {
        /// Its id.
        id: String,
    },
    /// The feature does not list the option. It is passed on, as some features read more than they list.
    #[error("the feature has no option `{option}`{}", suggestion(near.as_deref(), known))]
    UnknownOption {
        /// The option as written.
        option: String,
        /// An option that is called like it.
        near: Option<String>,
        /// Every option there is.
        known: Vec<String>,
    },
    /// The feature lists the values it takes, and this is none. It is passed on: such lists lag behind.
    #[error("`{value}` is not among the values the feature lists{}", suggestion(near.as_deref(), known))]
    UnknownValue {
        /// The value as written.
        value: String,
        /// A listed value that looks like it.
        near: Option<String>,
        /// Every listed value.
        known: Vec<String>,
    },
    /// An option that takes one value was given a list.
    #[error("an option takes a string or a boolean; this list is handed on as `{text}`")]
    ListValue {
        /// What the feature's script sees.
        text: String,
    },
    /// A name in `overrideFeatureInstallOrder` that no installed feature has.
    #[error("no feature to install is called `{written}`")]
    UnusedOverride {
        /// As written.
        written: String,
    },
    /// A name in a feature's `installsAfter` that names nothing; it cannot have any effect.
    #[error(transparent)]
    UnusableOrder(ReferenceError),
}

fn suggestion(near: Option<&str>, known: &[String]) -> String {
    match near {
        Some(near) => format!("; did you mean `{near}`?"),
        None if known.is_empty() => String::new(),
        None => format!(" ({})", known.join(", ")),
    }
}
