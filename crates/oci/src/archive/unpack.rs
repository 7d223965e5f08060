//! Reading tar archives that strangers made.
//!
//! Nothing is written to a disk here, so nothing can escape to one; still every path is refused that could when the
//! files are written later. Work and memory are bounded by [`Limits`], however small the compressed archive is.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::rc::Rc;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use tar::EntryType;

use super::{File, Files, Limits, links};

/// What an entry may take of the archive beside its content: header, padding, and its name's own entry.
const OVERHEAD: u64 = 8 << 10;
/// Longest path; as long as Linux takes.
const LONGEST_PATH: usize = 4096;
/// Permission bits kept; set-user-id and the like are not for files of strangers.
const PERMISSIONS: u32 = 0o777;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// An archive that was not unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// It is no archive at all.
    #[error("this is not a tar archive: {found}")]
    NotAnArchive {
        /// What it looks like.
        found: String,
    },
    /// It breaks off or contradicts itself.
    #[error("the archive is damaged{}: {reason}", after_entry(.after.as_deref()))]
    Damaged {
        /// The last entry that was read.
        after: Option<String>,
        /// What is wrong.
        reason: String,
    },
    /// An entry's path leads out, or is none.
    #[error("the archive's entry `{entry}` is refused: {fault}")]
    Path {
        /// The path as the archive has it.
        entry: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// An entry is neither file, folder nor link.
    #[error("the archive's entry `{entry}` is refused: {kind} have no place here")]
    Kind {
        /// The path.
        entry: String,
        /// What it is.
        kind: &'static str,
    },
    /// A link leads out or nowhere.
    #[error("the archive's link `{entry}` to `{target}` is refused: {fault}")]
    Link {
        /// The path of the link.
        entry: String,
        /// Where it points.
        target: String,
        /// What is wrong with it.
        fault: LinkFault,
    },
    /// There are more entries than anybody here reads.
    #[error("the archive has more than {limit} entries; the next is `{entry}`")]
    TooManyEntries {
        /// The limit.
        limit: usize,
        /// The first entry beyond it.
        entry: String,
    },
    /// It unpacks to more than anybody here holds.
    #[error("the archive unpacks to more than {limit} bytes, at `{entry}`")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
        /// The entry at which it does.
        entry: String,
    },
}

/// What is wrong with an entry's path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It begins with a slash.
    #[error("its path is absolute")]
    Absolute,
    /// It goes upwards.
    #[error("its path has `..`")]
    Parent,
    /// It is empty, or a file where only the root can be.
    #[error("it has no name")]
    Empty,
    /// It is not UTF-8, or has control characters.
    #[error("its path is not plain text")]
    Text,
    /// It is longer than systems take.
    #[error("its path is longer than {LONGEST_PATH} bytes")]
    TooLong,
    /// It lies in what is no folder.
    #[error("`{parent}` is not a folder")]
    InsideFile {
        /// The file or link that it lies in.
        parent: String,
    },
}

/// What is wrong with a link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// It points out of the archive.
    #[error("it leads out of the archive")]
    Outside,
    /// Nothing is there.
    #[error("nothing is there")]
    Dangling,
    /// It never ends.
    #[error("it leads round in a circle")]
    Circle,
    /// Its target is not plain text.
    #[error("its target is not plain text")]
    Text,
}

fn after_entry(after: Option<&str>) -> String {
    after.map(|entry| format!(" after `{entry}`")).unwrap_or_default()
}

/// Something at a path of the archive.
#[derive(Debug)]
pub(super) enum Node {
    File(File),
    Folder,
    /// Relative to the folder it lies in.
    Symlink(String),
    /// Relative to the root of the archive.
    HardLink(String),
}

/// The files of a tar archive: plain, or compressed with gzip or zstd.
///
/// Links are replaced by copies of what they point to. A later entry replaces an earlier one at the same path.
/// Set-user-id bits, owners, times and extended attributes are dropped.
///
/// # Errors
/// Anything that is damaged, too large, leads out of the archive, or is neither file, folder nor link: the whole
/// archive is refused, with the entry's name.
pub fn unpack(archive: &[u8], limits: Limits) -> Result<Files, UnpackError> {
    let nodes = read(archive, limits)?;
    for path in nodes.keys() {
        let inside = path
            .ancestors()
            .skip(1)
            .find(|parent| nodes.get(*parent).is_some_and(|node| !matches!(node, Node::Folder)));
        if let Some(parent) = inside {
            let fault = PathFault::InsideFile { parent: parent.to_string() };
            return Err(UnpackError::Path { entry: path.to_string(), fault });
        }
    }
    links::resolve(nodes, limits)
}

fn read(archive: &[u8], limits: Limits) -> Result<BTreeMap<Utf8PathBuf, Node>, UnpackError> {
    check_beginning(archive)?;
    let exhausted = Rc::new(Cell::new(false));
    let decoder = decompressed(archive).map_err(|error| damaged(None, &error))?;
    let most = limits.bytes.saturating_add(OVERHEAD.saturating_mul(limits.entries as u64 + 1));
    let bounded = Bounded { inner: decoder, left: most, exhausted: Rc::clone(&exhausted) };
    let mut tar = tar::Archive::new(bounded);
    let mut last: Option<String> = None;
    let failed = |error: &io::Error, last: &Option<String>| {
        if exhausted.get() {
            let entry = last.clone().unwrap_or_else(|| "its first entry".to_owned());
            return UnpackError::TooLarge { limit: limits.bytes, entry };
        }
        damaged(last.clone(), error)
    };
    let mut nodes = BTreeMap::new();
    let mut left = limits.bytes;
    let entries = tar.entries().map_err(|error| failed(&error, &None))?;
    for (count, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|error| failed(&error, &last))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).escape_debug().to_string();
        last = Some(name.clone());
        if count >= limits.entries {
            return Err(UnpackError::TooManyEntries { limit: limits.entries, entry: name });
        }
        if entry.header().entry_type() == EntryType::XGlobalHeader {
            continue;
        }
        let path =
            path_of(&entry.path_bytes()).map_err(|fault| UnpackError::Path { entry: name.clone(), fault })?;
        let node = node_of(&mut entry, &name, &mut left, limits).map_err(|failure| match failure {
            NodeFailure::Refused(error) => error,
            NodeFailure::Read(error) => failed(&error, &last),
        })?;
        match node {
            Node::Folder => {
                nodes.entry(path).or_insert(Node::Folder);
            }
            _ if path.as_str().is_empty() => {
                return Err(UnpackError::Path { entry: name, fault: PathFault::Empty });
            }
            node => {
                nodes.insert(path, node);
            }
        }
    }
    Ok(nodes)
}

enum NodeFailure {
    Refused(UnpackError),
    Read(io::Error),
}

fn node_of(
    entry: &mut tar::Entry<'_, impl Read>,
    name: &str,
    left: &mut u64,
    limits: Limits,
) -> Result<Node, NodeFailure> {
    let refused = |kind| Err(NodeFailure::Refused(UnpackError::Kind { entry: name.to_owned(), kind }));
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous => {
            let size = entry.size();
            if size > *left {
                let error = UnpackError::TooLarge { limit: limits.bytes, entry: name.to_owned() };
                return Err(NodeFailure::Refused(error));
            }
            *left -= size;
            let mode = entry.header().mode().unwrap_or(0o644) & PERMISSIONS;
            let mut bytes = Vec::new();
            entry.take(size).read_to_end(&mut bytes).map_err(NodeFailure::Read)?;
            if bytes.len() as u64 != size {
                return Err(NodeFailure::Read(io::ErrorKind::UnexpectedEof.into()));
            }
            Ok(Node::File(File { bytes, mode }))
        }
        EntryType::Directory => Ok(Node::Folder),
        EntryType::Symlink => Ok(Node::Symlink(target_of(entry, name)?)),
        EntryType::Link => Ok(Node::HardLink(target_of(entry, name)?)),
        EntryType::Char | EntryType::Block => refused("devices"),
        EntryType::Fifo => refused("pipes"),
        EntryType::GNUSparse => refused("files with holes"),
        _ => refused("entries of an unknown kind"),
    }
}

fn target_of(entry: &tar::Entry<'_, impl Read>, name: &str) -> Result<String, NodeFailure> {
    let bytes = entry.link_name_bytes().unwrap_or_default();
    match std::str::from_utf8(&bytes) {
        Ok(target) if !target.is_empty() && !target.contains(char::is_control) => Ok(target.to_owned()),
        _ => Err(NodeFailure::Refused(UnpackError::Link {
            entry: name.to_owned(),
            target: String::from_utf8_lossy(&bytes).escape_debug().to_string(),
            fault: LinkFault::Text,
        })),
    }
}

fn path_of(bytes: &[u8]) -> Result<Utf8PathBuf, PathFault> {
    let text = std::str::from_utf8(bytes).map_err(|_| PathFault::Text)?;
    if text.is_empty() {
        return Err(PathFault::Empty);
    }
    if text.len() > LONGEST_PATH {
        return Err(PathFault::TooLong);
    }
    if text.contains(char::is_control) {
        return Err(PathFault::Text);
    }
    let mut path = Utf8PathBuf::new();
    for component in Utf8Path::new(text).components() {
        match component {
            Utf8Component::Normal(part) => path.push(part),
            Utf8Component::CurDir => {}
            Utf8Component::ParentDir => return Err(PathFault::Parent),
            Utf8Component::RootDir | Utf8Component::Prefix(_) => return Err(PathFault::Absolute),
        }
    }
    Ok(path)
}

/// The plain bytes of what may be compressed, by gzip or zstd: its first bytes say so.
///
/// # Errors
/// The first bytes cannot be read.
pub fn decompressed<'a>(mut bytes: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut beginning = Vec::new();
    bytes.by_ref().take(ZSTD.len() as u64).read_to_end(&mut beginning)?;
    let (is_gzip, is_zstd) = (beginning.starts_with(GZIP), beginning.starts_with(ZSTD));
    let whole = io::Cursor::new(beginning).chain(bytes);
    Ok(if is_gzip {
        Box::new(flate2::read::MultiGzDecoder::new(whole))
    } else if is_zstd {
        Box::new(zstd::stream::read::Decoder::new(whole)?)
    } else {
        Box::new(whole)
    })
}

/// Tells apart what servers send instead of an archive; the rest is for the reader of tar to judge.
fn check_beginning(archive: &[u8]) -> Result<(), UnpackError> {
    let beginning = archive.trim_ascii_start();
    let found = match beginning.first() {
        None => "it is empty",
        Some(b'<') => "it looks like a web page",
        Some(b'{' | b'[') => "it looks like JSON",
        _ if beginning.starts_with(b"PK\x03\x04") => "it is a zip archive",
        _ if beginning.starts_with(b"version https://git-lfs") => "it is a pointer of Git LFS",
        _ => return Ok(()),
    };
    // A file in a plain archive may have any of these for the first letter of its name; a header has no such lack.
    if archive.len() >= 512 && archive.get(257..262) == Some(b"ustar") {
        return Ok(());
    }
    Err(UnpackError::NotAnArchive { found: found.to_owned() })
}

fn damaged(after: Option<String>, error: &io::Error) -> UnpackError {
    let mut reason = error.to_string();
    if error.kind() == io::ErrorKind::UnexpectedEof {
        "it ends too early".clone_into(&mut reason);
    }
    UnpackError::Damaged { after, reason }
}

/// Reads so many bytes and no more, and remembers that there were more.
struct Bounded<R> {
    inner: R,
    left: u64,
    exhausted: Rc<Cell<bool>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.exhausted.set(true);
            return Err(io::Error::other("too much"));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}
