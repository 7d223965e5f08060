//! Turns what a configuration says beside a feature into the variables that its script sees.
//!
//! A string (or `true`) beside a feature is its option `version`. Values are handed on even where the
//! feature does not list them, with a warning: scripts read options that no list has, and configurations
//! that rely on it work with other tools.

use super::error::{FeatureProblem, WarningKind};
use super::metadata::{FeatureMetadata, OptionKind};
use crate::near;
use serde_json::{Number, Value};
use std::collections::BTreeMap;

/// The options that somebody gave, by name; without defaults.
pub(super) type Given = BTreeMap<String, String>;

/// What is wrong with one option, or with all of them for `None`.
pub(super) type OptionMistake = (Option<String>, FeatureProblem);

/// Reads the value beside a feature.
pub(super) fn given(value: &Value) -> Result<Given, Vec<OptionMistake>> {
    let options = match value {
        Value::Null => return Ok(Given::new()),
        Value::Object(options) => options,
        Value::String(_) | Value::Bool(_) | Value::Number(_) => {
            let version = scalar(value).map(|version| ("version".to_owned(), version));
            return Ok(version.into_iter().collect());
        }
        Value::Array(_) => return Err(vec![(None, FeatureProblem::Options { found: "an array" })]),
    };
    let mut given = Given::new();
    let mut mistakes = Vec::new();
    for (name, value) in options {
        match (value, list(value).or_else(|| scalar(value))) {
            (Value::Null, _) => {}
            (_, Some(text)) => {
                given.insert(name.clone(), text);
            }
            (Value::Array(_), None) => {
                mistakes.push((Some(name.clone()), FeatureProblem::Value { found: "an array" }));
            }
            (_, None) => mistakes.push((Some(name.clone()), FeatureProblem::Value { found: "an object" })),
        }
    }
    if mistakes.is_empty() { Ok(given) } else { Err(mistakes) }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number_text(number)),
        _ => None,
    }
}

/// A list of plain values is what other tools make of it: its values with commas between.
fn list(value: &Value) -> Option<String> {
    let items = value.as_array()?.iter().map(scalar).collect::<Option<Vec<_>>>()?;
    Some(items.join(","))
}

/// Without a fraction that is zero, as JavaScript writes numbers.
fn number_text(number: &Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// The options with which the feature is installed: what was given, and defaults for the rest.
pub(super) fn effective(
    given: &Given,
    value: &Value,
    metadata: &FeatureMetadata,
) -> BTreeMap<String, String> {
    let defaults =
        metadata.options.iter().filter_map(|(name, spec)| Some((name.clone(), spec.default.clone()?)));
    let mut options: BTreeMap<String, String> = defaults.collect();
    // A version beside the feature is for those that have such an option.
    let is_shorthand = !value.is_object();
    let known = |name: &str| metadata.options.iter().any(|(known, _)| known == name);
    let given = given.iter().filter(|(name, _)| !is_shorthand || known(name));
    options.extend(given.map(|(name, value)| (name.clone(), value.clone())));
    options
}

/// What the feature does not know of what was given, by the option's name.
pub(super) fn doubts(given: &Given, value: &Value, metadata: &FeatureMetadata) -> Vec<(String, WarningKind)> {
    let mut doubts = Vec::new();
    for (name, text) in given {
        let spec = metadata.options.iter().find(|(known, _)| known == name).map(|(_, spec)| spec);
        let doubt = match spec.map(|spec| &spec.kind) {
            None if !value.is_object() => None,
            None => {
                let known: Vec<String> = metadata.options.iter().map(|(known, _)| known.clone()).collect();
                let near = nearest(name, &known);
                Some(WarningKind::UnknownOption { option: name.clone(), near, known })
            }
            Some(_) if value.get(name).is_some_and(Value::is_array) => {
                Some(WarningKind::ListValue { text: text.clone() })
            }
            Some(OptionKind::Choice(known)) if !known.contains(text) => {
                let (near, known) = (nearest(text, known), known.clone());
                Some(WarningKind::UnknownValue { value: text.clone(), near, known })
            }
            Some(OptionKind::Boolean) if !matches!(text.as_str(), "true" | "false") => {
                let known = vec!["true".to_owned(), "false".to_owned()];
                Some(WarningKind::UnknownValue { value: text.clone(), near: nearest(text, &known), known })
            }
            Some(_) => None,
        };
        doubts.extend(doubt.map(|doubt| (name.clone(), doubt)));
    }
    doubts
}

fn nearest(written: &str, known: &[String]) -> Option<String> {
    near::closest(written, known.iter().map(String::as_str)).map(str::to_owned)
}

/// The name of the variable for an option: other characters than letters, digits and `_` become `_`, so do
/// digits in front, and all is in upper case.
pub fn environment_name(option: &str) -> String {
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    // The specification gives this as JavaScript, which counts a character beyond the basic plane as two.
    let units = option.chars().flat_map(|character| {
        let count = if word(character) { 1 } else { character.len_utf16() };
        std::iter::repeat_n(if word(character) { character } else { '_' }, count)
    });
    let name: String = units.collect();
    let rest = name.trim_start_matches(|character: char| character.is_ascii_digit() || character == '_');
    let front = if rest.len() < name.len() { "_" } else { "" };
    format!("{front}{}", rest.to_ascii_uppercase())
}

/// The file of variables that the installation reads, one to a line.
///
/// The shell reads it, so `$_REMOTE_USER_HOME` and the like in a value are replaced, as other tools have it.
/// A double quote that is not escaped would end the value and is escaped here.
pub(super) fn environment_file(options: &BTreeMap<String, String>) -> String {
    options.iter().fold(String::new(), |file, (name, value)| {
        file + &environment_name(name) + "=" + &double_quoted(value) + "\n"
    })
}

fn double_quoted(value: &str) -> String {
    let mut quoted = String::from('"');
    let mut escaped = false;
    for character in value.chars() {
        if character == '"' && !escaped {
            quoted.push('\\');
        }
        escaped = character == '\\' && !escaped;
        quoted.push(character);
    }
    if escaped {
        quoted.push('\\');
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests;
