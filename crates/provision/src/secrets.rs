//! Values that a person hands to the commands in a container and that nobody else may see.

mod masks;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use engine::{Progress, ProgressEvent, ProgressKind};
use serde_json::{Map, Value};

pub use masks::{MASK, MaskedStream, Masks, SHORTEST};

/// Secrets by the name of their variable. They are given to commands in their environment alone.
#[derive(Clone, Default)]
pub struct Secrets {
    variables: BTreeMap<String, String>,
    /// Values that commands do not get so, and that nobody shall see either.
    hidden: Vec<String>,
    /// Made when they are asked for first, for all copies.
    masks: Arc<OnceLock<Masks>>,
}

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
    pub fn new(variables: BTreeMap<String, String>) -> Self {
        Self { variables, ..Self::default() }
    }

    /// The same, and these values are taken out of logs as well.
    pub fn hiding(self, values: impl IntoIterator<Item = String>) -> Self {
        let hidden = self.hidden.into_iter().chain(values).collect();
        Self { variables: self.variables, hidden, masks: Arc::default() }
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
        fields.into_iter().map(text).collect::<Result<_, _>>().map(Self::new)
    }

    /// The variables that commands get.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// All values that nobody shall see.
    pub fn values(&self) -> impl Iterator<Item = &String> {
        self.variables.values().chain(&self.hidden)
    }

    /// What takes them out of logs. Copies share it.
    pub fn masks(&self) -> Masks {
        self.masks.get_or_init(|| Masks::new(self.values().map(String::as_str))).clone()
    }
}

/// Names only.
impl fmt::Debug for Secrets {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.variables.keys()).finish()
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
    fn what_is_printed_of_secrets_has_no_value() {
        let secrets = Secrets::parse(b"{\"TOKEN\": \"abcd-value\"}").unwrap().hiding(["efgh".to_owned()]);
        let shown = format!("{secrets:?} {:?}", secrets.masks());
        assert!(!shown.contains("abcd") && !shown.contains("efgh") && shown.contains("TOKEN"), "{shown}");
        assert_eq!(secrets.masks().apply("abcd-value efgh"), "******** ********");
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
