//! YAML as a tree with places.
//!
//! Built from the parser's events and not by its own loader, because the text is a stranger's: an alias costs what it
//! stands for, so a few lines that name each other cannot grow beyond [`MOST_NODES`] or [`MOST_ALIASED`]; and a key that is there twice is
//! a mistake instead of one value less.

use std::collections::{HashMap, HashSet};

use devcontainer::Position;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput};

use crate::mistake::Mistake;

/// Most values in one file, those that aliases stand for included.
const MOST_NODES: usize = 20_000;

/// Most bytes of text that aliases stand for, all together.
const MOST_ALIASED: usize = 1024 * 1024;

/// Most levels of lists and mappings in each other.
const MOST_LEVELS: usize = 32;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    /// A scalar as it is written; whether it was quoted, and so is a string whatever it looks like.
    Scalar {
        text: String,
        quoted: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) at: Position,
    pub(crate) value: Node,
}

impl Node {
    /// How many values it is made of, and how many bytes of text.
    fn size(&self) -> (usize, usize) {
        let (nodes, bytes) = match &self.kind {
            Kind::Null => (0, 0),
            Kind::Scalar { text, .. } => (0, text.len()),
            Kind::List(items) => items.iter().map(Self::size).fold((0, 0), sum),
            Kind::Map(entries) => {
                let sizes = entries.iter().map(|entry| sum((1, entry.name.len()), entry.value.size()));
                sizes.fold((0, 0), sum)
            }
        };
        (nodes + 1, bytes)
    }
}

fn sum(one: (usize, usize), other: (usize, usize)) -> (usize, usize) {
    (one.0 + other.0, one.1 + other.1)
}

/// Reads the one document of a text. An empty text is `null`.
///
/// # Errors
/// The first thing that is not YAML, or more of it than a file of this kind can need.
pub(crate) fn parse(text: &str) -> Result<Node, Mistake> {
    let mut builder =
        Builder { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0, aliased: 0 };
    let mut document = None;
    loop {
        let (event, at) = builder.event()?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(_) if document.is_some() => {
                return Err(fault(at, "a second document begins here; the file has one"));
            }
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            other => document = Some(builder.node(other, at, 0)?),
        }
    }
    Ok(document.unwrap_or(Node { at: Position::new(1, 1), kind: Kind::Null }))
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    aliased: usize,
}

impl<'a> Builder<'a> {
    fn event(&mut self) -> Result<(Event<'a>, Position), Mistake> {
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((event, position(span.start))),
            Some(Err(error)) => Err(fault(position(*error.marker()), error.info())),
            None => Ok((Event::StreamEnd, Position::new(1, 1))),
        }
    }

    fn node(&mut self, event: Event<'a>, at: Position, level: usize) -> Result<Node, Mistake> {
        self.nodes += 1;
        self.check(at)?;
        if level > MOST_LEVELS {
            return Err(fault(at, format!("more than {MOST_LEVELS} levels of lists and mappings")));
        }
        let (anchor, kind) = match event {
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(fault(at, "the alias stands in what it stands for"));
                };
                let (nodes, bytes) = node.size();
                // Where it is used is where a person has to look.
                let node = Node { at, kind: node.kind.clone() };
                self.nodes += nodes;
                self.aliased += bytes;
                self.check(at)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, _) => (anchor, scalar(&text, style)),
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    let (event, at) = self.event()?;
                    match event {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event, at, level + 1)?),
                    }
                }
                (anchor, Kind::List(items))
            }
            Event::MappingStart(anchor, _) => (anchor, Kind::Map(self.entries(level)?)),
            _ => return Err(fault(at, "expected a value")),
        };
        let node = Node { at, kind };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn entries(&mut self, level: usize) -> Result<Vec<Entry>, Mistake> {
        let (mut entries, mut defaults): (Vec<Entry>, Vec<Node>) = (Vec::new(), Vec::new());
        let mut names = HashSet::new();
        loop {
            let (event, at) = self.event()?;
            if event == Event::MappingEnd {
                // What is said here wins, wherever it stands.
                for value in defaults {
                    merge(&mut entries, &mut names, value);
                }
                return Ok(entries);
            }
            let Kind::Scalar { text: name, .. } = self.node(event, at, level + 1)?.kind else {
                return Err(fault(at, "expected the name of a property"));
            };
            if name != "<<" && !names.insert(name.clone()) {
                return Err(fault(at, format!("`{name}` is there twice")));
            }
            let (event, value_at) = self.event()?;
            let value = self.node(event, value_at, level + 1)?;
            if name == "<<" {
                defaults.push(value);
            } else {
                entries.push(Entry { name, at, value });
            }
        }
    }

    fn check(&self, at: Position) -> Result<(), Mistake> {
        if self.nodes > MOST_NODES {
            return Err(fault(at, format!("more than {MOST_NODES} values")));
        }
        if self.aliased > MOST_ALIASED {
            return Err(fault(at, format!("aliases stand for more than {MOST_ALIASED} bytes")));
        }
        Ok(())
    }
}

/// `<<: *defaults`: what a mapping has that is not said here.
fn merge(entries: &mut Vec<Entry>, names: &mut HashSet<String>, value: Node) {
    let maps = match value.kind {
        Kind::List(items) => items,
        other => vec![Node { at: value.at, kind: other }],
    };
    for map in maps {
        let Kind::Map(others) = map.kind else { continue };
        for other in others {
            if names.insert(other.name.clone()) {
                entries.push(other);
            }
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Kind {
    let quoted = style != ScalarStyle::Plain;
    if !quoted && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Kind::Null;
    }
    Kind::Scalar { text: text.to_owned(), quoted }
}

fn position(marker: Marker) -> Position {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Position::new(number(marker.line()).max(1), number(marker.col() + 1))
}

fn fault(position: Position, message: impl Into<String>) -> Mistake {
    Mistake { position, property: String::new(), message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_cannot_grow_without_end() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = vec![format!("*a{}", level - 1); 10].join(", ");
            text = format!("{text}a{level}: &a{level} [{before}]\n");
        }
        let said = parse(&text).unwrap_err();
        assert!(said.message.contains("more than 20000 values"), "{said}");
        let long = "y".repeat(100_000);
        let text = format!("a: &a {long}\nb: [{}]\n", ["*a"; 11].join(", "));
        let said = parse(&text).unwrap_err();
        assert!(said.message.contains("stand for more than 1048576 bytes"), "{said}");
        let deep = format!("{}x{}", "[".repeat(40), "]".repeat(40));
        assert!(parse(&deep).unwrap_err().message.contains("more than 32 levels"));
    }

    #[test]
    fn defaults_are_merged_and_do_not_win() {
        let node = parse("d: &d {a: 1, b: 2}\ne: {<<: *d, b: 3}\n").unwrap();
        let Kind::Map(entries) = node.kind else { panic!("a mapping") };
        let Kind::Map(merged) = &entries[1].value.kind else { panic!("a mapping") };
        let text = |node: &Node| match &node.kind {
            Kind::Scalar { text, .. } => text.clone(),
            other => format!("{other:?}"),
        };
        let said: Vec<_> =
            merged.iter().map(|entry| format!("{}={}", entry.name, text(&entry.value))).collect();
        assert_eq!(said, ["b=3", "a=1"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[a-c:&*{}\\[\\]\n \"'|>#-]{0,80}") {
            let _ = parse(&text);
        }
    }
}
