//! Talks to OCI registries: artifacts by digest, credentials, a store that works offline, archives.
//!
//! What comes from a registry or a web address is foreign: its size is bounded, its digest is compared before a byte
//! is handed out and again whenever it is read from the store, and archives are unpacked in memory with everything
//! refused that could do harm on a disk. What it means (a feature, a template) is not known here.
//!
//! `oci-client` moves content and pushes. The small answers, manifests and lists of tags, are read here: it reads
//! them whole however long they are, does not follow the pages of a list by their `Link`, and knows no refresh tokens.

mod archive;
mod auth;
mod auth_hosts;
mod credentials;
pub mod digest;
mod download;
mod error;
mod http;
mod manifest;
mod push;
mod reference;
mod registry;
mod retry;
mod session;
mod store;

pub use archive::{File, Files, Limits, LinkFault, PathFault, UnpackError, decompressed, pack, unpack};
pub use auth_hosts::{AuthHost, AuthHostError, AuthHosts};
pub use credentials::{Credential, docker_credential};
pub use download::Download;
pub use error::{Action, OciError};
pub use manifest::{
    Artifact, DEVCONTAINERS_COLLECTION_LAYER, DEVCONTAINERS_CONFIG, DEVCONTAINERS_LAYER, Descriptor,
    Freshness, Layer, METADATA_ANNOTATION, Manifest, Staleness, TITLE_ANNOTATION,
};
pub use reference::{Reference, ReferenceError, ReferenceFault, Version};
pub use registry::{LARGEST_CONTENT, Options, Registry};
