//! Whether a file is a kernel that Virtualization.framework can start.
//!
//! On Apple Silicon it takes an uncompressed `Image` only, and answers anything else with an internal error that
//! names no cause.

use std::io::Read as _;

use camino::Utf8Path;
use fs_err as fs;

use crate::{Architecture, Error};

/// Bytes of a kernel that tell what it is.
const HEADER_BYTES: usize = 64;

/// What an arm64 `Image` has at [`MAGIC_AT`].
const MAGIC: &[u8] = b"ARM\x64";
const MAGIC_AT: usize = 56;

/// Beginnings of kernels that are packed, and the word for how.
const PACKED: [(&[u8], &str); 5] = [
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"MZ\0\0zimg", "an EFI program with the kernel inside"),
];

/// Refuses a kernel that would not start.
pub(super) fn check(kernel: &Utf8Path, architecture: Architecture) -> Result<(), Error> {
    let unreadable = |source| Error::ImageUnreadable { path: kernel.to_owned(), source };
    let mut header = Vec::new();
    let file = fs::File::open(kernel).map_err(unreadable)?;
    file.take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(unreadable)?;
    // Guests of another instruction set run in rehearsals only, on hypervisors that take what they are given.
    match (architecture, problem(&header)) {
        (Architecture::Arm64, Some(problem)) => {
            Err(Error::InvalidConfig { field: "kernel", problem: format!("`{kernel}` {problem}") })
        }
        _ => Ok(()),
    }
}

fn problem(header: &[u8]) -> Option<String> {
    if header.get(MAGIC_AT..MAGIC_AT + MAGIC.len()) == Some(MAGIC) {
        return None;
    }
    let packed = PACKED.iter().find(|(beginning, _)| header.starts_with(beginning));
    Some(match packed {
        Some((_, how)) => format!("is compressed ({how}); macOS starts an uncompressed arm64 `Image` only"),
        None => "is no arm64 kernel `Image`".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_uncompressed_image_passes_and_the_rest_is_named() {
        let mut image = [0; 64];
        image[MAGIC_AT..60].copy_from_slice(MAGIC);
        assert_eq!(problem(&image), None);
        for (header, words) in [
            (&b"\x1f\x8b\x08"[..], "compressed (gzip)"),
            (b"MZ\0\0zimg\0", "compressed (an EFI program"),
            (b"\x7fELF", "no arm64 kernel"),
            (b"", "no arm64 kernel"),
        ] {
            assert!(problem(header).unwrap().contains(words), "{header:?}");
        }
    }

    #[test]
    fn the_error_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = camino::Utf8PathBuf::from_path_buf(folder.path().join("kernel")).unwrap();
        assert!(matches!(check(&kernel, Architecture::Arm64), Err(Error::ImageUnreadable { .. })));
        fs::write(&kernel, "\x1f\u{8b}").unwrap();
        let message = check(&kernel, Architecture::Arm64).unwrap_err().to_string();
        assert!(message.contains("kernel cannot be used") && message.contains(kernel.as_str()), "{message}");
        check(&kernel, Architecture::Amd64).unwrap();
    }
}
