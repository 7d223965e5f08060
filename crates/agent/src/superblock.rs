//! What is on a disk, told from its first bytes.
//!
//! Reads no more than [`PROBE_BYTES`] and believes nothing in them: a disk comes from outside of the guest.

/// Bytes from the start of the disk that [`Content::of`] looks at.
pub(crate) const PROBE_BYTES: usize = 68 << 10;

/// Label of the file system that is ours.
pub(crate) const LABEL: &str = "cove-data";

const EXT_SUPERBLOCK: usize = 1024;
/// Up to here a disk must be empty to be called so. `mke2fs` writes these bytes last, so one that was
/// interrupted leaves them empty and the disk is formatted again.
const EMPTY_BYTES: usize = 4096;

/// What a disk holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing that we know a mark of.
    Empty,
    /// Our own file system.
    Ours(Ours),
    /// Something else, which must not be touched; in words for people.
    Foreign(String),
}

/// What we need to know of our file system before it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ours {
    /// Whether it was unmounted in order and has no errors noted.
    pub(crate) clean: bool,
    /// Its size, in bytes.
    pub(crate) size: u64,
}

impl Content {
    /// Judges the first [`PROBE_BYTES`] of a disk, or as many as it has.
    pub(crate) fn of(start: &[u8]) -> Self {
        if let Some(ext) = start.get(EXT_SUPERBLOCK..EXT_SUPERBLOCK + 1024)
            && u16_at(ext, 0x38) == 0xEF53
        {
            return Self::of_ext(ext);
        }
        let marks: [(usize, &[u8], &str); 6] = [
            (0, b"XFSB", "an XFS file system"),
            (0, b"LUKS\xba\xbe", "an encrypted volume"),
            (512, b"EFI PART", "a partition table"),
            (4086, b"SWAPSPACE2", "swap space"),
            (0x8001, b"CD001", "an ISO 9660 image"),
            (0x10040, b"_BHRfS_M", "a Btrfs file system"),
        ];
        for (at, mark, words) in marks {
            if start.get(at..at + mark.len()) == Some(mark) {
                return Self::Foreign(words.to_owned());
            }
        }
        if start.iter().take(EMPTY_BYTES).any(|byte| *byte != 0) {
            return Self::Foreign("data of an unknown kind".to_owned());
        }
        Self::Empty
    }

    fn of_ext(ext: &[u8]) -> Self {
        let label = &ext[0x78..0x88];
        let label = &label[..label.iter().position(|byte| *byte == 0).unwrap_or(label.len())];
        if label != LABEL.as_bytes() {
            let name = String::from_utf8_lossy(label);
            return Self::Foreign(format!("an ext file system with the label `{}`", name.escape_debug()));
        }
        let state = u16_at(ext, 0x3A);
        let needs_recovery = u32_at(ext, 0x60) & 0x4 != 0;
        let is_64bit = u32_at(ext, 0x60) & 0x80 != 0;
        let high = if is_64bit { u64::from(u32_at(ext, 0x150)) << 32 } else { 0 };
        let blocks = high | u64::from(u32_at(ext, 0x4));
        let block_bytes = 1024u64.checked_shl(u32_at(ext, 0x18).min(6)).unwrap_or(1024);
        Self::Ours(Ours {
            clean: state & 1 != 0 && state & 2 == 0 && !needs_recovery,
            size: blocks.saturating_mul(block_bytes),
        })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ext(label: &[u8], state: u16, incompatible: u32) -> Vec<u8> {
        let mut disk = vec![0; PROBE_BYTES];
        let ext = &mut disk[EXT_SUPERBLOCK..];
        ext[0x4..0x8].copy_from_slice(&1000u32.to_le_bytes());
        ext[0x18] = 2;
        ext[0x38..0x3A].copy_from_slice(&0xEF53u16.to_le_bytes());
        ext[0x3A..0x3C].copy_from_slice(&state.to_le_bytes());
        ext[0x60..0x64].copy_from_slice(&incompatible.to_le_bytes());
        ext[0x78..0x78 + label.len()].copy_from_slice(label);
        disk
    }

    #[test]
    fn our_disk_is_known_by_its_label_and_tells_whether_it_is_clean() {
        let ours = |clean| Content::Ours(Ours { clean, size: 4_096_000 });
        assert_eq!(Content::of(&ext(b"cove-data", 1, 0)), ours(true));
        assert_eq!(Content::of(&ext(b"cove-data", 1, 4)), ours(false), "the journal is to be replayed");
        assert_eq!(Content::of(&ext(b"cove-data", 3, 0)), ours(false), "errors were noted");
    }

    #[test]
    fn an_empty_disk_may_be_formatted_and_nothing_else() {
        assert_eq!(Content::of(&vec![0; PROBE_BYTES]), Content::Empty);
        assert_eq!(Content::of(&[]), Content::Empty);
        let foreign = |disk: &[u8]| matches!(Content::of(disk), Content::Foreign(_));
        assert!(foreign(&ext(b"holiday-photos", 1, 0)));
        for (at, mark) in [(0, &b"XFSB"[..]), (510, &b"\x55\xaa"[..]), (0x10040, &b"_BHRfS_M"[..])] {
            let mut disk = vec![0; PROBE_BYTES];
            disk[at..at + mark.len()].copy_from_slice(mark);
            assert!(foreign(&disk), "a mark at {at}");
        }
    }

    #[test]
    fn a_format_that_was_cut_off_is_begun_again() {
        let mut disk = vec![0; PROBE_BYTES];
        disk[8192..9000].fill(7);
        assert_eq!(Content::of(&disk), Content::Empty);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut disk in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let _ = Content::of(&disk);
            if disk.len() > 0x43A {
                disk[0x438..0x43A].copy_from_slice(&0xEF53u16.to_le_bytes());
                let _ = Content::of(&disk);
            }
        }
    }
}
