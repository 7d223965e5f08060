//! The root file system image: EROFS, not compressed, the same bytes for the same tree.

use camino::Utf8Path;

use super::host_tools::{MKFS_EROFS, ToolError, run};

/// The same for every image: a random one would change the digest.
const UUID: &str = "c07e0000-0000-4000-8000-0000726f6f74";

/// Packs a tree. Owner, times, extended attributes and the order on the host's disk leave no trace.
pub(crate) fn pack(tree: &Utf8Path, image: &Utf8Path) -> Result<(), ToolError> {
    let mut pack = MKFS_EROFS.command()?;
    pack.args(["--quiet", "--all-root", "-T0", "-x-1", "-U", UUID]).args([image, tree]);
    run(&mut pack)?;
    Ok(())
}
