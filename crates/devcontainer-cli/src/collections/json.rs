//! JSON as the reference writes it: the author's order of keys, and a chosen indent.

use devcontainer::SyntaxError;
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Serializer, Value};

/// A file is not what it should be. Shown with its name, line and column.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    /// It cannot be read as JSON with comments.
    #[error("{file}:{error}")]
    Syntax {
        /// The file, or what else the text is of.
        file: String,
        /// Where and why.
        error: SyntaxError,
    },
    /// It is a list, a word or a number.
    #[error("{file}:1:1: expected an object, found {found}")]
    NoObject {
        /// The file.
        file: String,
        /// What it is.
        found: &'static str,
    },
}

/// Reads a text with comments and trailing commas. `file` is what mistakes are told of.
pub(crate) fn read(bytes: &[u8], file: &str) -> Result<Value, JsonError> {
    devcontainer::parse_json(bytes).map_err(|error| JsonError::Syntax { file: file.to_owned(), error })
}

/// Reads an object.
pub(crate) fn read_object(bytes: &[u8], file: &str) -> Result<Map<String, Value>, JsonError> {
    match read(bytes, file)? {
        Value::Object(map) => Ok(map),
        other => Err(JsonError::NoObject { file: file.to_owned(), found: kind(&other) }),
    }
}

/// What a value is, in a word.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A value over several lines, each level by `indent` spaces further in.
pub(crate) fn pretty(value: &impl Serialize, indent: usize) -> String {
    let spaces = " ".repeat(indent);
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
    let written = value.serialize(&mut Serializer::with_formatter(&mut text, formatter));
    written.expect("values have only strings as keys and finite numbers, and memory takes every byte");
    String::from_utf8(text).expect("JSON is UTF-8")
}
