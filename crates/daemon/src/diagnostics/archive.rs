//! The bundle as people send it: a gzipped tar of text files, readable by its owner alone.

use std::fmt::Write as _;
use std::io;

use api::{DiagnosticsFile, DiagnosticsPreview, Problem, Removed};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;

/// The folder that everything unpacks into.
const FOLDER: &str = "cove-diagnostics";

/// Packs all files.
///
/// # Errors
/// A name or size that tar cannot hold.
pub(super) fn write(bundle: &DiagnosticsPreview, now: Timestamp) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for file in &bundle.files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.text.len() as u64);
        header.set_mode(0o600);
        // Nobody in particular: the names of who made it are taken out of it.
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(u64::try_from(now.as_second()).unwrap_or(0));
        archive.append_data(&mut header, format!("{FOLDER}/{}", file.name), file.text.as_bytes())?;
    }
    archive.into_inner()?.finish()
}

/// What is in the bundle, and what is not.
pub(super) fn manifest(
    files: &[DiagnosticsFile],
    removed: &[Removed],
    left_out: &[Problem],
    now: Timestamp,
) -> String {
    let mut out = format!("Cove's bundle for diagnosis, of {now:.0}\n\n");
    out.push_str("It was made on this computer and sent to nobody. Read it before you send it.\n\nFiles\n");
    // Writing to a string cannot fail.
    for file in files {
        let _ = writeln!(
            out,
            "  {:<20} {:>8} bytes  {} (taken out: {})",
            file.name,
            file.text.len(),
            file.about,
            file.removed
        );
    }
    out.push_str("\nTaken out of them\n");
    for part in removed {
        let _ = writeln!(out, "  {:>6}  {}, now {}", part.count, part.kind.words(), part.kind.mark());
    }
    out.push_str("\nNot in it\n  the audit log, files of projects, images, what containers wrote\n");
    for problem in left_out {
        let _ = writeln!(out, "  {problem}");
        for cause in &problem.causes {
            let _ = writeln!(out, "    {cause}");
        }
    }
    out
}
