//! The label in which an image says how to run it: a JSON array with an entry for each feature it was built
//! with and one for the configuration, in the order in which they are merged.

use crate::config::{Config, IN_LABEL, Properties};
use crate::decode::{Mistake, Mistakes, Spot};
use crate::jsonc::{self, NodeKind, SyntaxError};
use serde_json::{Map, Value};

/// Why a label cannot be used. Labels come from whoever made the image: hostile until read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// It is not JSON. Shown with line and column within the label.
    #[error("the image's `devcontainer.metadata` label cannot be read: {0}")]
    Syntax(SyntaxError),
    /// It says things that cannot be.
    #[error("the image's `devcontainer.metadata` label is wrong: {}", listed(.0))]
    Invalid(
        /// Every mistake, in the order of the text; never empty.
        Vec<Mistake>,
    ),
}

fn listed(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Reads the value of an image's label: an array of entries, or a single one. An empty label says nothing.
///
/// Only the properties that may stand there are taken. Variables are left as written; see
/// [`merge`](crate::merge).
pub fn parse_metadata_label(text: &str) -> Result<Vec<Properties>, MetadataError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let root = jsonc::parse(text.as_bytes()).map_err(MetadataError::Syntax)?;
    let mut mistakes = Mistakes::default();
    let spot = Spot::root(root);
    let spots = match spot.node.kind {
        NodeKind::List(_) => spot.items("an array of objects", &mut mistakes).unwrap_or_default(),
        _ => vec![spot],
    };
    let entries = spots.into_iter().filter_map(|spot| {
        let mut fields = spot.fields("an object", &mut mistakes)?;
        Some(Properties::decode_entry(&mut fields, &mut mistakes))
    });
    let entries: Vec<Properties> = entries.collect();
    if mistakes.0.is_empty() { Ok(entries) } else { Err(MetadataError::Invalid(mistakes.0)) }
}

/// The value of the label for an image or container made from `config`, with these features, on top of an
/// image that says `image`: always an array, also for one entry.
///
/// The configuration's part stands as it was written, with its variables, so that it holds for the next
/// workspace as well; it is left without the properties named in `omit`, such as a `remoteEnv` whose values
/// are not everybody's business. What the image says is kept as it is.
pub fn metadata_label(
    image: &[Properties],
    features: &[Properties],
    config: &Config,
    omit: &[&str],
) -> String {
    let own: Map<String, Value> = IN_LABEL
        .iter()
        .filter(|name| !omit.contains(name))
        .filter_map(|name| Some(((*name).to_owned(), config.written.get(*name)?.clone())))
        .collect();
    let entries = image.iter().chain(features).map(Properties::to_entry).chain([own]);
    Value::Array(entries.filter(|entry| !entry.is_empty()).map(Value::Object).collect()).to_string()
}

/// The `LABEL` instruction of a Dockerfile for any label, on lines short enough for every builder: one
/// longer than 65 535 bytes is refused by some, and a feature's customizations can be long.
pub fn label_instruction(name: &str, value: &str) -> String {
    const LINE: usize = 4096;
    let mut out = format!("LABEL {name}=\"");
    let mut column = out.len();
    let mut previous = '"';
    for character in value.chars() {
        // A line that begins with `#` is a comment and one of blanks is none; a backslash before the line's
        // end would take the meaning from the one that continues it.
        let may_break = !matches!(character, '#' | ' ' | '\t') && previous != '\\';
        if column >= LINE && may_break {
            out.push_str("\\\n");
            column = 0;
        }
        if matches!(character, '"' | '\\' | '$') {
            out.push('\\');
        }
        out.push(character);
        column += character.len_utf8() + 1;
        previous = character;
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a builder makes of an instruction: lines joined, then quotes and escapes taken away.
    fn understood(instruction: &str) -> String {
        let joined = instruction.replace("\\\n", "");
        let quoted = joined.strip_prefix("LABEL a=\"").and_then(|rest| rest.strip_suffix('"')).unwrap();
        let mut value = String::new();
        let mut chars = quoted.chars();
        while let Some(character) = chars.next() {
            value.extend(if character == '\\' { chars.next() } else { Some(character) });
        }
        value
    }

    proptest! {
        #[test]
        fn a_label_is_what_the_builder_understands(part in "[a#\\\\\" $é{}/]{1,12}", times in 1..3000_usize) {
            let value = part.repeat(times);
            let instruction = label_instruction("a", &value);
            prop_assert_eq!(understood(&instruction), value);
            for line in instruction.lines().skip(1) {
                prop_assert!(!line.starts_with(['#', ' ']), "the builder would drop a line");
            }
        }
    }

    #[test]
    fn long_labels_have_short_lines() {
        let value = serde_json::json!([{"customizations": {"x": "long # ".repeat(40_000)}}]).to_string();
        let instruction = label_instruction("a", &value);
        assert!(instruction.len() > 250_000 && instruction.lines().all(|line| line.len() < 5000));
        assert_eq!(understood(&instruction), value);
    }
}
