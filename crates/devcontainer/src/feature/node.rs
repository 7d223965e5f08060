//! A feature on the resolver's way: first only named, then known.

use super::metadata::FeatureMetadata;
use super::options::{self, Given};
use super::reference::FeatureReference;
use super::resolver::{Origin, ResolvedFeature};
use super::wanted::Wanted;
use serde_json::Value;

/// A feature that was named and may turn out to be there already.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) wanted: Wanted,
    pub(super) origin: Origin,
    pub(super) value: Value,
    pub(super) given: Given,
}

/// A feature that will be installed.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) candidate: Candidate,
    pub(super) digest: String,
    pub(super) metadata: FeatureMetadata,
    pub(super) depends_on: Vec<Candidate>,
    pub(super) installs_after: Vec<FeatureReference>,
}

impl Node {
    /// Whether a candidate is this feature: the same content with the same options. A folder or release is
    /// known by its name, since its content is read only once.
    pub(super) fn is(&self, candidate: &Candidate, digest: &str) -> bool {
        let (own, other) = (&self.candidate.wanted.reference, &candidate.wanted.reference);
        let same_content = match (own, other) {
            (FeatureReference::Oci(_), FeatureReference::Oci(_))
            | (FeatureReference::Tarball(_), FeatureReference::Tarball(_)) => self.digest == digest,
            (own, other) => own == other,
        };
        same_content && self.candidate.given == candidate.given
    }

    /// Whether a name without version means this feature, by its present id or an older one.
    pub(super) fn is_called(&self, name: &FeatureReference) -> bool {
        match (&self.candidate.wanted.reference, name) {
            (FeatureReference::Oci(own), FeatureReference::Oci(name)) => {
                let same_collection = own.registry == name.registry && own.namespace() == name.namespace();
                let mut ids = std::iter::once(own.id()).chain(self.metadata.ids());
                same_collection && ids.any(|id| id.eq_ignore_ascii_case(name.id()))
            }
            (FeatureReference::Release(_), FeatureReference::Release(_)) => {
                self.candidate.wanted.reference.without_version() == name.without_version()
            }
            (own, name) => own == name,
        }
    }

    pub(super) fn resolved(&self) -> ResolvedFeature {
        let Candidate { wanted, origin, value, given } = &self.candidate;
        ResolvedFeature {
            written: wanted.written.clone(),
            reference: wanted.reference.clone(),
            origin: *origin,
            value: value.clone(),
            options: options::effective(given, value, &self.metadata),
            metadata: self.metadata.clone(),
            digest: self.digest.clone(),
            resolved: wanted.reference.canonical(&self.digest),
        }
    }
}
