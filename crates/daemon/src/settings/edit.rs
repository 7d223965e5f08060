//! Changes of single keys in a TOML file that a person writes: all else stays as it is, byte for byte.
//!
//! The text is cut where the parser says that a value is, rather than written anew, so that comments, order, spaces and
//! line ends are the person's. What came of it is read again and compared with what was meant.

use std::ops::Range;

use serde_json::Value;
use toml_edit::{Array, Document, DocumentMut, InlineTable, Item, Table};

/// Why a key could not be changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum EditError {
    /// The text is not TOML.
    #[error(transparent)]
    Parse(#[from] toml_edit::TomlError),
    /// TOML of these keys has no such value.
    #[error("it is neither true or false, a whole number, text, nor a list of texts")]
    Value,
    /// The file has the key in a form that cannot be changed without touching more.
    #[error("the file says it in a form that only a person can change")]
    Form,
}

/// The text with a key of the top level (`shares`) or of a table (`machine.cpus`) set, or taken out.
///
/// # Errors
/// [`EditError`]
pub(super) fn set(text: &str, key: &str, value: Option<&Value>) -> Result<String, EditError> {
    let edited = edit(text, key, value)?;
    if says(&edited)? != meant(text, key, value)? {
        return Err(EditError::Form);
    }
    Ok(edited)
}

fn edit(text: &str, key: &str, value: Option<&Value>) -> Result<String, EditError> {
    let document = Document::parse(text)?;
    let Some((table, leaf)) = key.split_once('.') else {
        return in_table(text, document.as_table(), document.as_table(), key, value);
    };
    match document.get(table) {
        Some(Item::Table(found)) if !found.is_implicit() || found.is_dotted() => {
            in_table(text, document.as_table(), found, leaf, value)
        }
        Some(Item::Value(toml_edit::Value::InlineTable(found))) => in_inline_table(text, found, leaf, value),
        Some(Item::Table(_) | Item::None) | None => match value {
            None => Ok(text.to_owned()),
            Some(value) => Ok(with_table(text, table, leaf, &rendered(value)?)),
        },
        Some(_) => Err(EditError::Form),
    }
}

/// In a table whose keys have a line each. Without a header it is the top level, or one of dotted keys.
fn in_table(
    text: &str,
    root: &Table,
    table: &Table,
    leaf: &str,
    value: Option<&Value>,
) -> Result<String, EditError> {
    let is_root = std::ptr::eq(root, table);
    match (table.get_key_value(leaf), value) {
        (None, None) => Ok(text.to_owned()),
        (Some((_, item)), Some(value)) => {
            let span = item.span().ok_or(EditError::Form)?;
            let new = match (item.as_array(), value) {
                (Some(_), Value::Array(wanted)) => {
                    array_with(&array_of(text, &span)?, &texts(wanted)?).to_string()
                }
                _ => rendered(value)?,
            };
            Ok(replaced(text, span, &new))
        }
        (Some((key, item)), None) => {
            let (start, end) = key.span().zip(item.span()).ok_or(EditError::Form)?;
            let lines = start_of_line(text, start.start)..end_of_line(text, end.end);
            // A header above nothing says nothing, and for some tables it would be a mistake.
            let header = table.span().filter(|_| !is_root && !table.is_dotted() && table.len() == 1);
            let mut left = replaced(text, lines, "");
            if let Some(header) = header {
                let lines = start_of_line(&left, header.start)..end_of_line(&left, header.end);
                left = replaced(&left, lines, "");
            }
            Ok(left)
        }
        (None, Some(value)) => {
            let line = match table.is_dotted().then(|| dotted_name(text, table)).flatten() {
                Some(name) => format!("{name}.{leaf} = {}", rendered(value)?),
                None => format!("{leaf} = {}", rendered(value)?),
            };
            Ok(match last_of(table).or_else(|| table.span().filter(|_| !is_root)) {
                Some(last) => with_line(text, end_of_line(text, last.end), &line),
                None => with_first_line(text, root, &line),
            })
        }
    }
}

/// In `table = { … }`, which stays on its line.
fn in_inline_table(
    text: &str,
    found: &InlineTable,
    leaf: &str,
    value: Option<&Value>,
) -> Result<String, EditError> {
    let span = found.span().ok_or(EditError::Form)?;
    if let Some((there, value)) = found.get(leaf).and_then(toml_edit::Value::span).zip(value) {
        return Ok(replaced(text, there, &rendered(value)?));
    }
    // One on several lines may have comments, which a new one would not.
    if text[span.clone()].contains('\n') {
        return Err(EditError::Form);
    }
    let inline: toml_edit::Value = text[span.clone()].parse()?;
    let mut inline = inline.as_inline_table().cloned().ok_or(EditError::Form)?;
    match value {
        Some(value) => drop(inline.insert(leaf, rendered(value)?.parse()?)),
        None => drop(inline.remove(leaf)),
    }
    if inline.is_empty() {
        return Ok(replaced(text, start_of_line(text, span.start)..end_of_line(text, span.end), ""));
    }
    inline.fmt();
    inline.decor_mut().clear();
    Ok(replaced(text, span, &inline.to_string()))
}

/// A table of its own at the end.
fn with_table(text: &str, table: &str, leaf: &str, value: &str) -> String {
    let line_end = line_end_of(text);
    let mut text = text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str(line_end);
    }
    if !text.trim().is_empty() {
        text.push_str(line_end);
    }
    text + &format!("[{table}]{line_end}{leaf} = {value}{line_end}")
}

/// A line of the top level, where that has none: before the first table and the comment that stands right above it.
fn with_first_line(text: &str, root: &Table, line: &str) -> String {
    let line_end = line_end_of(text);
    let Some(first) = root.iter().filter_map(|(_, item)| item.span()).map(|span| span.start).min() else {
        return with_line(text, text.len(), line);
    };
    let mut at = start_of_line(text, first);
    while let Some(above) = text[..at].lines().next_back().filter(|above| above.trim().starts_with('#')) {
        let start = start_of_line(text, at.saturating_sub(1));
        debug_assert!(text[start..at].starts_with(above), "it is the line above");
        at = start;
    }
    replaced(text, at..at, &format!("{line}{line_end}{line_end}"))
}

fn with_line(text: &str, at: usize, line: &str) -> String {
    let line_end = line_end_of(text);
    let open = if at > 0 && !text[..at].ends_with('\n') { line_end } else { "" };
    replaced(text, at..at, &format!("{open}{line}{line_end}"))
}

/// Where the last value with a line in this table is.
fn last_of(table: &Table) -> Option<Range<usize>> {
    let ends = table.iter().filter_map(|(_, item)| match item {
        Item::Value(value) => value.span(),
        Item::Table(inner) if inner.is_dotted() => last_of(inner),
        Item::Table(_) | Item::ArrayOfTables(_) | Item::None => None,
    });
    ends.max_by_key(|span| span.end)
}

/// How a table of dotted keys is spelled where it is written.
fn dotted_name<'a>(text: &'a str, table: &Table) -> Option<&'a str> {
    let (leaf, _) = table.iter().next()?;
    let start = table.key(leaf)?.span()?.start;
    let before = text[start_of_line(text, start)..start].trim();
    Some(before.strip_suffix('.')?.trim())
}

/// The list with these texts: those that stay keep their comments, new ones come last and look like the others.
fn array_with(array: &Array, wanted: &[&str]) -> Array {
    let mut array = array.clone();
    array.decor_mut().clear();
    array.retain(|value| value.as_str().is_some_and(|text| wanted.contains(&text)));
    let stay: Vec<&str> = array.iter().filter_map(toml_edit::Value::as_str).collect();
    if !wanted.starts_with(&stay) {
        return wanted.iter().copied().collect();
    }
    let new = wanted[stay.len()..].to_vec();
    for text in new {
        let before = array.iter().last().and_then(|last| last.decor().prefix()?.as_str());
        let indent = before.and_then(|prefix| prefix.rfind('\n').map(|at| prefix[at..].to_owned()));
        let Some(indent) = indent else {
            array.push(text);
            continue;
        };
        // What stands behind the last one's comma is about that one.
        let behind = array.trailing().as_str().unwrap_or_default().trim_end().to_owned();
        let mut value = toml_edit::Value::from(text);
        value.decor_mut().set_prefix(format!("{behind}{indent}"));
        array.push_formatted(value);
        array.set_trailing("\n");
        array.set_trailing_comma(true);
    }
    array
}

fn array_of(text: &str, span: &Range<usize>) -> Result<Array, EditError> {
    let value: toml_edit::Value = text[span.clone()].parse()?;
    value.as_array().cloned().ok_or(EditError::Form)
}

fn texts(list: &[Value]) -> Result<Vec<&str>, EditError> {
    list.iter().map(|value| value.as_str().ok_or(EditError::Value)).collect()
}

fn rendered(value: &Value) -> Result<String, EditError> {
    let value = match value {
        Value::Bool(value) => toml_edit::Value::from(*value),
        Value::Number(number) => toml_edit::Value::from(number.as_i64().ok_or(EditError::Value)?),
        Value::String(text) => toml_edit::Value::from(text.as_str()),
        Value::Array(list) => toml_edit::Value::Array(texts(list)?.into_iter().collect()),
        Value::Null | Value::Object(_) => return Err(EditError::Value),
    };
    Ok(value.to_string())
}

fn replaced(text: &str, span: Range<usize>, new: &str) -> String {
    [&text[..span.start], new, &text[span.end..]].concat()
}

fn start_of_line(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

fn end_of_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}

fn line_end_of(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// What a text says, without empty tables: they say nothing.
fn says(text: &str) -> Result<Value, EditError> {
    let document: DocumentMut = text.parse()?;
    let mut value = json(document.as_item());
    without_empty(&mut value);
    Ok(value)
}

fn meant(text: &str, key: &str, value: Option<&Value>) -> Result<Value, EditError> {
    let mut says = says(text)?;
    let (table, leaf) = key.split_once('.').map_or((None, key), |(table, leaf)| (Some(table), leaf));
    let mut object = says.as_object_mut().ok_or(EditError::Form)?;
    if let Some(table) = table {
        let inner = object.entry(table).or_insert_with(|| Value::Object(serde_json::Map::new()));
        object = inner.as_object_mut().ok_or(EditError::Form)?;
    }
    match value {
        Some(value) => drop(object.insert(leaf.to_owned(), value.clone())),
        None => drop(object.remove(leaf)),
    }
    without_empty(&mut says);
    Ok(says)
}

fn without_empty(value: &mut Value) {
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, inner| inner.as_object().is_none_or(|inner| !inner.is_empty()));
    }
}

/// What TOML says, as JSON; of times and numbers only what a comparison needs.
pub(super) fn json(item: &Item) -> Value {
    match item {
        Item::None => Value::Null,
        Item::Value(value) => json_of(value),
        Item::Table(table) => {
            Value::Object(table.iter().map(|(key, item)| (key.to_owned(), json(item))).collect())
        }
        Item::ArrayOfTables(tables) => {
            let tables = tables.iter().map(|table| json(&Item::Table(table.clone())));
            Value::Array(tables.collect())
        }
    }
}

fn json_of(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::from(text.value().as_str()),
        toml_edit::Value::Integer(number) => Value::from(*number.value()),
        toml_edit::Value::Float(number) => Value::from(*number.value()),
        toml_edit::Value::Boolean(value) => Value::from(*value.value()),
        toml_edit::Value::Datetime(time) => Value::from(time.value().to_string()),
        toml_edit::Value::Array(list) => Value::Array(list.iter().map(json_of).collect()),
        toml_edit::Value::InlineTable(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.to_owned(), json_of(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests;
