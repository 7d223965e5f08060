//! Reads `devcontainer-template.json`.

use crate::decode::{Fields, Mistakes};
use crate::feature::{OptionSpec, decode_options};
use crate::jsonc::{self, NodeKind};
use crate::resolve::ReadError;
use camino::Utf8Path;
use serde_json::{Map, Value};

/// What a template says about itself.
#[derive(Debug, Clone, PartialEq)]
pub struct TemplateMetadata {
    /// Its id, which is also the name of its folder.
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
    /// Who keeps it.
    pub publisher: Option<String>,
    /// Words to find it by.
    pub keywords: Vec<String>,
    /// Languages and platforms it is for.
    pub platforms: Vec<String>,
    /// Its options, in the order of the file.
    pub options: Vec<(String, OptionSpec)>,
    /// Files, and folders written `folder/*`, that a person may want to leave out.
    pub optional_paths: Vec<String>,
    /// The whole file.
    pub raw: Map<String, Value>,
}

impl TemplateMetadata {
    /// Reads a file. `file` is what it is called in messages.
    ///
    /// # Errors
    /// The text is not JSON with comments, lacks the id, or has properties of wrong types.
    pub fn parse(bytes: &[u8], file: &Utf8Path) -> Result<Self, ReadError> {
        let root = jsonc::parse(bytes).map_err(|error| ReadError::Syntax { file: file.to_owned(), error })?;
        let mut mistakes = Mistakes::default();
        let at = root.at;
        if !matches!(root.kind, NodeKind::Map(_)) {
            mistakes.unexpected_root(root);
            return Err(mistakes.refuse(&[file.to_owned()]));
        }
        let mut fields = Fields::root(root);
        let metadata = decode(&mut fields, &mut mistakes);
        if metadata.id.is_empty() && mistakes.0.is_empty() {
            mistakes.missing(at, "id");
        }
        if mistakes.0.is_empty() { Ok(metadata) } else { Err(mistakes.refuse(&[file.to_owned()])) }
    }
}

fn decode(fields: &mut Fields, mistakes: &mut Mistakes) -> TemplateMetadata {
    let raw = fields.rest();
    TemplateMetadata {
        id: fields.filled_text("id", mistakes).unwrap_or_default(),
        version: fields.filled_text("version", mistakes),
        name: fields.filled_text("name", mistakes),
        description: fields.text("description", mistakes),
        documentation_url: fields.filled_text("documentationURL", mistakes),
        license_url: fields.filled_text("licenseURL", mistakes),
        publisher: fields.filled_text("publisher", mistakes),
        keywords: fields.texts("keywords", mistakes).unwrap_or_default(),
        platforms: fields.texts("platforms", mistakes).unwrap_or_default(),
        options: decode_options(fields, mistakes),
        optional_paths: fields.texts("optionalPaths", mistakes).unwrap_or_default(),
        raw,
    }
}
