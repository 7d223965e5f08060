//! Manifests of artifacts: what an artifact consists of.
//!
//! Read and written as the OCI image specification has them ("OCI Image Manifest Specification"); for Dev Container
//! features and templates the distribution pages of the Dev Container specification add the media types below.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::digest;
use crate::error::OciError;

/// Media type of the config of features, templates and collections.
pub const DEVCONTAINERS_CONFIG: &str = "application/vnd.devcontainers";
/// Media type of the layer of a feature or template, a tar archive.
pub const DEVCONTAINERS_LAYER: &str = "application/vnd.devcontainers.layer.v1+tar";
/// Media type of the layer of a collection, `devcontainer-collection.json`.
pub const DEVCONTAINERS_COLLECTION_LAYER: &str = "application/vnd.devcontainers.collection.layer.v1+json";
/// Annotation of a layer that says which name the file had.
pub const TITLE_ANNOTATION: &str = "org.opencontainers.image.title";
/// Annotation of a feature's manifest that holds its whole metadata, so that no layer need be read for it.
pub const METADATA_ANNOTATION: &str = "dev.containers.metadata";

/// Media type of manifests.
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// What may come in answer to a request for a manifest.
pub(crate) const ACCEPTED_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";
/// Largest manifest read; registries take no more than 4 MiB.
pub(crate) const LARGEST_MANIFEST: u64 = 4 << 20;
/// The config of an artifact that needs none.
pub(crate) const EMPTY_CONFIG: &[u8] = b"{}";

/// An artifact's manifest, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The digest of `bytes`.
    pub digest: String,
    /// The manifest's own media type.
    pub media_type: String,
    /// The config; its media type says what kind of artifact this is.
    pub config: Descriptor,
    /// The content.
    pub layers: Vec<Descriptor>,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether the registry said so now, or at some time before.
    pub freshness: Freshness,
    /// The manifest as it came.
    pub bytes: Vec<u8>,
}

/// One piece of content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// How old an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// Said by the other side just now, or named by digest and so always true.
    Current,
    /// Remembered, because the other side could not be asked.
    Remembered {
        /// When the other side last said so.
        at: Timestamp,
        /// Why it was not asked now.
        because: Staleness,
    },
}

/// Why the other side was not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Staleness {
    /// Working offline was asked for.
    #[error("working offline")]
    Offline,
    /// It gave no answer.
    #[error("{0}")]
    Unreachable(String),
}

/// The written form; the order of the fields is the order in the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Reads a manifest and checks that every digest in it has the one form that may become a file's name.
    ///
    /// # Errors
    /// [`OciError::Manifest`], which says what it is instead.
    pub(crate) fn parse(bytes: Vec<u8>, what: &str, freshness: Freshness) -> Result<Self, OciError> {
        let fault = |fault: String| OciError::Manifest { what: what.to_owned(), fault };
        let written: Written =
            serde_json::from_slice(&bytes).map_err(|error| fault(describe(&bytes, error)))?;
        if written.schema_version != 2 {
            return Err(fault(format!("its manifest has version {}, not 2", written.schema_version)));
        }
        for descriptor in [&written.config].into_iter().chain(&written.layers) {
            if digest::hex(&descriptor.digest).is_none() {
                return Err(fault(format!("its manifest names the digest `{}`", descriptor.digest)));
            }
        }
        Ok(Self {
            digest: digest::of(&bytes),
            media_type: written.media_type.unwrap_or_else(|| MANIFEST_TYPE.to_owned()),
            config: written.config,
            layers: written.layers,
            annotations: written.annotations.unwrap_or_default(),
            freshness,
            bytes,
        })
    }
}

/// What bytes are that are no manifest; an image's index is the usual mistake.
fn describe(bytes: &[u8], error: serde_json::Error) -> String {
    #[derive(Deserialize)]
    struct Index {
        #[serde(rename = "manifests")]
        _manifests: Vec<serde_json::Value>,
    }
    match serde_json::from_slice::<Index>(bytes) {
        Ok(_) => "it is an index of images for several platforms".to_owned(),
        Err(_) => format!("its manifest cannot be read: {error}"),
    }
}

/// An artifact to push. Its config is the empty object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// What kind of artifact it is, [`DEVCONTAINERS_CONFIG`] for instance.
    pub config_media_type: String,
    /// The content.
    pub layers: Vec<Layer>,
    /// Annotations of the manifest; [`METADATA_ANNOTATION`] for instance.
    pub annotations: BTreeMap<String, String>,
}

/// Content of an artifact to push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// What it is.
    pub media_type: String,
    /// Annotations; [`TITLE_ANNOTATION`] for instance.
    pub annotations: BTreeMap<String, String>,
    /// The content.
    pub bytes: Vec<u8>,
}

impl Artifact {
    /// The manifest's bytes. Equal artifacts give equal bytes, so publishing again changes nothing.
    pub fn manifest(&self) -> Vec<u8> {
        let descriptor = |media_type: &str, bytes: &[u8], annotations: BTreeMap<String, String>| Descriptor {
            media_type: media_type.to_owned(),
            digest: digest::of(bytes),
            size: bytes.len() as u64,
            annotations,
        };
        let layers = self.layers.iter();
        let written = Written {
            schema_version: 2,
            media_type: Some(MANIFEST_TYPE.to_owned()),
            config: descriptor(&self.config_media_type, EMPTY_CONFIG, BTreeMap::new()),
            layers: layers
                .map(|layer| descriptor(&layer.media_type, &layer.bytes, layer.annotations.clone()))
                .collect(),
            annotations: Some(self.annotations.clone()).filter(|annotations| !annotations.is_empty()),
        };
        serde_json::to_vec(&written).expect("plain data with text for keys is always JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Manifest, OciError> {
        Manifest::parse(text.as_bytes().to_vec(), "`ghcr.io/a:1`", Freshness::Current)
    }

    /// The distribution page of the specification shows a manifest of this shape; tools compare digests of it.
    #[test]
    fn an_artifact_is_written_in_the_specified_shape() {
        let annotations = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let artifact = Artifact {
            config_media_type: DEVCONTAINERS_CONFIG.into(),
            layers: vec![Layer {
                media_type: DEVCONTAINERS_LAYER.into(),
                annotations: annotations(TITLE_ANNOTATION, "devcontainer-feature-x.tgz"),
                bytes: b"{}".to_vec(),
            }],
            annotations: annotations(METADATA_ANNOTATION, r#"{"id":"x"}"#),
        };
        let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let expected = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST_TYPE}","config":{{"mediaType":"{DEVCONTAINERS_CONFIG}","digest":"{empty}","size":2}},"layers":[{{"mediaType":"{DEVCONTAINERS_LAYER}","digest":"{empty}","size":2,"annotations":{{"{TITLE_ANNOTATION}":"devcontainer-feature-x.tgz"}}}}],"annotations":{{"{METADATA_ANNOTATION}":"{{\"id\":\"x\"}}"}}}}"#
        );
        let bytes = artifact.manifest();
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        let read = Manifest::parse(bytes, "x", Freshness::Current).unwrap();
        assert_eq!((read.layers.len(), read.config.size), (1, 2));
        assert_eq!(read.annotations, artifact.annotations);
    }

    #[test]
    fn what_is_no_artifact_is_told_apart() {
        let hostile = r#"{"schemaVersion":2,"config":{"mediaType":"x","digest":"sha256:../../x","size":1},"layers":[]}"#;
        for (text, told) in [
            ("<html>", "its manifest cannot be read"),
            (r#"{"schemaVersion":2,"manifests":[]}"#, "an index of images for several platforms"),
            (hostile, "names the digest `sha256:../../x`"),
            (&hostile.replace(":2,", ":1,"), "version 1, not 2"),
            (&hostile.replace(r#""size":1"#, r#""size":-1"#), "cannot be read"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(told) && error.contains("`ghcr.io/a:1`"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(text in r#"[{}\[\]":,a-z0-9]{0,80}"#) {
            let _ = parse(&text);
        }
    }
}
