//! Mounts: the object of the specification and the string of `docker --mount`.

use crate::decode::{Choice, Mistakes, Spot};
use crate::jsonc::NodeKind;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MountKind {
    /// A file or folder of the host.
    Bind,
    /// A volume of the engine; anonymous without a source.
    Volume,
    /// Memory that is gone with the container.
    Tmpfs,
}

impl Choice for MountKind {
    const ALL: &'static [Self] = &[Self::Bind, Self::Volume, Self::Tmpfs];
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// The path on the host or the name of the volume; `None` for memory and anonymous volumes.
    pub source: Option<String>,
    /// The path in the container.
    pub target: String,
    /// Whether the container may only read.
    pub read_only: bool,
    /// `consistent`, `cached` or `delegated`; a hint without meaning to a Linux engine, kept as written.
    pub consistency: Option<String>,
    /// Every other option of `--mount`, such as `volume-driver`, in the order written; a value of `None` is
    /// an option that stands alone.
    pub options: Vec<(String, Option<String>)>,
}

/// Why a mount cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// The commas and quotes do not add up.
    #[error("the mount `{mount}` has an unclosed quote")]
    Quote {
        /// The whole string.
        mount: String,
    },
    /// An option that needs `=value` has none.
    #[error("the mount option `{option}` has no value, expected `{option}=…`")]
    NoValue {
        /// The option.
        option: String,
    },
    /// An option that no engine knows.
    #[error(
        "unknown mount option `{option}`, expected type, source, target, readonly, consistency or one of bind-*, volume-*, tmpfs-*"
    )]
    UnknownOption {
        /// The option.
        option: String,
    },
    /// A `type` that we do not mount.
    #[error("unknown mount type `{kind}`, expected bind, volume or tmpfs")]
    UnknownKind {
        /// The type as written.
        kind: String,
    },
    /// `readonly` with a value that is neither true nor false.
    #[error("the mount option `{option}` is `{value}`, expected true or false")]
    NotBoolean {
        /// The option.
        option: String,
        /// Its value.
        value: String,
    },
    /// Nothing says where to mount.
    #[error("the mount has no target, expected `target=/path/in/container`")]
    NoTarget,
    /// The target is relative.
    #[error("the mount's target `{target}` is not an absolute path")]
    RelativeTarget {
        /// The target.
        target: String,
    },
    /// A bind mount of nothing.
    #[error("the bind mount to `{target}` has no source")]
    NoSource {
        /// The target.
        target: String,
    },
}

impl Mount {
    /// A read-write bind mount.
    pub fn bind(source: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            kind: MountKind::Bind,
            source: Some(source.into()),
            target: target.into(),
            read_only: false,
            consistency: None,
            options: Vec::new(),
        }
    }

    /// Reads the string or the object form.
    pub(crate) fn decode(spot: Spot, mistakes: &mut Mistakes) -> Option<Self> {
        let (position, path) = (spot.node.at, spot.path.clone());
        let mount = if let NodeKind::Text(text) = &spot.node.kind {
            text.parse()
        } else {
            let mut fields =
                spot.fields("a string such as \"type=volume,target=/data\" or an object", mistakes)?;
            let before = mistakes.0.len();
            let kind = fields.choice("type", mistakes).unwrap_or(MountKind::Volume);
            let mut mount = Self { kind, ..Self::bind("", "") };
            mount.source = fields.filled_text("source", mistakes);
            mount.target = fields.text("target", mistakes).unwrap_or_default();
            if mistakes.0.len() > before {
                return None;
            }
            for (name, spot) in fields.into_spots() {
                let value = spot.scalar(mistakes)?;
                if let Err(error) = mount.set(&name, Some(&value)) {
                    mistakes.add(position, &path, error);
                    return None;
                }
            }
            mount.checked()
        };
        mount.map_err(|error| mistakes.add(position, &path, error)).ok()
    }

    /// Applies one option other than the type.
    fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), MountError> {
        let needed = || value.ok_or_else(|| MountError::NoValue { option: name.to_owned() });
        match name.to_ascii_lowercase().as_str() {
            "source" | "src" => self.source = Some(needed()?.to_owned()).filter(|source| !source.is_empty()),
            "target" | "destination" | "dst" => needed()?.clone_into(&mut self.target),
            "readonly" | "ro" => self.read_only = boolean(name, value)?,
            "consistency" => self.consistency = Some(needed()?.to_owned()),
            "external" => {} // A word of the templates: the volume exists already. Engines need no telling.
            other if ["bind-", "volume-", "tmpfs-"].iter().any(|prefix| other.starts_with(prefix)) => {
                self.options.push((other.to_owned(), value.map(str::to_owned)));
            }
            _ => return Err(MountError::UnknownOption { option: name.to_owned() }),
        }
        Ok(())
    }

    fn checked(self) -> Result<Self, MountError> {
        if self.target.is_empty() {
            return Err(MountError::NoTarget);
        }
        // A target may still hold a variable that is known only later.
        if !self.target.starts_with('/') && !self.target.starts_with("${") {
            return Err(MountError::RelativeTarget { target: self.target });
        }
        if self.kind == MountKind::Bind && self.source.is_none() {
            return Err(MountError::NoSource { target: self.target });
        }
        Ok(self)
    }

    /// Calls `change` with every string that may hold variables.
    pub(crate) fn for_each_text(&mut self, change: &mut dyn FnMut(&mut String)) {
        if let Some(source) = &mut self.source {
            change(source);
        }
        change(&mut self.target);
    }
}

fn boolean(option: &str, value: Option<&str>) -> Result<bool, MountError> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(value) => Err(MountError::NotBoolean { option: option.to_owned(), value: value.to_owned() }),
    }
}

impl FromStr for Mount {
    type Err = MountError;

    /// Reads the string of `docker --mount`: comma-separated, quoted as CSV, `volume` unless a type is said.
    fn from_str(text: &str) -> Result<Self, MountError> {
        let mut mount = Self { kind: MountKind::Volume, source: None, ..Self::bind("", "") };
        for field in split_csv(text)? {
            let (name, value) = match field.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value)),
                None => (field.trim(), None),
            };
            if name.is_empty() && value.is_none() {
                continue; // A trailing comma.
            }
            if name.eq_ignore_ascii_case("type") {
                let kind = value.ok_or_else(|| MountError::NoValue { option: "type".to_owned() })?;
                let word = kind.to_ascii_lowercase();
                mount.kind = MountKind::ALL
                    .iter()
                    .copied()
                    .find(|candidate| candidate.word() == word)
                    .ok_or_else(|| MountError::UnknownKind { kind: kind.to_owned() })?;
            } else {
                mount.set(name, value)?;
            }
        }
        mount.checked()
    }
}

/// Splits at commas outside of double quotes; a doubled quote within quotes stands for itself.
fn split_csv(text: &str) -> Result<Vec<String>, MountError> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(character) = chars.next() {
        let field = fields.last_mut().expect("there is always a field being read");
        match character {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    if quoted { Err(MountError::Quote { mount: text.to_owned() }) } else { Ok(fields) }
}

impl fmt::Display for Mount {
    /// The string of `docker --mount`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = vec![format!("type={}", self.kind.word())];
        fields.extend(self.source.iter().map(|source| format!("source={source}")));
        fields.push(format!("target={}", self.target));
        if self.read_only {
            fields.push("readonly".to_owned());
        }
        fields.extend(self.consistency.iter().map(|consistency| format!("consistency={consistency}")));
        fields.extend(self.options.iter().map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        }));
        for (index, field) in fields.iter().enumerate() {
            if index > 0 {
                out.write_str(",")?;
            }
            if field.contains([',', '"', '\n']) {
                write!(out, "\"{}\"", field.replace('"', "\"\""))?;
            } else {
                out.write_str(field)?;
            }
        }
        Ok(())
    }
}

/// How a mount is written down: as the specification's object where that can hold it, else as a string.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Object {
        #[serde(rename = "type")]
        kind: MountKind,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        target: String,
    },
}

impl From<Mount> for Written {
    fn from(mount: Mount) -> Self {
        if mount.read_only || mount.consistency.is_some() || !mount.options.is_empty() {
            return Self::Text(mount.to_string());
        }
        Self::Object { kind: mount.kind, source: mount.source, target: mount.target }
    }
}

impl TryFrom<Written> for Mount {
    type Error = MountError;

    fn try_from(written: Written) -> Result<Self, MountError> {
        match written {
            Written::Text(text) => text.parse(),
            Written::Object { kind, source, target } => {
                Self { kind, source, target, ..Self::bind("", "") }.checked()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_spelling() {
        let mount: Mount =
            "type=bind,src=/a b,dst=/c,ro,consistency=cached,bind-propagation=rslave".parse().unwrap();
        assert_eq!(
            mount.to_string(),
            "type=bind,source=/a b,target=/c,readonly,consistency=cached,bind-propagation=rslave"
        );
        let anonymous: Mount = "target=/data".parse().unwrap();
        assert_eq!((anonymous.kind, anonymous.source), (MountKind::Volume, None));
        let quoted: Mount = "type=bind,\"source=/a,b\"\"c\",target=/d,readonly=false,".parse().unwrap();
        assert_eq!((quoted.source.as_deref(), quoted.read_only), (Some("/a,b\"c"), false));
    }

    #[test]
    fn says_what_is_wrong() {
        let wrong = |text: &str| text.parse::<Mount>().unwrap_err().to_string();
        insta::assert_snapshot!(wrong("type=bind,source=/a"), @"the mount has no target, expected `target=/path/in/container`");
        insta::assert_snapshot!(wrong("type=bind,target=/a"), @"the bind mount to `/a` has no source");
        insta::assert_snapshot!(wrong("type=nfs,target=/a"), @"unknown mount type `nfs`, expected bind, volume or tmpfs");
        insta::assert_snapshot!(wrong("taget=/a"), @"unknown mount option `taget`, expected type, source, target, readonly, consistency or one of bind-*, volume-*, tmpfs-*");
        insta::assert_snapshot!(wrong("source"), @"the mount option `source` has no value, expected `source=…`");
        insta::assert_snapshot!(wrong("target=data"), @"the mount's target `data` is not an absolute path");
        insta::assert_snapshot!(wrong("\"target=/a"), @"the mount `\"target=/a` has an unclosed quote");
        insta::assert_snapshot!(wrong("target=/a,ro=maybe"), @"the mount option `ro` is `maybe`, expected true or false");
    }

    proptest! {
        #[test]
        fn survives_being_written_and_read(source in "[a-z,\" =]{1,12}", target in "/[a-z,\"=]{0,9}", read_only: bool) {
            let mount = Mount { read_only, ..Mount::bind(source, target) };
            prop_assert_eq!(mount.to_string().parse::<Mount>(), Ok(mount.clone()));
            let json = serde_json::to_string(&mount).unwrap();
            prop_assert_eq!(serde_json::from_str::<Mount>(&json).unwrap(), mount);
        }

        #[test]
        fn never_panics(text in "[a-z=,\"/ é]{0,40}") {
            let _outcome = text.parse::<Mount>();
        }
    }
}
