//! What the resolver asks its caller for, and what it gets.

use super::metadata::FeatureMetadata;
use super::reference::FeatureReference;

/// Something to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The feature as written, for messages.
    pub written: String,
    /// Where it comes from.
    pub reference: FeatureReference,
    /// The digest that the lockfile holds: of the manifest, or of the tarball.
    pub pin: Option<String>,
}

impl Wanted {
    /// The reference to fetch: by digest where the lockfile pins one of a registry.
    pub fn pinned(&self) -> FeatureReference {
        match (&self.reference, &self.pin) {
            (FeatureReference::Oci(feature), Some(digest)) => FeatureReference::Oci(feature.pinned(digest)),
            (reference, _) => reference.clone(),
        }
    }

    /// What tells it from others.
    pub(super) fn key(&self) -> Key {
        (self.reference.clone(), self.pin.clone())
    }
}

/// What tells one thing to fetch from another.
pub(super) type Key = (FeatureReference, Option<String>);

/// What was fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// The feature's own file.
    pub metadata: FeatureMetadata,
    /// Of the manifest for one of a registry, else of the tarball or of the folder's content: `sha256:…`.
    pub digest: String,
}
