//! Whether two sides have the same.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{Author, Side, Stamp, Write};

/// The first 128 bits of a SHA-256. As text 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(u128);

/// Makes a digest out of parts, each with its length, so that no two lists of parts are alike.
pub(crate) struct Digester(Sha256);

impl Digester {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    /// A value whatever the order of its keys: databases keep their own.
    pub(crate) fn value(&mut self, value: &Value) {
        match value {
            Value::Object(map) => {
                let mut keys: Vec<_> = map.iter().collect();
                keys.sort_unstable_by_key(|(key, _)| *key);
                self.text("{");
                self.number(keys.len() as u64);
                for (key, value) in keys {
                    self.text(key);
                    self.value(value);
                }
            }
            Value::Array(items) => {
                self.text("[");
                self.number(items.len() as u64);
                for item in items {
                    self.value(item);
                }
            }
            Value::String(text) => {
                self.text("\"");
                self.text(text);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => self.text(&value.to_string()),
        }
    }

    pub(crate) fn stamp(&mut self, stamp: &Stamp) {
        self.number(stamp.len() as u64);
        for (author, count) in stamp.iter() {
            self.author(author);
            self.number(count);
        }
    }

    pub(crate) fn write(&mut self, write: &Write) {
        self.author(&write.dot.author);
        self.number(write.dot.count);
        self.value(&write.value);
        self.number(u64::from(write.over.is_some()));
        if let Some(over) = &write.over {
            self.stamp(over);
        }
    }

    fn author(&mut self, author: &Author) {
        match &author.side {
            Side::Server => self.text(""),
            Side::Runner(id) => self.text(id.as_str()),
        }
        self.number(author.run);
        self.number(author.token.0);
    }

    pub(crate) fn finish(self) -> Digest {
        let whole = self.0.finalize();
        let mut first = [0; 16];
        first.copy_from_slice(&whole[..16]);
        Digest(u128::from_be_bytes(first))
    }
}

impl Digest {
    pub(crate) fn of_write(write: &Write) -> Self {
        let mut digester = Digester::new();
        digester.write(write);
        digester.finish()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = std::num::ParseIntError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}
