//! Talks to OCI registries: artifacts by digest, credentials, a store that works offline, archives.
