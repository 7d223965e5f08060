//! `sandbox-exec`, which every Mac has.

use camino::Utf8Path;

use super::{Sandbox, SandboxError, seatbelt};

pub(super) fn around(folder: &Utf8Path, home: &Utf8Path) -> Result<Sandbox, SandboxError> {
    let temporary = tempfile::tempdir().map_err(SandboxError::Temporary)?;
    // The kernel's rules are for real paths, and the usual place for temporary files is below a link.
    let real = fs_err::canonicalize(temporary.path()).map_err(SandboxError::Temporary)?;
    let place = Utf8Path::from_path(&real)
        .ok_or_else(|| SandboxError::Temporary(std::io::Error::other("its path is not UTF-8")))?;
    Ok(Sandbox { prefix: seatbelt(folder, home, place), temporary: Some(temporary) })
}
