use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::*;

/// An entry: path, kind, content, link target, time.
type Sample<'a> = (&'a str, EntryType, &'a [u8], &'a str, u64);

/// A header with all of its numbers.
fn header(mut header: Header, kind: EntryType, mtime: u64) -> Header {
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(1000);
    header.set_gid(1000);
    header.set_mtime(mtime);
    header.set_size(0);
    header
}

fn archive(samples: &[Sample<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, content, link, mtime) in samples {
        let mut header = header(Header::new_gnu(), *kind, *mtime);
        header.set_size(content.len() as u64);
        if link.is_empty() {
            builder.append_data(&mut header, path, *content).unwrap();
        } else {
            builder.append_link(&mut header, path, link).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn read(archive: &[u8]) -> Result<Inventory, ArchiveError> {
    let mut reader = InventoryReader::default();
    reader.push(archive)?;
    reader.finish()
}

const ROOT: Sample<'_> = ("v", EntryType::Directory, b"", "", 7);

#[test]
fn the_order_of_entries_and_the_cut_of_pieces_do_not_count() {
    let long = format!("v/{}/{}", "d".repeat(120), "f".repeat(120));
    let samples = [
        ("v/a", EntryType::Regular, &b"one"[..], "", 1),
        (long.as_str(), EntryType::Regular, &[7; 1500], "", 2),
        ("v/link", EntryType::Symlink, b"", "a", 3),
        ("v/hard", EntryType::Link, b"", "v/a", 4),
        ("v/pipe", EntryType::Fifo, b"", "", 5),
        ("v/empty", EntryType::Regular, b"", "", 6),
    ];
    let forward = archive(&[&[ROOT], &samples[..]].concat());
    let inventory = read(&forward).unwrap();
    assert_eq!((inventory.entries, inventory.files, inventory.bytes), (6, 3, 1503));
    let backward: Vec<_> = samples.iter().rev().copied().collect();
    assert!(inventory.same(&read(&archive(&[&[ROOT], &backward[..]].concat())).unwrap()));
    for size in [1, 511, 512, 513, 4096] {
        let mut reader = InventoryReader::default();
        forward.chunks(size).for_each(|piece| reader.push(piece).unwrap());
        assert_eq!(reader.finish().unwrap(), inventory, "pieces of {size}");
    }
}

#[test]
fn every_property_counts() {
    let file = ("v/a", EntryType::Regular, &b"one"[..], "", 1);
    let link = ("v/l", EntryType::Symlink, &b""[..], "a", 1);
    let original = read(&archive(&[ROOT, file, link])).unwrap();
    assert_eq!(original.difference(&original), None);
    for (samples, differs) in [
        (vec![ROOT, ("v/b", file.1, file.2, "", 1), link], "`a` differs"),
        (vec![ROOT, ("v/a", file.1, b"two", "", 1), link], "`a` differs"),
        (vec![ROOT, ("v/a", file.1, file.2, "", 2), link], "`a` differs"),
        (vec![ROOT, ("v/a", EntryType::Fifo, b"", "", 1), link], "`a` differs"),
        (vec![ROOT, file, ("v/l", link.1, b"", "b", 1)], "`l` differs"),
        (vec![ROOT, file], "`l` differs"),
        (vec![("v", EntryType::Directory, b"", "", 8), file, link], "its own folder differs"),
    ] {
        let said = original.difference(&read(&archive(&samples)).unwrap()).unwrap();
        assert!(said.ends_with(differs), "{said}");
    }
    let mut plain = header(Header::new_gnu(), EntryType::Directory, 7);
    plain.set_path("v").unwrap();
    let mut seen = Vec::new();
    for change in [
        (|_: &mut Header| {}) as fn(&mut Header),
        |header| header.set_mode(0o1777),
        |header| header.set_uid(5),
        |header| header.set_gid(5),
    ] {
        let mut header = plain.clone();
        change(&mut header);
        header.set_cksum();
        let bytes = [&header.as_bytes()[..], &[0; 1024]].concat();
        let digest = read(&bytes).unwrap().digest;
        assert!(!seen.contains(&digest));
        seen.push(digest);
    }
}

#[test]
fn extended_headers_are_read_as_the_engine_writes_them() {
    let mut builder = Builder::new(Vec::new());
    let mut folder = header(Header::new_ustar(), EntryType::Directory, 1);
    builder.append_data(&mut folder, "v", &b""[..]).unwrap();
    let path = "v/grüße \u{1f433}\n".repeat(20);
    let pairs = [
        ("path", path.as_bytes()),
        ("mtime", &b"-1.5"[..]),
        ("uid", b"3000000"),
        ("SCHILY.xattr.security.capability", b"\x01\0=\n"),
    ];
    builder.append_pax_extensions(pairs).unwrap();
    let mut file = header(Header::new_ustar(), EntryType::Regular, 1);
    file.set_size(3);
    builder.append_data(&mut file, "v/short", &b"one"[..]).unwrap();
    let inventory = read(&builder.into_inner().unwrap()).unwrap();
    let listing = inventory.listing.unwrap();
    assert_eq!(listing.keys().last().unwrap(), path.strip_prefix("v/").unwrap().as_bytes());
    for (text, whole) in [("12", 12), ("12.9", 12), ("-1.5", -2), ("-1.0", -1), ("-0.5", -1)] {
        assert_eq!(seconds(text.as_bytes()), Some(whole), "{text}");
    }
}

#[test]
fn what_makes_no_sense_is_an_error() {
    let good = archive(&[ROOT, ("v/a", EntryType::Regular, b"one", "", 1)]);
    assert!(matches!(read(&good[..good.len() - 1024]), Err(ArchiveError::Cut { .. })));
    assert!(matches!(read(&good[..700]), Err(ArchiveError::Cut { .. })));
    let mut flipped = good.clone();
    flipped[3] ^= 1;
    assert!(matches!(read(&flipped), Err(ArchiveError::Damaged { what: "its sum is wrong", .. })));
    // Nobody writes names of that length, and none is kept in memory.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    assert!(matches!(read(header.as_bytes()), Err(ArchiveError::Damaged { .. })));
    assert_eq!(read(b"").unwrap_err(), ArchiveError::Cut { at: 0 });
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        let _ = read(&bytes);
    }

    /// Damage inside of an archive that is one.
    #[test]
    fn any_damage_is_survived(at in 0_usize..4096, byte: u8, fix: bool) {
        let mut bytes = archive(&[ROOT, ("v/a", EntryType::Regular, b"one", "", 1)]);
        let at = at % bytes.len();
        bytes[at] = byte;
        if fix {
            let start = at / BLOCK * BLOCK;
            let mut header = Header::from_byte_slice(&bytes[start..start + BLOCK]).clone();
            header.set_cksum();
            bytes[start..start + BLOCK].copy_from_slice(header.as_bytes());
        }
        let _ = read(&bytes);
    }
}
