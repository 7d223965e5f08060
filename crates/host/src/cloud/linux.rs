//! A file that is there is there.

use std::fs::Metadata;

/// Whether a file or folder has its content elsewhere: no file does.
pub(super) const IS_ELSEWHERE: Option<fn(&Metadata) -> bool> = None;
