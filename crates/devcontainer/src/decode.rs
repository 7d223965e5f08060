//! Takes typed properties out of a parsed text and notes every mistake with its place.
//!
//! Reading goes on after a mistake, so that a person sees all of them in one go. `null` counts as absent
//! everywhere, as it does for the tools these files were written for.

use crate::jsonc::{Field, Node, NodeKind, Position, to_map};
use crate::mount::MountError;
use crate::near;
use crate::resolve::ReadError;
use crate::warning::printable;
use camino::Utf8PathBuf;
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;

/// One thing wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file it stands in, where that is not the one that was asked for but one that it extends.
    pub file: Option<Utf8PathBuf>,
    /// Where the value stands.
    pub position: Position,
    /// The property by its path, for example `build.args.VERSION`.
    pub property: String,
    /// What is wrong with it.
    pub problem: Problem,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = match self.property.as_str() {
            "" => self.problem.to_string(),
            property => format!("\"{property}\": {}", self.problem),
        };
        let printable: String = message.chars().flat_map(printable).collect();
        write!(out, "{}: {printable}", self.position)
    }
}

/// What can be wrong with a property.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The value is of the wrong type, or not among the allowed ones.
    #[error("expected {expected}, found {found}{}", did_you_mean(near.as_deref()))]
    Unexpected {
        /// What is allowed.
        expected: String,
        /// What stands there.
        found: String,
        /// The allowed word that was probably meant.
        near: Option<String>,
    },
    /// The property has to be there because another one is.
    #[error("is required beside \"{beside}\"")]
    Required {
        /// The property that asks for it.
        beside: &'static str,
    },
    /// Two properties each say what the container is made of.
    #[error("cannot be combined with \"{other}\": a container comes from an image, a Dockerfile or compose")]
    Conflict {
        /// The property it contradicts.
        other: &'static str,
    },
    /// Nothing says what the container is made of.
    #[error("expected one of \"image\", \"build\" or \"dockerComposeFile\"{}", is_misspelling(near.as_deref()))]
    NoContainer {
        /// A property that looks like a misspelt one of these.
        near: Option<String>,
    },
    /// A file that the property names does not exist.
    #[error("there is no file `{path}`")]
    NoFile {
        /// The absolute path that was looked for.
        path: Utf8PathBuf,
    },
    /// Something that is not a file of the same repository is to be extended.
    #[error("cannot extend `{base}`: expected the relative path of a JSON file in the same repository")]
    NotLocal {
        /// What is to be extended, as written.
        base: String,
    },
    /// A file extends itself, perhaps through others.
    #[error("the file extends itself: {}", chain.iter().map(|file| format!("`{file}`")).collect::<Vec<_>>().join(" → "))]
    Cycle {
        /// The files, each extending the next, the first again at the end.
        chain: Vec<Utf8PathBuf>,
    },
    /// A mount string that cannot be understood.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// `${localEnv}` without the name of a variable.
    #[error("`{variable}` names no variable, expected for example `${{localEnv:HOME}}`")]
    NamelessVariable {
        /// As it is written.
        variable: String,
    },
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map(|word| format!("; did you mean \"{word}\"?")).unwrap_or_default()
}

fn is_misspelling(near: Option<&str>) -> String {
    near.map(|name| format!("; is \"{name}\" a misspelling?")).unwrap_or_default()
}

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(pub(crate) Vec<Mistake>);

impl Mistakes {
    pub(crate) fn add(&mut self, position: Position, property: &str, problem: impl Into<Problem>) {
        let property = property.to_owned();
        self.0.push(Mistake { file: None, position, property, problem: problem.into() });
    }
}

impl Mistakes {
    /// The whole text is something else than an object.
    pub(crate) fn unexpected_root(&mut self, node: Node) {
        let _: Option<()> = Spot::root(node).unexpected("an object", self);
    }

    /// A property that has to be there is not.
    pub(crate) fn missing(&mut self, at: Position, name: &str) {
        let (expected, found) = ("a string that is not empty".to_owned(), "nothing".to_owned());
        self.add(at, name, Problem::Unexpected { expected, found, near: None });
    }

    /// The error that tells all of them, in the order of the text. `files` are those of
    /// [`Position::source`].
    pub(crate) fn refuse(mut self, files: &[Utf8PathBuf]) -> ReadError {
        self.0.sort_by_key(|mistake| mistake.position);
        for mistake in &mut self.0 {
            mistake.file = files
                .get(usize::from(mistake.position.source))
                .filter(|_| mistake.position.source > 0)
                .cloned();
        }
        ReadError::Invalid { file: files.first().cloned().unwrap_or_default(), mistakes: self.0 }
    }
}

/// The properties of an object; each is taken out once, what is left over is unknown.
#[derive(Debug)]
pub(crate) struct Fields {
    /// The path of the object itself, empty for the whole text.
    path: String,
    pub(crate) at: Position,
    entries: Vec<Field>,
}

/// A value and the path that leads to it.
#[derive(Debug, Clone)]
pub(crate) struct Spot {
    pub(crate) path: String,
    pub(crate) node: Node,
}

/// An enumeration that is written as one of a few words.
pub(crate) trait Choice: Serialize + Copy + 'static {
    /// Every value.
    const ALL: &'static [Self];

    /// The word for this value.
    fn word(self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::String(word)) => word,
            _ => String::new(),
        }
    }
}

impl Fields {
    /// The properties of a whole text; none if it is no object.
    pub(crate) fn root(node: Node) -> Self {
        let at = node.at;
        let entries = match node.kind {
            NodeKind::Map(entries) => entries,
            _ => Vec::new(),
        };
        Self { path: String::new(), at, entries }
    }

    /// Takes a property; `None` when it is absent or `null`.
    pub(crate) fn take(&mut self, name: &str) -> Option<Spot> {
        let index = self.entries.iter().position(|field| field.name == name)?;
        let field = self.entries.remove(index);
        let spot = Spot { path: self.path_of(name), node: field.value };
        (spot.node.kind != NodeKind::Null).then_some(spot)
    }

    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Where a property's value stands.
    pub(crate) fn position_of(&self, name: &str) -> Option<Position> {
        self.entries.iter().find(|field| field.name == name).map(|field| field.value.at)
    }

    /// The properties of these names that have not been taken.
    pub(crate) fn only(&self, names: &[&str]) -> Map<String, Value> {
        let wanted = self.entries.iter().filter(|field| names.contains(&field.name.as_str()));
        wanted.map(|field| (field.name.clone(), field.value.to_value())).collect()
    }

    /// The names of what has not been taken, and where each stands.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&str, Position)> {
        self.entries.iter().map(|field| (field.name.as_str(), field.at))
    }

    /// What has not been taken.
    pub(crate) fn rest(&self) -> Map<String, Value> {
        to_map(&self.entries)
    }

    /// Every remaining property in the order it is written, `null` included.
    pub(crate) fn into_spots(self) -> impl Iterator<Item = (String, Spot)> {
        let path = self.path;
        self.entries.into_iter().map(move |field| {
            let path = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
            (field.name, Spot { path, node: field.value })
        })
    }

    pub(crate) fn text(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<String> {
        self.take(name)?.text(mistakes)
    }

    /// A string; an empty one counts as absent.
    pub(crate) fn filled_text(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<String> {
        self.text(name, mistakes).filter(|text| !text.is_empty())
    }

    pub(crate) fn flag(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<bool> {
        let spot = self.take(name)?;
        match spot.node.kind {
            NodeKind::Bool(flag) => Some(flag),
            _ => spot.unexpected("true or false", mistakes),
        }
    }

    pub(crate) fn texts(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<Vec<String>> {
        self.take(name)?.texts("an array of strings", mistakes)
    }

    /// A string or an array of strings.
    pub(crate) fn text_or_texts(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<Vec<String>> {
        let spot = self.take(name)?;
        match spot.node.kind {
            NodeKind::Text(text) => Some(vec![text]),
            _ => spot.texts("a string or an array of strings", mistakes),
        }
    }

    pub(crate) fn fields(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<Fields> {
        self.take(name)?.fields("an object", mistakes)
    }

    /// An object kept as it is.
    pub(crate) fn map(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<Map<String, Value>> {
        self.fields(name, mistakes).map(|fields| fields.rest())
    }

    pub(crate) fn choice<C: Choice>(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<C> {
        let spot = self.take(name)?;
        let found = match &spot.node.kind {
            NodeKind::Text(text) => C::ALL.iter().copied().find(|choice| choice.word() == *text),
            _ => None,
        };
        // A word that is not allowed is refused, though the reference passes it on to whoever reads its
        // output: what the author wanted would silently not happen.
        found.or_else(|| {
            let words: Vec<String> = C::ALL.iter().map(|choice| choice.word()).collect();
            let near = match &spot.node.kind {
                NodeKind::Text(text) => near::closest(text, words.iter().map(String::as_str)),
                _ => None,
            };
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            let expected = format!("one of {}", quoted.join(", "));
            mistakes.add(spot.node.at, &spot.path, spot.problem(&expected, near.map(str::to_owned)));
            None
        })
    }
}

impl Spot {
    /// The whole of a text, as its own root.
    pub(crate) fn root(node: Node) -> Self {
        Self { path: String::new(), node }
    }

    /// Notes that something else was expected here.
    pub(crate) fn unexpected<T>(&self, expected: &str, mistakes: &mut Mistakes) -> Option<T> {
        mistakes.add(self.node.at, &self.path, self.problem(expected, None));
        None
    }

    fn problem(&self, expected: &str, near: Option<String>) -> Problem {
        Problem::Unexpected { expected: expected.to_owned(), found: describe(&self.node.kind), near }
    }

    pub(crate) fn text(self, mistakes: &mut Mistakes) -> Option<String> {
        match self.node.kind {
            NodeKind::Text(text) => Some(text),
            _ => self.unexpected("a string", mistakes),
        }
    }

    /// A string that says something.
    pub(crate) fn filled_text(self, expected: &str, mistakes: &mut Mistakes) -> Option<String> {
        match self.node.kind {
            NodeKind::Text(text) if !text.trim().is_empty() => Some(text),
            _ => self.unexpected(expected, mistakes),
        }
    }

    /// A string, or a number or boolean taken as the text it is written as. Values of variables and build
    /// arguments are often written without their quotes.
    pub(crate) fn scalar(self, mistakes: &mut Mistakes) -> Option<String> {
        match self.node.kind {
            NodeKind::Text(text) => Some(text),
            NodeKind::Number(number) => Some(number.to_string()),
            NodeKind::Bool(flag) => Some(flag.to_string()),
            _ => self.unexpected("a string", mistakes),
        }
    }

    pub(crate) fn texts(self, expected: &str, mistakes: &mut Mistakes) -> Option<Vec<String>> {
        let spots = self.items(expected, mistakes)?;
        Some(spots.into_iter().filter_map(|spot| spot.text(mistakes)).collect())
    }

    pub(crate) fn items(self, expected: &str, mistakes: &mut Mistakes) -> Option<Vec<Spot>> {
        let NodeKind::List(items) = self.node.kind else { return self.unexpected(expected, mistakes) };
        let path = self.path;
        Some(
            items
                .into_iter()
                .enumerate()
                .map(|(index, node)| Spot { path: format!("{path}[{index}]"), node })
                .collect(),
        )
    }

    pub(crate) fn fields(self, expected: &str, mistakes: &mut Mistakes) -> Option<Fields> {
        match self.node.kind {
            NodeKind::Map(entries) => Some(Fields { path: self.path, at: self.node.at, entries }),
            _ => self.unexpected(expected, mistakes),
        }
    }

    /// A whole number that is not negative.
    pub(crate) fn whole_number(&self) -> Option<u64> {
        match &self.node.kind {
            NodeKind::Number(number) => number.as_u64(),
            _ => None,
        }
    }
}

/// A value as a person would name it, short enough for a message.
fn describe(kind: &NodeKind) -> String {
    match kind {
        NodeKind::Null => "null".to_owned(),
        NodeKind::Bool(flag) => flag.to_string(),
        NodeKind::Number(number) => number.to_string(),
        NodeKind::Text(text) if text.chars().count() > 60 => {
            format!("\"{}…\"", text.chars().take(60).collect::<String>().escape_debug())
        }
        NodeKind::Text(text) => format!("\"{}\"", text.escape_debug()),
        NodeKind::List(items) if items.is_empty() => "an empty array".to_owned(),
        NodeKind::List(_) => "an array".to_owned(),
        NodeKind::Map(_) => "an object".to_owned(),
    }
}
