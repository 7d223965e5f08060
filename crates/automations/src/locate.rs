//! Where the file is looked for.

/// The places, relative to the folder. The first that is there counts; others beside it are told of.
pub const CANDIDATES: [&str; 3] =
    [".cove/automations.yaml", ".gitpod/automations.yaml", ".ona/automations.yaml"];

/// Longest file that is read, in bytes: far more than any is.
pub const MAX_BYTES: usize = 256 * 1024;
