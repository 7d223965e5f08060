//! Takes properties out of a tree, one by one, and notes what is wrong or left over.

use devcontainer::{Position, closest};

use crate::mistake::Mistakes;
use crate::yaml::{Entry, Kind, Node};

/// A mapping whose properties are taken one by one.
pub(crate) struct Fields {
    path: String,
    pub(crate) at: Position,
    entries: Vec<Entry>,
    known: Vec<&'static str>,
}

/// A value with the path that leads to it.
pub(crate) struct Spot {
    pub(crate) path: String,
    pub(crate) node: Node,
}

impl Spot {
    pub(crate) fn root(node: Node) -> Self {
        Self { path: String::new(), node }
    }

    pub(crate) fn at(&self) -> Position {
        self.node.at
    }

    /// Notes that something else was expected here.
    pub(crate) fn unexpected<T>(&self, expected: &str, mistakes: &mut Mistakes) -> Option<T> {
        let found = describe(&self.node.kind);
        mistakes.add(self.node.at, &self.path, format!("expected {expected}, found {found}"));
        None
    }

    pub(crate) fn fields(self, expected: &str, mistakes: &mut Mistakes) -> Option<Fields> {
        match self.node.kind {
            Kind::Map(entries) => {
                Some(Fields { path: self.path, at: self.node.at, entries, known: Vec::new() })
            }
            _ => self.unexpected(expected, mistakes),
        }
    }

    /// A string that says something. A number or a truth is no string unless it is quoted.
    pub(crate) fn text(self, mistakes: &mut Mistakes) -> Option<String> {
        match self.node.kind {
            Kind::Scalar { text, quoted } if quoted || !is_other_type(&text) => {
                if text.trim().is_empty() {
                    mistakes.add(self.node.at, &self.path, "expected a text, found an empty one");
                    return None;
                }
                Some(text)
            }
            _ => self.unexpected("a text", mistakes),
        }
    }

    /// The text of any scalar, as it is written: values of variables are often written without their quotes.
    pub(crate) fn scalar(self, mistakes: &mut Mistakes) -> Option<String> {
        match self.node.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Null => Some(String::new()),
            _ => self.unexpected("a text", mistakes),
        }
    }

    pub(crate) fn items(self, expected: &str, mistakes: &mut Mistakes) -> Option<Vec<Self>> {
        let Kind::List(items) = self.node.kind else { return self.unexpected(expected, mistakes) };
        let path = self.path;
        let spot = |(index, node)| Self { path: format!("{path}[{index}]"), node };
        Some(items.into_iter().enumerate().map(spot).collect())
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(self, choices: &[(&'static str, T)], mistakes: &mut Mistakes) -> Option<T> {
        if let Kind::Scalar { text, .. } = &self.node.kind
            && let Some((_, choice)) = choices.iter().find(|(word, _)| word == text)
        {
            return Some(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let near = match &self.node.kind {
            Kind::Scalar { text, .. } => did_you_mean(text, words.iter().copied()),
            _ => String::new(),
        };
        let (found, words) = (describe(&self.node.kind), words.join("`, `"));
        mistakes.add(self.node.at, &self.path, format!("expected one of `{words}`, found {found}{near}"));
        None
    }
}

impl Fields {
    /// Takes a property; `None` when it is absent or `null`.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Spot> {
        self.known.push(name);
        let index = self.entries.iter().position(|entry| entry.name == name)?;
        let entry = self.entries.remove(index);
        let spot = Spot { path: self.path_of(name), node: entry.value };
        (spot.node.kind != Kind::Null).then_some(spot)
    }

    pub(crate) fn text(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Option<String> {
        self.take(name)?.text(mistakes)
    }

    /// A property that has to be there.
    pub(crate) fn needed(&mut self, name: &'static str, mistakes: &mut Mistakes) -> Option<Spot> {
        let spot = self.take(name);
        if spot.is_none() {
            // A misspelt one is told of as such, which says more.
            let is_misspelt = self.entries.iter().any(|entry| closest(&entry.name, [name]).is_some());
            if !is_misspelt {
                mistakes.add(self.at, &self.path, format!("`{name}` is missing"));
            }
        }
        spot
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Whether nothing is left.
    pub(crate) fn is_taken(&self) -> bool {
        self.entries.is_empty()
    }

    /// What has not been taken, whatever it is called, with the place of each name.
    pub(crate) fn rest(self) -> impl Iterator<Item = (String, Position, Spot)> {
        let path = self.path;
        self.entries.into_iter().map(move |entry| {
            let path = if path.is_empty() { entry.name.clone() } else { format!("{path}.{}", entry.name) };
            (entry.name, entry.at, Spot { path, node: entry.value })
        })
    }

    /// Notes what has not been taken: nobody knows it.
    pub(crate) fn end(self, mistakes: &mut Mistakes) {
        for entry in &self.entries {
            let near = did_you_mean(&entry.name, self.known.iter().copied());
            mistakes.add(entry.at, &self.path_of(&entry.name), format!("unknown property{near}"));
        }
    }
}

/// `; did you mean …?`, or nothing.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, candidates).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// Whether YAML takes a plain scalar for something else than a string.
fn is_other_type(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE") || text.parse::<f64>().is_ok()
}

/// A value as a person would name it, short enough for a message.
fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Null => "nothing".to_owned(),
        Kind::Scalar { text, .. } if text.chars().count() > 60 => {
            format!("`{}…`", text.chars().take(60).collect::<String>())
        }
        Kind::Scalar { text, .. } => format!("`{text}`"),
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) => "a mapping".to_owned(),
    }
}
