//! The flag of a file without its content.

use std::fs::Metadata;
use std::os::macos::fs::MetadataExt;

/// `SF_DATALESS` of `sys/stat.h`.
const DATALESS: u32 = 0x4000_0000;

/// Whether a file or folder has its content elsewhere.
pub(super) const IS_ELSEWHERE: Option<fn(&Metadata) -> bool> =
    Some(|metadata| metadata.st_flags() & DATALESS != 0);
