//! The initramfs: the agent as `/init`, and the modules that it needs to reach the root file system.
//!
//! An uncompressed cpio archive in the `newc` form (the kernel's Documentation/driver-api/early-userspace/
//! buffer-format.rst). The same content gives the same bytes: no times, no owners, no inode numbers of the host.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// Makes the archive: `/init`, `/dev/console`, and `/modules/NN-name.ko` numbered in the order given, which is the
/// order to load them in.
pub(crate) fn archive(agent: &Utf8Path, modules: &[Utf8PathBuf]) -> io::Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.add("dev", DIRECTORY, (0, 0), &[]);
    archive.add("dev/console", CHARACTER_DEVICE, (5, 1), &[]);
    archive.add("init", PROGRAM, (0, 0), &fs_err::read(agent)?);
    archive.add("modules", DIRECTORY, (0, 0), &[]);
    for (number, module) in modules.iter().enumerate() {
        let file = module.file_name().expect("a module path ends in a file name");
        archive.add(&format!("modules/{number:02}-{file}"), FILE, (0, 0), &fs_err::read(module)?);
    }
    Ok(archive.finish())
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let links = if mode == DIRECTORY { 2 } else { 1 };
        self.entry(name, [self.entries, mode, links, device.0, device.1], content);
    }

    /// Appends a header of thirteen hexadecimal fields, the name and the content, each padded to four bytes.
    fn entry(&mut self, name: &str, [inode, mode, links, major, minor]: [u32; 5], content: &[u8]) {
        let size = u32::try_from(content.len()).expect("an initramfs holds no file of 4 GB");
        let name_size = u32::try_from(name.len() + 1).expect("entry names are short");
        let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, major, minor, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", [0, 0, 1, 0, 0], &[]);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an archive back: name, mode, content.
    fn entries(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        let mut at = 0;
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |index: usize| {
                let digits = std::str::from_utf8(&bytes[6 + 8 * index..14 + 8 * index]).unwrap();
                u32::from_str_radix(digits, 16).unwrap()
            };
            let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
            let name = String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap();
            let content_at = (110 + name_size).next_multiple_of(4);
            let content = bytes[content_at..content_at + size].to_vec();
            if name == "TRAILER!!!" {
                return entries;
            }
            let next = (content_at + size).next_multiple_of(4);
            at += next;
            assert_eq!(at % 4, 0);
            bytes = &bytes[next..];
            entries.push((name, mode, content));
        }
    }

    #[test]
    fn the_agent_is_init_and_modules_are_numbered() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let paths = ["agent", "virtio_blk.ko", "erofs.ko"].map(|name| folder.join(name));
        for path in &paths {
            fs_err::write(path, path.file_name().unwrap()).unwrap();
        }
        let archive = archive(&paths[0], &paths[1..]).unwrap();
        let entries = entries(&archive);
        let names: Vec<&str> = entries.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(
            names,
            ["dev", "dev/console", "init", "modules", "modules/00-virtio_blk.ko", "modules/01-erofs.ko"]
        );
        assert_eq!(entries[2], ("init".to_owned(), 0o100_755, b"agent".to_vec()));
        assert_eq!(entries[5].2, b"erofs.ko");
    }
}
