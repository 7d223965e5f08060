//! Reads `devcontainer-feature.json`, the file in which a feature describes itself.
//!
//! Features come from strangers: every property has its type checked and every mistake its place. What the
//! specification does not know is kept in [`FeatureMetadata::raw`]. `id`, `version` and `name` are required
//! of a published feature, but many local ones leave some out and work, so their absence is no mistake
//! here; see [`FeatureMetadata::missing`].

use crate::config::Properties;
use crate::decode::{Fields, Mistake, Mistakes, Spot};
use crate::jsonc::{self, Field, Node, NodeKind, SyntaxError, to_map};
use serde_json::{Map, Value};

/// What a feature says about itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FeatureMetadata {
    /// Its id; empty when the file says none.
    pub id: String,
    /// Its version, which should be a semantic one.
    pub version: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Where to read about it.
    pub documentation_url: Option<String>,
    /// Where its licence is.
    pub license_url: Option<String>,
    /// Words to find it by.
    pub keywords: Vec<String>,
    /// Its options, in the order of the file.
    pub options: Vec<(String, OptionSpec)>,
    /// Features that have to be installed before it, with their options; in the order of the file.
    pub depends_on: Vec<(String, Value)>,
    /// Features that go before it if they are installed at all.
    pub installs_after: Vec<String>,
    /// Ids that it had before.
    pub legacy_ids: Vec<String>,
    /// Its present id, which packagers write where there are legacy ones.
    pub current_id: Option<String>,
    /// Whether its author has given it up.
    pub deprecated: bool,
    /// Variables that hold from its installation on; in the order of the file, since one may use another.
    pub container_env: Vec<(String, String)>,
    /// What it says about the container. Holds only what a feature may say, and no `id`.
    pub properties: Properties,
    /// The whole file, with legacy properties moved to their present places.
    pub raw: Map<String, Value>,
}

/// One option of a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionSpec {
    /// What values it takes.
    pub kind: OptionKind,
    /// The value when none is given.
    pub default: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

/// What values an option takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionKind {
    /// `true` or `false`.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
    /// Anything; these are suggestions, if any.
    Text(Vec<String>),
}

/// Why a feature's file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureFileError {
    /// It is not JSON with comments. Shown as `file:line:column: reason`.
    #[error("{file}:{error}")]
    Syntax {
        /// The file, as the caller calls it.
        file: String,
        /// Where and why.
        error: SyntaxError,
    },
    /// It says things that cannot be. Shown one to a line, as `file:line:column: "property": problem`.
    #[error("{}", mistakes.iter().map(|mistake| format!("{file}:{mistake}")).collect::<Vec<_>>().join("\n"))]
    Invalid {
        /// The file, as the caller calls it.
        file: String,
        /// Every mistake, in the order of the text; never empty.
        mistakes: Vec<Mistake>,
    },
}

/// What a feature may say about the container.
const PROPERTIES: &[&str] = &[
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
    "init",
    "privileged",
    "capAdd",
    "securityOpt",
    "entrypoint",
    "mounts",
    "customizations",
];

impl FeatureMetadata {
    /// Reads a file. `file` is what it is called in messages: a path, or the name of the feature.
    pub fn parse(bytes: &[u8], file: &str) -> Result<Self, FeatureFileError> {
        let root =
            jsonc::parse(bytes).map_err(|error| FeatureFileError::Syntax { file: file.to_owned(), error })?;
        let mut mistakes = Mistakes::default();
        let metadata = decode(root, &mut mistakes);
        match metadata {
            Some(metadata) if mistakes.0.is_empty() => Ok(metadata),
            _ => {
                mistakes.0.sort_by_key(|mistake| mistake.position);
                Err(FeatureFileError::Invalid { file: file.to_owned(), mistakes: mistakes.0 })
            }
        }
    }

    /// The properties that a published feature has to have and this one lacks.
    pub fn missing(&self) -> Vec<&'static str> {
        let required =
            [("id", self.id.is_empty()), ("version", self.version.is_none()), ("name", self.name.is_none())];
        required.into_iter().filter(|(_, missing)| *missing).map(|(name, _)| name).collect()
    }

    /// The id it has today, then every one it had; empty only when the file says none.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let current = self.current_id.as_deref().unwrap_or(&self.id);
        let own = std::iter::once(current).filter(|id| !id.is_empty());
        own.chain(self.legacy_ids.iter().map(String::as_str))
    }
}

fn decode(mut root: Node, mistakes: &mut Mistakes) -> Option<FeatureMetadata> {
    let NodeKind::Map(entries) = &mut root.kind else {
        return Spot::root(root).unexpected("an object", mistakes);
    };
    modernise(entries);
    let raw = to_map(entries);
    let (about_container, rest): (Vec<Field>, Vec<Field>) =
        entries.drain(..).partition(|field| PROPERTIES.contains(&field.name.as_str()));
    let object = |entries| Spot::root(Node { at: root.at, kind: NodeKind::Map(entries) });
    let mut container = object(about_container).fields("an object", mistakes)?;
    let mut fields = object(rest).fields("an object", mistakes)?;
    let properties = Properties::decode_feature(&mut container, mistakes);
    Some(FeatureMetadata {
        id: fields.text("id", mistakes).unwrap_or_default(),
        version: fields.filled_text("version", mistakes),
        name: fields.filled_text("name", mistakes),
        description: fields.text("description", mistakes),
        documentation_url: fields.filled_text("documentationURL", mistakes),
        license_url: fields.filled_text("licenseURL", mistakes),
        keywords: fields.texts("keywords", mistakes).unwrap_or_default(),
        options: decode_options(&mut fields, mistakes),
        depends_on: decode_depends_on(&mut fields, mistakes),
        installs_after: fields.texts("installsAfter", mistakes).unwrap_or_default(),
        legacy_ids: fields.texts("legacyIds", mistakes).unwrap_or_default(),
        current_id: fields.filled_text("currentId", mistakes),
        deprecated: fields.flag("deprecated", mistakes).unwrap_or(false),
        container_env: decode_env(&mut fields, mistakes),
        properties,
        raw,
    })
}

pub(crate) fn decode_options(fields: &mut Fields, mistakes: &mut Mistakes) -> Vec<(String, OptionSpec)> {
    let Some(options) = fields.fields("options", mistakes) else { return Vec::new() };
    options
        .into_spots()
        .filter_map(|(name, spot)| {
            let mut fields = spot.fields("an object with \"type\"", mistakes)?;
            let kind = fields.text("type", mistakes);
            let choices = fields.take("enum").and_then(|spot| scalars(spot, mistakes));
            let proposals = fields.take("proposals").and_then(|spot| scalars(spot, mistakes));
            let kind = match (kind.as_deref(), choices) {
                (Some("boolean"), _) => OptionKind::Boolean,
                (_, Some(choices)) if !choices.is_empty() => OptionKind::Choice(choices),
                _ => OptionKind::Text(proposals.unwrap_or_default()),
            };
            let default = fields.take("default").and_then(|spot| spot.scalar(mistakes));
            let description = fields.text("description", mistakes);
            Some((name, OptionSpec { kind, default, description }))
        })
        .collect()
}

fn scalars(spot: Spot, mistakes: &mut Mistakes) -> Option<Vec<String>> {
    let spots = spot.items("an array of strings", mistakes)?;
    Some(spots.into_iter().filter_map(|spot| spot.scalar(mistakes)).collect())
}

fn decode_depends_on(fields: &mut Fields, mistakes: &mut Mistakes) -> Vec<(String, Value)> {
    let Some(depends_on) = fields.fields("dependsOn", mistakes) else { return Vec::new() };
    depends_on
        .into_spots()
        .filter_map(|(name, spot)| match &spot.node.kind {
            NodeKind::Map(_) | NodeKind::Text(_) | NodeKind::Bool(_) | NodeKind::Null => {
                Some((name, spot.node.to_value()))
            }
            _ => spot.unexpected("an object with options, or a version as a string", mistakes),
        })
        .collect()
}

/// Each becomes a line of a Dockerfile, so names and values have to fit on one.
fn decode_env(fields: &mut Fields, mistakes: &mut Mistakes) -> Vec<(String, String)> {
    let Some(env) = fields.fields("containerEnv", mistakes) else { return Vec::new() };
    let unfit = |character: char| character.is_whitespace() || character.is_control();
    env.into_spots()
        .filter(|(_, spot)| spot.node.kind != NodeKind::Null)
        .filter_map(|(name, spot)| {
            if name.is_empty() || name.contains(['=', '"', '\'', '\\', '$', '#']) || name.contains(unfit) {
                return spot.unexpected("a variable whose name is a single word", mistakes);
            }
            if matches!(&spot.node.kind, NodeKind::Text(text) if text.contains(char::is_control)) {
                return spot.unexpected("a value of one line", mistakes);
            }
            Some((name, spot.scalar(mistakes)?))
        })
        .collect()
}

/// Moves `extensions` and `settings` below `customizations.vscode`: extensions join those that are there,
/// of settings the ones that are there win.
fn modernise(root: &mut Vec<Field>) {
    for name in ["extensions", "settings"] {
        let Some(index) = root.iter().position(|field| field.name == name) else { continue };
        let old = root.remove(index);
        let Some(vscode) =
            object_in(root, "customizations", &old).and_then(|all| object_in(all, "vscode", &old))
        else {
            continue; // Something else stands there, which is reported when it is read.
        };
        let Some(present) = vscode.iter_mut().find(|field| field.name == name) else {
            vscode.push(old);
            continue;
        };
        match (&mut present.value.kind, old.value.kind) {
            (NodeKind::List(present), NodeKind::List(more)) => present.extend(more),
            (NodeKind::Map(present), NodeKind::Map(more)) => {
                let new = |field: &Field| !present.iter().any(|known| known.name == field.name);
                let more: Vec<Field> = more.into_iter().filter(new).collect();
                present.extend(more);
            }
            _ => {}
        }
    }
}

/// The entries of the object called `name`, which is made if it is not there; `None` for anything else.
fn object_in<'a>(entries: &'a mut Vec<Field>, name: &str, origin: &Field) -> Option<&'a mut Vec<Field>> {
    let index = entries.iter().position(|field| field.name == name).unwrap_or_else(|| {
        let value = Node { at: origin.at, kind: NodeKind::Map(Vec::new()) };
        entries.push(Field { name: name.to_owned(), at: origin.at, value });
        entries.len() - 1
    });
    match &mut entries[index].value.kind {
        NodeKind::Map(inner) => Some(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
