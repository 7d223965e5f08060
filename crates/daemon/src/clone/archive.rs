//! A clone as a tar archive: its git folder as it is, and its files out of git's own objects.
//!
//! Nothing is checked out on this computer. So no filter runs here, a file system that does not tell `A` from `a`
//! loses nothing, and no link of the repository leads anywhere.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

/// The longest name that a header of the format itself can hold, in bytes.
const LONGEST_LINK: usize = 100;

/// A file of the tree that is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TreeEntry {
    pub(super) mode: Mode,
    pub(super) object: String,
    pub(super) path: PathBuf,
}

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    File,
    Program,
    Link,
    /// Another repository, which is not cloned.
    Submodule,
}

/// What went into an archive, or came out of a volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// Who owns the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Reads what `git ls-tree -r -z` said.
pub(super) fn entries(listing: &[u8]) -> io::Result<Vec<TreeEntry>> {
    let mut entries = Vec::new();
    for line in listing.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        entries.push(entry(line).ok_or_else(|| {
            io::Error::other(format!("a file of the repository is odd: `{}`", String::from_utf8_lossy(line)))
        })?);
    }
    Ok(entries)
}

fn entry(line: &[u8]) -> Option<TreeEntry> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let (facts, path) = (std::str::from_utf8(&line[..tab]).ok()?, &line[tab + 1..]);
    let mut facts = facts.split(' ');
    let mode = match facts.next()? {
        "100755" => Mode::Program,
        "120000" => Mode::Link,
        "160000" => Mode::Submodule,
        mode if mode.starts_with("100") => Mode::File,
        _ => return None,
    };
    let object = facts.nth(1)?.to_owned();
    let is_object = object.len() >= 40 && object.bytes().all(|byte| byte.is_ascii_hexdigit());
    // As git itself refuses to check them out.
    let is_plain = |part: &[u8]| {
        !part.is_empty() && part != b"." && part != b".." && !part.eq_ignore_ascii_case(b".git")
    };
    let is_path = path.split(|byte| *byte == b'/').all(is_plain);
    (is_object && is_path).then(|| TreeEntry {
        mode,
        object,
        path: Path::new(OsStr::from_bytes(path)).to_owned(),
    })
}

/// One `git cat-file` for many objects.
pub(super) struct Objects {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Objects {
    /// Starts it for a clone.
    pub(super) fn of(clone: &Utf8Path) -> io::Result<Self> {
        let mut command = super::git::local(clone).into_std();
        command
            .args(["cat-file", "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn()?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let from = from.ok_or_else(|| io::Error::other("git has no output"))?;
        Ok(Self { child, to, from: BufReader::new(from) })
    }

    /// Hands the content of an object to `take`, with its size.
    pub(super) fn read<T>(
        &mut self,
        object: &str,
        take: impl FnOnce(u64, &mut dyn Read) -> io::Result<T>,
    ) -> io::Result<T> {
        let missing = || io::Error::other(format!("the clone lacks the object {object}"));
        let to = self.to.as_mut().ok_or_else(missing)?;
        writeln!(to, "{object}")?;
        to.flush()?;
        let mut head = String::new();
        self.from.read_line(&mut head)?;
        let size: u64 = match head.split_whitespace().collect::<Vec<_>>()[..] {
            [_, "blob", size] => size.parse().map_err(|_| missing())?,
            _ => return Err(missing()),
        };
        let mut content = (&mut self.from).take(size);
        let taken = take(size, &mut content)?;
        io::copy(&mut content, &mut io::sink())?;
        self.from.read_exact(&mut [0])?;
        Ok(taken)
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.to.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the archive of a clone, all of it below a folder called `top`.
pub(super) fn write(
    clone: &Utf8Path,
    listing: &[u8],
    top: &str,
    owner: Owner,
    out: impl Write,
) -> io::Result<Tally> {
    let mut packer = Packer {
        archive: tar::Builder::new(out),
        owner,
        folders: BTreeSet::new(),
        tally: Tally::default(),
        now: jiff::Timestamp::now().as_second().max(0).cast_unsigned(),
    };
    let top = Path::new(top);
    packer.folder(top)?;
    packer.git_folder(&clone.join(".git"), &top.join(".git"))?;
    let mut objects = Objects::of(clone)?;
    for entry in entries(listing)? {
        packer.entry(top, &entry, &mut objects)?;
    }
    packer.archive.into_inner()?.flush()?;
    Ok(packer.tally)
}

struct Packer<W: Write> {
    archive: tar::Builder<W>,
    owner: Owner,
    /// Those that are in it.
    folders: BTreeSet<PathBuf>,
    tally: Tally,
    now: u64,
}

impl<W: Write> Packer<W> {
    fn header(&self, kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(self.now);
        header.set_uid(self.owner.uid.into());
        header.set_gid(self.owner.gid.into());
        header
    }

    fn folder(&mut self, path: &Path) -> io::Result<()> {
        if !self.folders.insert(path.to_owned()) {
            return Ok(());
        }
        let mut header = self.header(tar::EntryType::Directory, 0o755, 0);
        self.tally.entries += 1;
        self.archive.append_data(&mut header, path, io::empty())
    }

    fn folders_above(&mut self, top: &Path, path: &Path) -> io::Result<()> {
        let mut above: Vec<&Path> =
            path.ancestors().skip(1).take_while(|it| !it.as_os_str().is_empty()).collect();
        above.reverse();
        above.into_iter().try_for_each(|folder| self.folder(&top.join(folder)))
    }

    fn file(&mut self, path: &Path, mode: u32, size: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut header = self.header(tar::EntryType::Regular, mode, size);
        self.tally.entries += 1;
        self.tally.bytes += size;
        self.archive.append_data(&mut header, path, content)
    }

    fn link(&mut self, path: &Path, target: &[u8]) -> io::Result<()> {
        let mut header = self.header(tar::EntryType::Symlink, 0o777, 0);
        // Git keeps a target as it is, so it must not be tidied up on the way.
        if target.len() <= LONGEST_LINK {
            header.set_link_name_literal(target)?;
        } else {
            self.archive.append_pax_extensions([("linkpath", target)])?;
        }
        self.tally.entries += 1;
        self.archive.append_data(&mut header, path, io::empty())
    }

    fn entry(&mut self, top: &Path, entry: &TreeEntry, objects: &mut Objects) -> io::Result<()> {
        self.folders_above(top, &entry.path)?;
        let path = top.join(&entry.path);
        match entry.mode {
            Mode::Submodule => self.folder(&path),
            Mode::Link => {
                let target = objects.read(&entry.object, |_, content| {
                    let mut target = Vec::new();
                    content.take(4096).read_to_end(&mut target).map(|_| target)
                })?;
                self.link(&path, &target)
            }
            Mode::File | Mode::Program => {
                let mode = if entry.mode == Mode::Program { 0o755 } else { 0o644 };
                objects.read(&entry.object, |size, content| self.file(&path, mode, size, content))
            }
        }
    }

    /// The git folder: files and folders, as git made them here. Nothing else is in it.
    fn git_folder(&mut self, from: &Utf8Path, to: &Path) -> io::Result<()> {
        self.folder(to)?;
        let mut names: Vec<Utf8PathBuf> =
            from.read_dir_utf8()?.map(|entry| Ok(entry?.path().to_owned())).collect::<io::Result<_>>()?;
        names.sort();
        for path in names {
            let facts = fs_err::symlink_metadata(&path)?;
            let to = to.join(path.file_name().unwrap_or_default());
            if facts.is_dir() {
                self.git_folder(&path, &to)?;
            } else if facts.is_file() {
                use std::os::unix::fs::PermissionsExt;
                let mode = facts.permissions().mode() & 0o777 | 0o444;
                let mut file = fs_err::File::open(&path)?;
                self.file(&to, mode, facts.len(), &mut file)?;
            }
        }
        Ok(())
    }
}

/// Counts what an archive holds.
pub(super) fn tally(archive: impl Read) -> io::Result<Tally> {
    let mut tally = Tally::default();
    for entry in tar::Archive::new(archive).entries()? {
        let entry = entry?;
        tally.entries += 1;
        if entry.header().entry_type().is_file() {
            tally.bytes += entry.size();
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn names_that_git_would_not_check_out_are_refused() {
        for (mode, path, mode_read) in [
            ("100644", "a/b c", Some(Mode::File)),
            ("100664", "old", Some(Mode::File)),
            ("100755", "run", Some(Mode::Program)),
            ("120000", "link", Some(Mode::Link)),
            ("160000", "sub", Some(Mode::Submodule)),
            ("040000", "folder", None),
            ("100644", "../out", None),
            ("100644", "a/../b", None),
            ("100644", "/etc/passwd", None),
            ("100644", "a/.GIT/hooks/post-checkout", None),
            ("100644", "a//b", None),
            ("100644", "", None),
        ] {
            let line = format!("{mode} blob {OBJECT}\t{path}\0");
            let read = entries(line.as_bytes()).ok().map(|entries| entries[0].mode);
            assert_eq!(read, mode_read, "{mode} {path}");
        }
        assert!(entries(b"100644 blob --output=x\ta\0").is_err());
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_listing_says_nothing_leads_out_of_the_volume(
            modes in "(100644|100755|120000|160000|[0-9]{0,6})", path in "[a./\\\\ \u{e9}gitGIT]{0,24}", rest in ".{0,40}",
        ) {
            let line = format!("{modes} blob {OBJECT}\t{path}\0{rest}");
            for entry in entries(line.as_bytes()).unwrap_or_default() {
                let plain = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
                proptest::prop_assert!(entry.path.components().all(plain));
                let mut parts = entry.path.iter();
                proptest::prop_assert!(!parts.any(|part| part.eq_ignore_ascii_case(".git")));
            }
        }

        #[test]
        fn what_is_taken_for_a_repository_hides_no_option(text in "[a-z@:/#.%-]{0,40}", scheme in "(https://|ssh://|file://|)") {
            if let Ok(read) = api::RepositoryUrl::parse(&format!("{scheme}{text}")) {
                proptest::prop_assert!(!read.url().starts_with('-'));
                // What git takes for the name of a helper to run: letters and digits before two colons.
                let helper = read.url().split_once("::").map(|(before, _)| before);
                let is_name = |name: &str| name.chars().all(|letter| letter.is_ascii_alphanumeric());
                proptest::prop_assert!(!helper.is_some_and(is_name));
                proptest::prop_assert!(!read.host().starts_with('-') && !read.name().contains('/'));
                proptest::prop_assert!(!matches!(read.name().as_str(), "" | "." | ".."));
            }
        }
    }
}
