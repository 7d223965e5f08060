//! No mark that the tools for backups agree on.

pub(super) const MARK: Option<&str> = None;
