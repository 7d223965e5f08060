//! Writing tar archives: the same files always give the same bytes.

use tar::{EntryType, Header};

use super::Files;

/// A tar archive, not compressed, as features and templates are published.
///
/// Entries are in the order of their paths, belong to user 0 and are of the beginning of 1970. Every path begins with
/// `./`: the reference looks for `./devcontainer-feature.json` by exactly that name.
pub fn pack(files: &Files) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, file) in files {
        let name = format!("./{path}");
        let mut header = Header::new_gnu();
        let field = header.as_old().name.len();
        if name.len() > field {
            // The GNU way to a long name: an entry that holds it, before the one it is for.
            let mut long = Header::new_gnu();
            long.set_entry_type(EntryType::GNULongName);
            append(&mut archive, long, b"././@LongLink", 0o644, &[name.as_bytes(), b"\0"].concat());
        }
        header.set_entry_type(EntryType::Regular);
        let name = &name.as_bytes()[..name.len().min(field)];
        append(&mut archive, header, name, file.mode & 0o777, &file.bytes);
    }
    // Two empty blocks end an archive.
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn append(archive: &mut Vec<u8>, mut header: Header, name: &[u8], mode: u32, content: &[u8]) {
    // The setter of the crate drops a leading `./`.
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}
