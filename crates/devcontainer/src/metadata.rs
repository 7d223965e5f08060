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
