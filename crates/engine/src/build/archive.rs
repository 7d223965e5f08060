//! Packs files in memory into a tar archive. Pure.

use std::collections::BTreeSet;
use std::io;

use camino::Utf8Path;

use super::spec::ContextFiles;

/// The archive: the same bytes for the same files, folders before what is in them, everything owned by root.
///
/// # Errors
/// A path is absolute or goes up.
pub(super) fn pack(files: &ContextFiles) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let size: usize = files.values().map(|(_, content)| content.len() + 1024).sum();
    archive.get_mut().reserve(size);
    let above = files.keys().flat_map(|path| path.ancestors().skip(1));
    let folders: BTreeSet<&Utf8Path> = above.filter(|path| !path.as_str().is_empty()).collect();
    for folder in folders {
        let mut header = header(tar::EntryType::Directory, 0o755, 0);
        archive.append_data(&mut header, folder.as_std_path(), io::empty())?;
    }
    for (path, (mode, content)) in files {
        let mut header = header(tar::EntryType::Regular, mode & 0o7777, content.len());
        archive.append_data(&mut header, path.as_std_path(), content.as_slice())?;
    }
    archive.into_inner()
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_modes_and_long_names_are_kept() {
        let long = "a/".repeat(90) + "file";
        let files = ContextFiles::from([
            (long.clone().into(), (0o755, b"x".to_vec())),
            ("b".into(), (0o600, vec![])),
        ]);
        let packed = pack(&files).unwrap();
        assert_eq!(packed, pack(&files).unwrap());
        let mut archive = tar::Archive::new(packed.as_slice());
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), entry.header().mode().unwrap())
        });
        let entries: Vec<_> = entries.collect();
        assert_eq!(entries.len(), 92);
        assert!(entries.contains(&(long, 0o755)) && entries.contains(&("b".to_owned(), 0o600)));
        assert!(pack(&[("../up".into(), (0o644, vec![]))].into()).is_err());
    }
}
