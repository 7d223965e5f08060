//! Files that are written whole or not at all.

use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

use camino::Utf8Path;

/// Writes a file so that a reader sees the old or the new one, never a part, also after a crash. Its folder is there.
///
/// # Errors
/// It is as it was before.
pub(crate) fn write(file: &Utf8Path, content: &[u8], mode: u32) -> io::Result<()> {
    let name = file.file_name().unwrap_or_default();
    let new = file.with_file_name(format!(".{name}.cove-{}", std::process::id()));
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        let mut opened = options.write(true).create_new(true).mode(mode).open(&new)?;
        opened.set_permissions(std::fs::Permissions::from_mode(mode))?;
        opened.write_all(content)?;
        opened.sync_all()?;
        std::fs::rename(&new, file)
    };
    let written = write();
    if written.is_err() {
        // Nothing of ours is left behind in a person's folder.
        let _ = std::fs::remove_file(&new);
    }
    written
}
