//! Values that a person hands to the commands in a container and that nobody else may see.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use engine::{Progress, ProgressEvent, ProgressKind};
use serde_json::{Map, Value};

/// What stands in a log in the place of a secret.
pub const MASK: &str = "********";

/// A line of a secret with several lines is masked by itself from so many characters on: `}` or `-` alone gives
/// nothing away, and masking it would make every log unreadable.
const SHORTEST_LINE: usize = 4;

/// Secrets by the name of their variable. They are given to commands in their environment alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, String>);

/// Secrets could not be read. What was read is not shown.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The text is not JSON.
    #[error("the secrets are not JSON, see line {line}, column {column}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// The text is JSON but no object of strings.
    #[error("the secret `{name}` is not a string")]
    NotText {
        /// The secret's name.
        name: String,
    },
    /// The text is no object.
    #[error("the secrets are not an object of names and strings")]
    NotAnObject,
}

impl Secrets {
    /// Secrets that are known already.
    pub fn new(secrets: BTreeMap<String, String>) -> Self {
        Self(secrets)
    }

    /// Reads an object of names and strings.
    pub fn parse(json: &[u8]) -> Result<Self, SecretsError> {
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| SecretsError::Syntax { line: error.line(), column: error.column() })?;
        let Value::Object(fields) = value else { return Err(SecretsError::NotAnObject) };
        Self::of_fields(fields)
    }

    fn of_fields(fields: Map<String, Value>) -> Result<Self, SecretsError> {
        let text = |(name, value): (String, Value)| match value {
            Value::String(text) => Ok((name, text)),
            _ => Err(SecretsError::NotText { name }),
        };
        fields.into_iter().map(text).collect::<Result<_, _>>().map(Self)
    }

    /// The variables that commands get.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// What takes them out of logs.
    pub fn masks(&self) -> Masks {
        Masks::new(self.0.values().map(String::as_str))
    }
}

/// Names only.
impl fmt::Debug for Secrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

/// Takes secrets out of text. A copy is cheap.
#[derive(Clone, Default)]
pub struct Masks(Arc<[String]>);

impl Masks {
    /// Masks these values: as a whole, and, since logs come line by line, each line of them.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for value in values {
            texts.push(value.to_owned());
            if value.contains(['\n', '\r']) {
                let lines = value.split(['\n', '\r']).map(str::trim);
                texts.extend(lines.filter(|line| line.chars().count() >= SHORTEST_LINE).map(str::to_owned));
            }
        }
        texts.retain(|text| !text.trim().is_empty());
        // The longest first: one secret may be a part of another.
        texts.sort_by(|one, other| other.len().cmp(&one.len()).then(one.cmp(other)));
        texts.dedup();
        Self(texts.into())
    }

    /// The text with a mask for each secret in it.
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for secret in self.0.iter().filter(|secret| !secret.is_empty()) {
            if masked.contains(secret.as_str()) {
                masked = Cow::Owned(masked.replace(secret.as_str(), MASK));
            }
        }
        masked
    }

    /// A listener that hears no secret, in front of another.
    pub fn before<'a>(&self, listener: &'a dyn Progress) -> Masked<'a> {
        Masked { masks: self.clone(), listener }
    }
}

/// Only how many there are.
impl fmt::Debug for Masks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Masks({})", self.0.len())
    }
}

/// Passes news on without secrets.
#[derive(Clone)]
pub struct Masked<'a> {
    masks: Masks,
    listener: &'a dyn Progress,
}

impl Progress for Masked<'_> {
    fn report(&self, event: ProgressEvent) {
        let kind = match event.kind {
            ProgressKind::Line(line) => ProgressKind::Line(self.masks.apply(&line).into_owned()),
            other => other,
        };
        self.listener.report(ProgressEvent { item: self.masks.apply(&event.item).into_owned(), kind });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_whole_and_by_line() {
        let secrets = Secrets::parse(
            b"{\"KEY\": \"-----BEGIN\\nAAAABBBB\\n}\\n-----END\", \"TOKEN\": \"abc\", \"LONGER\": \"abcdef\", \"NONE\": \"\"}",
        )
        .unwrap();
        let masks = secrets.masks();
        for (text, expected) in [
            ("a abcdef abc }", "a ******** ******** }"),
            ("first AAAABBBB second", "first ******** second"),
            ("-----BEGIN\nAAAABBBB\n}\n-----END", "********"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(masks.apply(text), expected);
        }
        let shown = format!("{secrets:?} {masks:?}");
        assert!(!shown.contains("abc") && shown.contains("TOKEN"), "{shown}");
    }

    #[test]
    fn mistakes_are_told_without_the_values() {
        for (text, expected) in [
            ("{\"A\": s3cret}", "the secrets are not JSON, see line 1, column 7"),
            ("{\"A\": {\"v\": \"s3cret\"}}", "the secret `A` is not a string"),
            ("[\"s3cret\"]", "the secrets are not an object of names and strings"),
        ] {
            assert_eq!(Secrets::parse(text.as_bytes()).unwrap_err().to_string(), expected);
        }
    }
}
