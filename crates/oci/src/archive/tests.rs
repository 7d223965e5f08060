//! Archives of friends and of strangers.

use std::io::Write as _;

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::*;

const SMALL: Limits = Limits { entries: 100, bytes: 1 << 20 };

/// Builds archives that no well-behaved tool would.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, kind: EntryType, name: &[u8], link: &str, content: &[u8]) -> Self {
        self.header(kind, name, link, content.len() as u64);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn header(&mut self, kind: EntryType, name: &[u8], link: &str, size: u64) {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o4755);
        header.set_size(size);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
    }

    fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, name.as_bytes(), "", content)
    }

    fn folder(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name.as_bytes(), "", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name.as_bytes(), target, b"")
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    fn unpack(self) -> Result<Files, UnpackError> {
        unpack(&self.end(), SMALL)
    }

    fn refusal(self) -> String {
        self.unpack().expect_err("it is refused").to_string()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn text(files: &Files, path: &str) -> String {
    let file = files.get(camino::Utf8Path::new(path)).unwrap_or_else(|| panic!("no `{path}`"));
    String::from_utf8(file.bytes.clone()).unwrap()
}

#[test]
fn plain_and_compressed_archives_give_the_same_files() {
    let archive = Tar::default()
        .folder("./")
        .file("./install.sh", b"old")
        .file("install.sh", b"#!/bin/sh")
        .folder("sub/")
        .file("sub//./file", b"x")
        .end();
    let plain = unpack(&archive, SMALL).unwrap();
    assert_eq!(plain.keys().map(|path| path.as_str()).collect::<Vec<_>>(), ["install.sh", "sub/file"]);
    assert_eq!(text(&plain, "install.sh"), "#!/bin/sh", "the later of two entries counts");
    assert_eq!(plain[camino::Utf8Path::new("install.sh")].mode, 0o755, "no set-user-id");
    for packed in [gzip(&archive), zstd::encode_all(archive.as_slice(), 3).unwrap()] {
        assert_eq!(unpack(&packed, SMALL).unwrap(), plain);
    }
    assert_eq!(unpack(&[0; 1024], SMALL).unwrap(), Files::new(), "an archive of nothing");
}

#[test]
fn links_within_the_archive_become_copies() {
    let files = Tar::default()
        .symlink("first", "lib/latest/run")
        .symlink("lib/latest", "v1")
        .file("lib/v1/run", b"1")
        .file("lib/v1/deep/data", b"2")
        .symlink("lib/v1/deep/up", "../run")
        .symlink("all", "./lib/latest/")
        .entry(EntryType::Link, b"hard", "lib/v1/run", b"")
        .unpack()
        .unwrap();
    for (path, expected) in [
        ("first", "1"),
        ("hard", "1"),
        ("lib/latest/run", "1"),
        ("lib/v1/deep/up", "1"),
        ("all/run", "1"),
        ("all/deep/data", "2"),
        ("all/deep/up", "1"),
        ("lib/latest/deep/data", "2"),
    ] {
        assert_eq!(text(&files, path), expected, "{path}");
    }
}

#[test]
fn what_could_do_harm_is_refused_by_name() {
    let tar = Tar::default;
    let long = "a/".repeat(40) + "b";
    for (archive, told) in [
        (tar().file("../evil", b""), "`../evil` is refused: its path has `..`"),
        (tar().file("a/../../evil", b""), "`a/../../evil` is refused: its path has `..`"),
        (tar().file("/etc/passwd", b""), "`/etc/passwd` is refused: its path is absolute"),
        (tar().folder("/tmp"), "`/tmp` is refused"),
        (tar().entry(EntryType::Regular, b"\xff\xfe", "", b""), "not plain text"),
        (tar().file("a\nb", b""), "`a\\nb` is refused: its path is not plain text"),
        (tar().file("./", b"x"), "it has no name"),
        (tar().entry(EntryType::Char, b"dev/null", "", b""), "`dev/null` is refused: devices"),
        (tar().entry(EntryType::Block, b"sda", "", b""), "`sda` is refused: devices"),
        (tar().entry(EntryType::Fifo, b"pipe", "", b""), "`pipe` is refused: pipes"),
        (
            tar().entry(EntryType::new(b'Z'), b"what", "", b""),
            "`what` is refused: entries of an unknown kind",
        ),
        (tar().symlink("out", "../x"), "link `out` to `../x` is refused: it leads out"),
        (tar().symlink("a/out", "../../x"), "link `a/out` to `../../x` is refused: it leads out"),
        (tar().symlink("abs", "/etc/passwd"), "link `abs` to `/etc/passwd` is refused: it leads out"),
        (
            tar().entry(EntryType::Link, b"h", "../../x", b""),
            "link `h` to `../../x` is refused: it leads out",
        ),
        (tar().symlink("a", "b").symlink("b", "../x"), "it leads out"),
        (tar().symlink("gone", "nowhere"), "link `gone` to `nowhere` is refused: nothing is there"),
        (tar().symlink("a", "b").symlink("b", "a"), "it leads round in a circle"),
        (tar().symlink("a", "a"), "it leads round in a circle"),
        (tar().symlink("a/self", "."), "it leads round in a circle"),
        (tar().symlink("root", "."), "it leads round in a circle"),
        (tar().symlink("a/l", "../b").symlink("b/m", "../a"), "it leads round in a circle"),
        (
            tar().symlink("l", "d").folder("d").file("l/x", b"through"),
            "`l/x` is refused: `l` is not a folder",
        ),
        (tar().file("f", b"").file("f/x", b""), "`f/x` is refused: `f` is not a folder"),
        (tar().file(&long, b"").symlink("l", &long[..60]).symlink("k", "l/b"), "nothing is there"),
    ] {
        let refusal = archive.refusal();
        assert!(refusal.contains(told), "expected `{told}`, got: {refusal}");
    }
}

#[test]
fn bombs_end_early() {
    let many = (0..101).fold(Tar::default(), |tar, index| tar.file(&format!("f{index}"), b""));
    assert!(many.refusal().contains("more than 100 entries; the next is `f100`"));

    let zeros = vec![0; 2 << 20];
    let small = gzip(&Tar::default().file("big", &zeros).end());
    assert!(small.len() < 10_000);
    let error = unpack(&small, SMALL).unwrap_err();
    assert_eq!(error, UnpackError::TooLarge { limit: 1 << 20, entry: "big".into() });

    let halves = Tar::default().file("one", &zeros[..600 << 10]).file("two", &zeros[..600 << 10]);
    assert!(halves.refusal().contains("at `two`"), "the sum counts");

    // A terabyte by its header alone.
    let mut huge = Tar::default();
    huge.header(EntryType::Regular, b"huge", "", 1 << 40);
    assert!(huge.refusal().contains("more than 1048576 bytes, at `huge`"));

    // A name without end, and content that belongs to no file.
    let name = gzip(&Tar::default().entry(EntryType::GNULongName, b"n", "", &vec![b'a'; 8 << 20]).end());
    assert!(matches!(unpack(&name, SMALL), Err(UnpackError::TooLarge { .. })));

    let content = vec![7; 100 << 10];
    let copies =
        (0..20).fold(Tar::default().file("f", &content), |tar, index| tar.symlink(&format!("l{index}"), "f"));
    assert!(copies.refusal().contains("more than 1048576 bytes"), "copies through links count");

    // Each level doubles what the one below stands for; the last is empty.
    let doubling = (0..30).fold(Tar::default().folder("d30"), |tar, level| {
        let below = format!("../d{}", level + 1);
        tar.symlink(&format!("d{level}/a"), &below).symlink(&format!("d{level}/b"), &below)
    });
    assert!(doubling.refusal().contains("more than 100 entries"));
}

#[test]
fn what_is_damaged_or_no_archive_is_told_apart() {
    let archive = Tar::default().file("first", b"content").file("second", &[1; 4096]).end();
    let packed = gzip(&archive);
    for (bytes, told) in [
        (&b""[..], "not a tar archive: it is empty"),
        (b"<!DOCTYPE html><html>", "it looks like a web page"),
        (br#"{"errors":[]}"#, "it looks like JSON"),
        (b"PK\x03\x04....", "it is a zip archive"),
        (&archive[..1500], "damaged after `first`"),
        (&archive[..archive.len() - 3000], "damaged after `second`: it ends too early"),
        (&packed[..packed.len() - 20], "damaged"),
        (&[0x1f, 0x8b, 8, 0, 9], "damaged"),
        (&[0x28, 0xb5, 0x2f, 0xfd, 9], "damaged"),
        (&[b'x'; 600], "damaged"),
    ] {
        let refusal = unpack(bytes, SMALL).expect_err(told).to_string();
        assert!(refusal.contains(told), "expected `{told}`, got: {refusal}");
    }
}

#[test]
fn a_packed_archive_is_always_the_same_and_readable_by_others() {
    let long = format!("{}/file", "folder".repeat(30));
    let file = |bytes: &[u8], mode| File { bytes: bytes.to_vec(), mode };
    let files = Files::from([
        ("install.sh".into(), file(b"#!/bin/sh\n", 0o755)),
        ("devcontainer-feature.json".into(), file(b"{}", 0o644)),
        (long.clone().into(), file(&[3; 1000], 0o600)),
    ]);
    let packed = pack(&files);
    assert_eq!(pack(&files), packed);
    assert_eq!(unpack(&packed, Limits::default()).unwrap(), files);

    let mut child = std::process::Command::new("tar")
        .args(["--list", "--verbose", "--numeric-owner"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&packed).unwrap();
    let listing = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    for line in ["./devcontainer-feature.json", "./install.sh", &format!("./{long}")] {
        assert!(listing.contains(line), "{listing}");
    }
    assert!(listing.contains("-rwxr-xr-x 0/0") && listing.contains("1970-01-01"), "{listing}");
}

proptest! {
    #[test]
    fn packing_and_unpacking_gives_back_the_files(
        files in proptest::collection::btree_map(
            "[a-z]{1,8}(/[a-zA-Z0-9 ._-]{1,60}x){0,4}", (proptest::collection::vec(any::<u8>(), 0..700), 0u32..0o1000), 0..8)
    ) {
        let files: Files = files.into_iter()
            .map(|(path, (bytes, mode))| (path.into(), File { bytes, mode }))
            .collect();
        // Two of the paths may be file and folder of one name.
        let clash = files.keys().any(|path: &camino::Utf8PathBuf| {
            path.ancestors().skip(1).any(|parent| files.contains_key(parent))
        });
        prop_assume!(!clash);
        prop_assert_eq!(unpack(&pack(&files), Limits::default()), Ok(files));
    }

    #[test]
    fn damaged_archives_never_panic_and_never_lead_out(
        at in proptest::collection::vec((0usize..4096, any::<u8>()), 1..12),
        names in proptest::collection::vec(("[a./\\\\]{1,8}", "[b./]{1,8}", 0usize..8), 1..5),
    ) {
        let kinds = [EntryType::Regular, EntryType::Directory, EntryType::Symlink, EntryType::Link,
            EntryType::XHeader, EntryType::XGlobalHeader, EntryType::GNULongName, EntryType::GNUSparse];
        let tar = names.iter().fold(Tar::default(), |tar, (name, link, kind)| {
            tar.entry(kinds[*kind], name.as_bytes(), link, b"11 path=..\n")
        });
        let sane = tar.end();
        let mut damaged = sane.clone();
        for (place, byte) in at {
            let length = damaged.len();
            damaged[place % length] = byte;
        }
        for archive in [&sane, &damaged, &gzip(&damaged)] {
            if let Ok(files) = unpack(archive, SMALL) {
                for path in files.keys() {
                    let components: Vec<_> = path.components().collect();
                    prop_assert!(!components.is_empty());
                    prop_assert!(components.iter().all(|part| matches!(part, camino::Utf8Component::Normal(_))));
                }
            }
        }
    }
}
