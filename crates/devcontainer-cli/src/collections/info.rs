//! What a registry says about a feature or template.

use std::fmt::Write;

use oci::{Manifest, OciError, Reference, Registry};
use serde_json::{Map, Value};

use super::arguments::InfoMode;
use super::frame;
use super::json::{self, JsonError};

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InfoError {
    /// The registry has no answer.
    #[error(transparent)]
    Registry(#[from] OciError),
    /// Something else is published by this name.
    #[error("{name} is neither a feature nor a template: its content is of the type `{found}`")]
    OtherKind {
        /// The name.
        name: Reference,
        /// What its manifest says.
        found: String,
    },
    /// It was published without metadata.
    #[error(
        "{name} was published without metadata, by a tool of before 2023: its author has to publish it again"
    )]
    NoMetadata {
        /// The name.
        name: Reference,
    },
    /// Its metadata is not JSON.
    #[error(transparent)]
    Metadata(#[from] JsonError),
}

/// The manifest of a feature or template.
pub(crate) async fn manifest(registry: &Registry, name: &Reference) -> Result<Manifest, InfoError> {
    let manifest = registry.manifest(name).await?;
    if manifest.config.media_type != oci::DEVCONTAINERS_CONFIG {
        let found = manifest.config.media_type;
        return Err(InfoError::OtherKind { name: name.clone(), found });
    }
    Ok(manifest)
}

/// The metadata that a feature or template was published with.
pub(crate) async fn metadata(registry: &Registry, name: &Reference) -> Result<Map<String, Value>, InfoError> {
    let manifest = manifest(registry, name).await?;
    let Some(text) = manifest.annotations.get(oci::METADATA_ANNOTATION) else {
        return Err(InfoError::NoMetadata { name: name.clone() });
    };
    Ok(json::read_object(text.as_bytes(), &format!("metadata of {name}"))?)
}

/// What is known of one feature, as far as it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The manifest as JSON, and the name by its digest.
    pub(crate) manifest: Option<(Value, String)>,
    /// Every tag.
    pub(crate) tags: Option<Vec<String>>,
    /// A diagram of what it depends on.
    pub(crate) diagram: Option<String>,
}

impl InfoMode {
    /// Whether `part` was asked for.
    pub(crate) fn includes(self, part: Self) -> bool {
        self == part || self == Self::Verbose
    }
}

impl Known {
    /// For people, each part below a heading.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut part = |title: &str, content: &str| {
            let _ = writeln!(text, "{}\n{content}", frame::heading(title));
        };
        if let Some((manifest, canonical)) = &self.manifest {
            part("Manifest", &format!("{}\n", json::pretty(manifest, 2)));
            part("Canonical Identifier", &format!("{canonical}\n"));
        }
        if let Some(tags) = &self.tags {
            part("Published Tags", &tags.join("\n   "));
        }
        if let Some(diagram) = &self.diagram {
            part("Dependency Tree (Render with https://mermaid.live/)", diagram);
        }
        text
    }

    /// For programs. The diagram is for people only.
    pub(crate) fn json(&self) -> String {
        let mut object = Map::new();
        if let Some((manifest, canonical)) = &self.manifest {
            object.insert("manifest".to_owned(), manifest.clone());
            object.insert("canonicalId".to_owned(), Value::from(canonical.as_str()));
        }
        if let Some(tags) = &self.tags {
            object.insert("publishedTags".to_owned(), Value::from(tags.clone()));
        }
        json::pretty(&object, 4) + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn known() -> Known {
        Known {
            manifest: Some((json!({"schemaVersion": 2, "layers": []}), "r.io/a@sha256:00".to_owned())),
            tags: Some(vec!["latest".to_owned(), "1".to_owned()]),
            diagram: Some("flowchart\nx[a]\n".to_owned()),
        }
    }

    #[test]
    fn parts_stand_below_headings() {
        let plain = known().text().replace("\u{1b}[1m", "").replace("\u{1b}[22m", "");
        insta::assert_snapshot!(plain, @r#"
        ┌────────┐
        │Manifest│
        └────────┘
        {
          "schemaVersion": 2,
          "layers": []
        }

        ┌────────────────────┐
        │Canonical Identifier│
        └────────────────────┘
        r.io/a@sha256:00

        ┌──────────────┐
        │Published Tags│
        └──────────────┘
        latest
           1
        ┌───────────────────────────────────────────────────┐
        │Dependency Tree (Render with https://mermaid.live/)│
        └───────────────────────────────────────────────────┘
        flowchart
        x[a]
        "#);
    }

    #[test]
    fn programs_get_one_object() {
        let tags = Known { manifest: None, ..known() };
        assert_eq!(
            tags.json(),
            "{\n    \"publishedTags\": [\n        \"latest\",\n        \"1\"\n    ]\n}\n"
        );
        assert_eq!(Known::default().json(), "{}\n");
    }
}
