//! `devcontainer-lock.json`: which content each feature came to, so that the next build gets the same.
//!
//! It is written byte for byte as the reference does, so that it does not change by who ran last. Keys are
//! identifiers as written, which compare without case. Local features and releases are not in it, nor is
//! what only a command line asked for.

use super::FeatureReference;
use super::collate;
use super::reference::parse_digest;
use super::resolver::{Origin, ResolvedFeature};
use crate::decode::{Fields, Mistake, Mistakes, Spot};
use crate::jsonc::{self, Node, NodeKind, Position, SyntaxError};
use crate::ordered;
use camino::{Utf8Path, Utf8PathBuf};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// The content of a lockfile.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Lockfile {
    /// The features by their identifier as written, in the file's order.
    #[serde(with = "ordered")]
    features: Vec<(String, LockedFeature)>,
}

/// One feature of a lockfile.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LockedFeature {
    /// Its full version, where it says one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it comes from: `registry/path@sha256:…`, or a tarball's address.
    pub resolved: String,
    /// The digest of the manifest or of the tarball: `sha256:…`.
    pub integrity: String,
    /// The features that it depends on, as it writes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
}

/// Why a lockfile cannot be used. It is never passed over: what it pins would change without a word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockfileError {
    /// It is not JSON. Shown as `file:line:column: reason`.
    #[error("{file}:{error}")]
    Syntax {
        /// The lockfile.
        file: Utf8PathBuf,
        /// Where and why.
        error: SyntaxError,
    },
    /// It says things that cannot be. Shown one to a line, as `file:line:column: "property": problem`.
    #[error("{}", mistakes.iter().map(|mistake| format!("{file}:{mistake}")).collect::<Vec<_>>().join("\n"))]
    Invalid {
        /// The lockfile.
        file: Utf8PathBuf,
        /// Every mistake, in the order of the text; never empty.
        mistakes: Vec<Mistake>,
    },
}

/// How what would be locked now differs from a lockfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// The lockfile does not have a feature that is used.
    #[error("feature `{id}` is not in the lockfile")]
    Added {
        /// Its identifier as written.
        id: String,
    },
    /// The lockfile has a feature that is not used.
    #[error("feature `{id}` is in the lockfile and not used any more")]
    Removed {
        /// Its identifier as written.
        id: String,
    },
    /// The lockfile says something else about a feature.
    #[error("feature `{id}` has another \"{property}\": `{found}`, locked is `{locked}`")]
    Changed {
        /// Its identifier as written.
        id: String,
        /// What is different.
        property: &'static str,
        /// What the lockfile says.
        locked: String,
        /// What holds now.
        found: String,
    },
}

impl Lockfile {
    /// The lockfile that belongs to a configuration file: beside it, hidden if that is.
    pub fn path_beside(config: &Utf8Path) -> Utf8PathBuf {
        let hidden = config.file_name().is_some_and(|name| name.starts_with('.'));
        config.with_file_name(if hidden { ".devcontainer-lock.json" } else { "devcontainer-lock.json" })
    }

    /// Reads a lockfile. `None` for a blank one, which asks for a lockfile to be written.
    pub fn parse(bytes: &[u8], file: &Utf8Path) -> Result<Option<Self>, LockfileError> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let root = strict(bytes).map_err(|error| LockfileError::Syntax { file: file.to_owned(), error })?;
        let mut mistakes = Mistakes::default();
        let expected = "an object with \"features\"";
        let features = Spot::root(root).fields(expected, &mut mistakes).and_then(|mut fields| {
            let at = fields.at;
            let spot = fields.take("features").unwrap_or_else(|| absent(at, "features".to_owned()));
            spot.fields("an object", &mut mistakes)
        });
        let features: Vec<_> = features
            .into_iter()
            .flat_map(Fields::into_spots)
            .filter_map(|(id, spot)| Some((id, decode(spot, &mut mistakes)?)))
            .collect();
        if mistakes.0.is_empty() {
            return Ok(Some(Self { features }));
        }
        mistakes.0.sort_by_key(|mistake| mistake.position);
        Err(LockfileError::Invalid { file: file.to_owned(), mistakes: mistakes.0 })
    }

    /// The lockfile for what was resolved.
    pub fn of(features: &[ResolvedFeature]) -> Self {
        let asked_beside: Vec<&str> = features
            .iter()
            .filter(|feature| feature.origin == Origin::Additional)
            .map(|feature| feature.written.as_str())
            .collect();
        let lockable = |feature: &&ResolvedFeature| {
            matches!(feature.reference, FeatureReference::Oci(_) | FeatureReference::Tarball(_))
                && !asked_beside.contains(&feature.written.as_str())
        };
        let mut locked = Self::default();
        for feature in features.iter().filter(lockable) {
            let entry = LockedFeature {
                version: feature.metadata.version.clone(),
                resolved: feature.resolved.clone(),
                integrity: feature.digest.clone(),
                depends_on: feature.metadata.depends_on.iter().map(|(name, _)| name.clone()).collect(),
            };
            match locked.features.iter_mut().find(|(id, _)| *id == feature.written) {
                Some((_, known)) => *known = entry,
                None => locked.features.push((feature.written.clone(), entry)),
            }
        }
        locked.features.sort_by(|(left, _), (right, _)| collate::compare(left, right));
        locked
    }

    /// The features by their identifier as written, in the file's order.
    pub fn features(&self) -> impl Iterator<Item = (&str, &LockedFeature)> {
        self.features.iter().map(|(id, feature)| (id.as_str(), feature))
    }

    /// What is locked for an identifier, whatever its case.
    pub fn get(&self, written: &str) -> Option<&LockedFeature> {
        let exact = self.features.iter().find(|(id, _)| id == written);
        let found = exact.or_else(|| self.features.iter().find(|(id, _)| id.eq_ignore_ascii_case(written)));
        found.map(|(_, feature)| feature)
    }

    /// The lockfile without some of its features, so that these are looked up anew.
    pub fn without(&self, unpinned: impl Fn(&str) -> bool) -> Self {
        let kept = self.features.iter().filter(|(id, _)| !unpinned(id)).cloned().collect();
        Self { features: kept }
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        pretty(self)
    }

    /// Whether a file has to be written for this to be locked. One that only looks different is left alone.
    pub fn is_news_to(&self, present: Option<&[u8]>) -> bool {
        let present = present.and_then(|bytes| strict(bytes).ok());
        present.is_none_or(|root| pretty(&Plain(&root)) != self.to_text())
    }

    /// How this differs from what was locked before. Empty where a frozen lockfile holds.
    pub fn differences(&self, locked: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (id, found) in self.features() {
            match locked.get(id) {
                None => differences.push(Difference::Added { id: id.to_owned() }),
                Some(locked) => differences.extend(changes(id, locked, found)),
            }
        }
        let gone = locked.features().filter(|(id, _)| self.get(id).is_none());
        differences.extend(gone.map(|(id, _)| Difference::Removed { id: id.to_owned() }));
        differences
    }
}

fn changes(id: &str, locked: &LockedFeature, found: &LockedFeature) -> Vec<Difference> {
    let depends_on = |feature: &LockedFeature| feature.depends_on.join(", ");
    let version = |feature: &LockedFeature| feature.version.clone().unwrap_or_default();
    let properties = [
        ("version", version(locked), version(found)),
        ("resolved", locked.resolved.clone(), found.resolved.clone()),
        ("integrity", locked.integrity.clone(), found.integrity.clone()),
        ("dependsOn", depends_on(locked), depends_on(found)),
    ];
    let changed = properties.into_iter().filter(|(_, locked, found)| locked != found);
    changed
        .map(|(property, locked, found)| Difference::Changed { id: id.to_owned(), property, locked, found })
        .collect()
}

/// Reads JSON without comments and trailing commas: other tools read this file with less.
fn strict(bytes: &[u8]) -> Result<Node, SyntaxError> {
    let root = jsonc::parse(bytes)?;
    match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        Ok(_) => Ok(root),
        Err(error) => Err(SyntaxError::Grammar {
            position: Position::new(error.line() as u32, error.column() as u32),
            reason: "a lockfile has no comments and no trailing commas".to_owned(),
        }),
    }
}

fn decode(spot: Spot, mistakes: &mut Mistakes) -> Option<LockedFeature> {
    let (at, path) = (spot.node.at, spot.path.clone());
    let mut fields = spot.fields("an object with \"resolved\" and \"integrity\"", mistakes)?;
    let mut required =
        |name: &str, expected: &str, is_right: &dyn Fn(&str) -> bool, mistakes: &mut Mistakes| {
            let spot = fields.take(name).unwrap_or_else(|| absent(at, format!("{path}.{name}")));
            match &spot.node.kind {
                NodeKind::Text(text) if is_right(text) => Some(text.clone()),
                _ => spot.unexpected(expected, mistakes),
            }
        };
    let resolved = required("resolved", "where the feature comes from", &|text| !text.is_empty(), mistakes);
    let (_, pinned) = resolved.as_deref().and_then(|text| text.rsplit_once('@')).unwrap_or_default();
    let integrity = if parse_digest(pinned).is_ok() {
        // Who changed one of the two by hand, or merged halves of two lockfiles, is told before anything is fetched.
        let expected = format!("`{pinned}`, as in \"resolved\"");
        required("integrity", &expected, &|text| text == pinned, mistakes)
    } else {
        required("integrity", "`sha256:` and 64 hex digits", &|text| parse_digest(text).is_ok(), mistakes)
    };
    let version = fields.text("version", mistakes);
    let depends_on = fields.texts("dependsOn", mistakes).unwrap_or_default();
    Some(LockedFeature { version, resolved: resolved?, integrity: integrity?, depends_on })
}

/// A required property that is not there, told of at the object that should have it.
fn absent(at: Position, path: String) -> Spot {
    Spot { path, node: Node { at, kind: NodeKind::Null } }
}

/// JSON with two blanks a level and a line feed at the end.
fn pretty(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("keys are strings and numbers are finite");
    text + "\n"
}

/// A parsed text, to be written again in its own order.
struct Plain<'a>(&'a Node);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match &self.0.kind {
            NodeKind::Null => out.serialize_unit(),
            NodeKind::Bool(flag) => out.serialize_bool(*flag),
            NodeKind::Number(number) => number.serialize(out),
            NodeKind::Text(text) => out.serialize_str(text),
            NodeKind::List(items) => {
                let mut list = out.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Plain(item))?;
                }
                list.end()
            }
            NodeKind::Map(fields) => {
                let mut map = out.serialize_map(Some(fields.len()))?;
                for field in fields {
                    map.serialize_entry(&field.name, &Plain(&field.value))?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests;
