//! The disk image that people download: the app, and a link to drag it onto.
//!
//! On a Mac, Apple's `hdiutil` makes it. Elsewhere xorriso writes the file system and the crate `apple-dmg` the disk
//! image around it: that one has never been mounted on a Mac, and rehearses what comes before and after.

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use apple_dmg::{DmgReader, DmgWriter};
use camino::Utf8Path;

use super::VERSION;
use crate::image::{ToolError, XORRISO, empty, run_tool};
use crate::setup::{SetupError, install_missing};

/// Length of the blocks that disk images consist of.
const BLOCK: usize = 512;

/// The disk image could not be made, or is damaged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskImageError {
    #[error("could not prepare this machine")]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Tool(#[from] ToolError),
    #[error("the disk image could not be written or read: {0}")]
    Image(String),
    #[error("the disk image is damaged: {0}")]
    Damaged(&'static str),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Makes `dmg` with the app in it.
pub(super) fn make(bundle: &Utf8Path, out: &Utf8Path, dmg: &Utf8Path) -> Result<(), DiskImageError> {
    let root = out.join("volume");
    empty(&root)?;
    copy(bundle, &root.join("Cove.app"))?;
    symlink("/Applications", root.join("Applications"))?;
    if dmg.exists() {
        fs_err::remove_file(dmg)?;
    }
    let volume = format!("Cove {VERSION}");
    if cfg!(target_os = "macos") {
        let mut hdiutil = Command::new("hdiutil");
        hdiutil.args(["create", "-volname", &volume, "-srcfolder", root.as_str()]);
        run_tool(hdiutil.args(["-fs", "HFS+", "-format", "UDZO", dmg.as_str()]))?;
    } else {
        install_missing(["xorriso"].into_iter())?;
        let file_system = out.join("volume.iso");
        let mut xorriso = XORRISO.command()?;
        xorriso.args(["-as", "mkisofs", "-quiet", "-V", "Cove", "-hfsplus", "-D", "-l", "-no-pad", "-r"]);
        run_tool(xorriso.args(["-dir-mode", "0755", "-o"]).args([&file_system, &root]))?;
        wrap(&file_system, dmg)?;
        fs_err::remove_file(file_system)?;
    }
    fs_err::remove_dir_all(root)?;
    Ok(())
}

/// A copy whose files keep what Finder and signatures need.
fn copy(from: &Utf8Path, to: &Utf8Path) -> Result<(), ToolError> {
    run_tool(Command::new("cp").args(["-Rp", from.as_str(), to.as_str()])).map(drop)
}

/// Packs a file system as Apple's disk images are.
fn wrap(file_system: &Utf8Path, dmg: &Utf8Path) -> Result<(), DiskImageError> {
    let mut bytes = fs_err::read(file_system)?;
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    let unwritten = |error: &dyn std::fmt::Display| DiskImageError::Image(format!("{error:#}"));
    let mut writer = DmgWriter::create(dmg.as_std_path()).map_err(|error| unwritten(&error))?;
    writer.add_partition("whole disk (unknown partition : 0)", &bytes).map_err(|error| unwritten(&error))?;
    writer.finish().map_err(|error| unwritten(&error))
}

/// Looks at a disk image: its trailer and the digests of its parts. (Apple's own, with other ways to pack, by
/// `hdiutil verify`.)
pub(super) fn look_at(dmg: &Utf8Path) -> Result<(), DiskImageError> {
    if cfg!(target_os = "macos") {
        run_tool(Command::new("hdiutil").args(["verify", "-quiet", dmg.as_str()]))?;
        return Ok(());
    }
    parts(dmg.as_std_path()).map(drop)
}

/// The unpacked parts of a disk image of [`wrap`].
pub(super) fn parts(dmg: &Path) -> Result<Vec<Vec<u8>>, DiskImageError> {
    let file = BufReader::new(File::open(dmg)?);
    let unread = |error: &dyn std::fmt::Display| DiskImageError::Image(format!("{error:#}"));
    let mut reader = DmgReader::new(file).map_err(|error| unread(&error))?;
    let recorded = u32::from(reader.koly().data_fork_digest);
    if reader.data_checksum().map_err(|error| unread(&error))? != recorded {
        return Err(DiskImageError::Damaged("its packed content is not the one that was written"));
    }
    let count = reader.plist().partitions().len();
    (0..count).map(|index| reader.partition_data(index).map_err(|error| unread(&error))).collect()
}
