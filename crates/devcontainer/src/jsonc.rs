//! Reads JSON with comments into a tree that knows where everything stands in the text.
//!
//! A byte order mark, `//` and `/* */` comments and trailing commas are accepted, nothing else beyond JSON.
//! Of a key that is written twice the last value counts. A broken text is refused as a whole: a parser that
//! recovers drops a property and lets a later step fail with a misleading message.

use jsonc_parser::common::Ranged;
use jsonc_parser::errors::ParseError;
use jsonc_parser::{CollectOptions, ParseOptions, ast, parse_to_ast};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use std::collections::HashMap;
use std::fmt;

/// No configuration comes near this; whatever is larger is a mistake or an attack.
const MAX_BYTES: usize = 1 << 20;

/// A place in a text: both counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Which of the files that were read together: 0 is the configuration itself, higher numbers are the
    /// files that it extends. Told by name in [`Mistake::file`](crate::Mistake).
    #[serde(skip)]
    pub(crate) source: u16,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl Position {
    pub(crate) const START: Self = Self::new(1, 1);

    /// A place in a text that was read by itself.
    pub const fn new(line: u32, column: u32) -> Self {
        Self { source: 0, line, column }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.line, self.column)
    }
}

/// Why a text is not JSON with comments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// Bytes that are not UTF-8.
    #[error("{position}: the text is not UTF-8")]
    NotUtf8 {
        /// The first byte that does not belong.
        position: Position,
    },
    /// Far more text than a configuration has.
    #[error("1:1: the text has {bytes} bytes, more than the {MAX_BYTES} that are allowed")]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// Nothing but blanks and comments.
    #[error("1:1: the text is empty, expected an object such as {{\"image\": \"…\"}}")]
    Empty,
    /// The grammar is violated.
    #[error("{position}: not valid JSON: {reason}")]
    Grammar {
        /// Where the parser gave up.
        position: Position,
        /// What it met there.
        reason: String,
    },
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) kind: NodeKind,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NodeKind {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Field>),
}

/// One `"name": value` of an object; names are unique within it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) at: Position,
    pub(crate) value: Node,
}

impl Node {
    /// The same value without positions.
    pub(crate) fn to_value(&self) -> Value {
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(flag) => Value::Bool(*flag),
            NodeKind::Number(number) => Value::Number(number.clone()),
            NodeKind::Text(text) => Value::String(text.clone()),
            NodeKind::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            NodeKind::Map(fields) => Value::Object(to_map(fields)),
        }
    }

    /// Calls `change` with every string of the tree that is not a key, and where it stands.
    pub(crate) fn for_each_text(&mut self, change: &mut dyn FnMut(Position, &mut String)) {
        match &mut self.kind {
            NodeKind::Text(text) => change(self.at, text),
            NodeKind::List(items) => items.iter_mut().for_each(|item| item.for_each_text(change)),
            NodeKind::Map(fields) => fields.iter_mut().for_each(|field| field.value.for_each_text(change)),
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(_) => {}
        }
    }
}

/// An object's fields without positions.
pub(crate) fn to_map(fields: &[Field]) -> Map<String, Value> {
    fields.iter().map(|field| (field.name.clone(), field.value.to_value())).collect()
}

/// Reads JSON with comments and trailing commas, as every file of this specification may be written. Keys
/// keep their order.
pub fn parse_json(bytes: &[u8]) -> Result<Value, SyntaxError> {
    parse(bytes).map(|node| node.to_value())
}

/// Parses a whole text that stands alone.
pub(crate) fn parse(bytes: &[u8]) -> Result<Node, SyntaxError> {
    parse_source(bytes, 0)
}

/// Parses a whole text, which is the `source`th of those that are read together.
pub(crate) fn parse_source(bytes: &[u8], source: u16) -> Result<Node, SyntaxError> {
    if bytes.len() > MAX_BYTES {
        return Err(SyntaxError::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        SyntaxError::NotUtf8 { position: Cursor::new(&valid).at(valid.len()) }
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options).map_err(|error| {
        let start = error.range().start;
        SyntaxError::Grammar { position: Cursor::new(text).at(start), reason: reason(&error, &text[start..]) }
    })?;
    let value = parsed.value.ok_or(SyntaxError::Empty)?;
    let mut cursor = Cursor::new(text);
    cursor.position.source = source;
    convert(value, &mut cursor)
}

/// The parser's reason, followed by the word that it met, if it met one.
fn reason(error: &ParseError, rest: &str) -> String {
    let mut reason = error.kind().to_string();
    if let Some(first) = reason.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    let word: String = rest.chars().take_while(|character| character.is_alphanumeric()).take(20).collect();
    if word.is_empty() { reason } else { format!("{reason} `{word}`") }
}

fn convert(value: ast::Value<'_>, cursor: &mut Cursor<'_>) -> Result<Node, SyntaxError> {
    let at = cursor.at(value.start());
    let kind = match value {
        ast::Value::NullKeyword(_) => NodeKind::Null,
        ast::Value::BooleanLit(literal) => NodeKind::Bool(literal.value),
        ast::Value::StringLit(literal) => NodeKind::Text(literal.value.into_owned()),
        ast::Value::NumberLit(literal) => {
            NodeKind::Number(serde_json::from_str(literal.value).map_err(|_| SyntaxError::Grammar {
                position: at,
                reason: format!("`{}` is not a number", literal.value),
            })?)
        }
        ast::Value::Array(array) => NodeKind::List(
            array.elements.into_iter().map(|element| convert(element, cursor)).collect::<Result<_, _>>()?,
        ),
        ast::Value::Object(object) => NodeKind::Map(convert_fields(object, cursor)?),
    };
    Ok(Node { at, kind })
}

fn convert_fields(object: ast::Object<'_>, cursor: &mut Cursor<'_>) -> Result<Vec<Field>, SyntaxError> {
    let mut fields: Vec<Field> = Vec::with_capacity(object.properties.len());
    let mut seen: HashMap<String, usize> = HashMap::new();
    for property in object.properties {
        let at = cursor.at(property.range.start);
        let name = property.name.into_string();
        let field = Field { at, value: convert(property.value, cursor)?, name };
        if let Some(&index) = seen.get(&field.name) {
            fields[index] = field;
        } else {
            seen.insert(field.name.clone(), fields.len());
            fields.push(field);
        }
    }
    Ok(fields)
}

/// Turns byte offsets, asked for in ascending order, into positions in one pass over the text.
struct Cursor<'a> {
    rest: std::str::CharIndices<'a>,
    position: Position,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.char_indices(), position: Position::START }
    }

    fn at(&mut self, offset: usize) -> Position {
        while self.rest.offset() < offset {
            match self.rest.next() {
                Some((_, '\n')) => {
                    self.position = Position { line: self.position.line + 1, column: 1, ..self.position };
                }
                Some(_) => self.position.column += 1,
                None => break,
            }
        }
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &[u8]) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn accepts_what_editors_write() {
        let text = "\u{feff}// first\n{\n  /* a */ \"image\": \"x\", // b\n  \"list\": [1, 2.5,],\n}\n";
        let node = parse(text.as_bytes()).unwrap();
        assert_eq!(node.to_value(), serde_json::json!({"image": "x", "list": [1, 2.5]}));
    }

    #[test]
    fn last_of_two_equal_keys_counts() {
        let node = parse(br#"{"a": 1, "b": 2, "a": 3}"#).unwrap();
        assert_eq!(node.to_value(), serde_json::json!({"a": 3, "b": 2}));
    }

    #[test]
    fn positions_count_lines_and_characters() {
        let node = parse("{\n  \"é\": {\"ß\":\n true}}".as_bytes()).unwrap();
        let NodeKind::Map(fields) = node.kind else { panic!("not an object") };
        assert_eq!(fields[0].at.to_string(), "2:3");
        assert_eq!(fields[0].value.at.to_string(), "2:8");
        let NodeKind::Map(inner) = &fields[0].value.kind else { panic!("not an object") };
        assert_eq!(inner[0].value.at.to_string(), "3:2");
    }

    #[test]
    fn broken_text_is_refused_with_its_place() {
        insta::assert_snapshot!(refused(b"{\n  \"a\": 1\n  \"b\": 2\n}"), @"2:9: not valid JSON: expected comma");
        insta::assert_snapshot!(refused(b"{\"a\": 'x'}"), @"1:7: not valid JSON: single-quoted strings are not allowed");
        insta::assert_snapshot!(refused(b"{\"a\": "), @"1:7: not valid JSON: expected value after colon in object property");
        insta::assert_snapshot!(refused(b"// nothing"), @r#"1:1: the text is empty, expected an object such as {"image": "…"}"#);
        insta::assert_snapshot!(refused(b"{\n\"a\": \"\xff\"}"), @"2:7: the text is not UTF-8");
    }

    #[test]
    fn nesting_without_end_is_refused() {
        for begin in ["[", "{\"a\":"] {
            let text = begin.repeat(150_000);
            assert!(refused(text.as_bytes()).contains("not valid JSON"));
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[\\x00-\\x7f{}\\[\\]\",:/*\\\\ué\u{feff}\u{1f600}]{0,80}") {
            let _outcome = parse(text.as_bytes());
        }

        #[test]
        fn never_panics_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _outcome = parse(&bytes);
        }

        #[test]
        fn positions_point_into_the_text(lines in proptest::collection::vec("[a-zé ]{0,6}", 1..5)) {
            let comments = lines.iter().fold(String::new(), |text, line| text + "//" + line + "\n");
            let text = format!("{{{comments}\"k\": 1}}");
            let node = parse(text.as_bytes()).unwrap();
            let NodeKind::Map(fields) = node.kind else { panic!("not an object") };
            prop_assert_eq!(fields[0].at, Position::new(lines.len() as u32 + 1, 1));
        }
    }
}
