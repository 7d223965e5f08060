//! Names, ids and versions that every resource has.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Longest name, in characters: it becomes part of container names and host names.
const MAX_NAME: usize = 48;

/// A name people give and type: lower-case letters, digits and inner dashes, so that it can be a host name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "flask-postgres", max_length = 48, pattern = "^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?$")]
pub struct Name(String);

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a name: use 1 to {MAX_NAME} lower-case letters, digits and inner dashes")]
pub struct InvalidName {
    /// What was given.
    pub text: String,
}

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidName`] when it is empty, too long, or has other characters.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=MAX_NAME).contains(&text.len());
        let characters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let edges = !text.starts_with('-') && !text.ends_with('-');
        if fits && characters && edges {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName { text: text.to_owned() })
        }
    }

    /// Makes a name out of any text, for instance a folder's name: what does not fit becomes a dash.
    pub fn from_text(text: &str) -> Self {
        let mut name = String::new();
        for c in text.chars().flat_map(char::to_lowercase) {
            if c.is_ascii_alphanumeric() {
                name.push(c);
            } else if !name.is_empty() && !name.ends_with('-') {
                name.push('-');
            }
        }
        name.truncate(MAX_NAME);
        let name = name.trim_end_matches('-');
        Self(if name.is_empty() { "environment".to_owned() } else { name.to_owned() })
    }

    /// The same name with a number behind it, still within the limits.
    pub fn numbered(&self, number: u32) -> Self {
        let suffix = format!("-{number}");
        let kept = self.0.len().min(MAX_NAME - suffix.len());
        Self(format!("{}{suffix}", self.0[..kept].trim_end_matches('-')))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identifies an environment for ever, across renames.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[schema(value_type = String)]
pub struct EnvironmentId(pub String);

impl EnvironmentId {
    /// A new id: random, short enough for container names.
    pub fn random() -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Self(id[..12].to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnvironmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An opaque token on a part of a spec. A new one means "do this part again"; the status repeats the one it acted on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[schema(value_type = String)]
pub struct Session(pub String);

impl Session {
    /// A token that was never used.
    pub fn fresh() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }
}

/// What every resource says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Metadata {
    /// The name people use.
    pub name: Name,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Rises with every change of the spec.
    pub generation: u64,
    /// Rises with every change of anything; a write that names an older one is refused.
    pub resource_version: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_folder_name_becomes_a_name() {
        for (text, name) in [
            ("flask-postgres", "flask-postgres"),
            ("My App (v2)", "my-app-v2"),
            ("--x--", "x"),
            ("日本", "environment"),
            (".hidden_dir", "hidden-dir"),
        ] {
            assert_eq!(Name::from_text(text).as_str(), name, "{text}");
            assert!(Name::parse(name).is_ok());
        }
        let long = Name::from_text(&"ab-".repeat(40));
        assert!(Name::parse(long.as_str()).is_ok());
        assert!(Name::parse(long.numbered(12).as_str()).is_ok());
    }

    #[test]
    fn names_that_could_not_be_host_names_are_refused() {
        for text in ["", "-a", "a-", "A", "a.b", "a/b", "a b", &"a".repeat(49)] {
            assert!(Name::parse(text).is_err(), "{text}");
        }
    }
}
