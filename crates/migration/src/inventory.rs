//! What a volume holds, found in the archive of it while that passes by.
//!
//! The archive comes from an engine that is not ours and is read as foreign bytes: nothing is unpacked, memory does
//! not grow with it, and what makes no sense is an error. Two volumes are the same when their inventories are: every
//! entry with its path, kind, permissions, owner, time in seconds, link target and the digest of its bytes. The order
//! of entries does not count.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

/// Size of the blocks that an archive is made of.
const BLOCK: usize = 512;

/// The longest extension of a header (long names, extended attributes) that is read. The kernel's own limits for
/// these are far below.
const LONGEST_EXTENSION: u64 = 1024 * 1024;

/// Up to so many bytes of paths, with their digests, are kept to name what differs.
const LISTING_BYTES: usize = 16 * 1024 * 1024;

/// Begin of the names of extended attributes in an archive.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// The archive makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// A header is damaged.
    #[error("the archive is damaged at byte {at}: {what}")]
    Damaged {
        /// Bytes before the header.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The archive ended before its end mark.
    #[error("the archive ends in the middle, after {at} bytes")]
    Cut {
        /// Bytes that came.
        at: u64,
    },
}

/// What a volume holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// Everything below the volume's own folder.
    pub entries: u64,
    /// Of that, files; one with several names counts once.
    pub files: u64,
    /// Bytes in files.
    pub bytes: u64,
    /// Sum of the digests of all entries, in hex.
    pub digest: String,
    /// Digest by path, while they fit.
    #[serde(skip)]
    listing: Option<BTreeMap<Vec<u8>, [u8; 8]>>,
}

impl Inventory {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Whether both hold the same.
    pub fn same(&self, other: &Self) -> bool {
        (self.entries, self.files, self.bytes, &self.digest)
            == (other.entries, other.files, other.bytes, &other.digest)
    }

    /// How another differs from this, in words; `None` when it does not.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.same(other) {
            return None;
        }
        let counts = |it: &Self| format!("{} entries with {} bytes", it.entries, it.bytes);
        let mut said = if (self.entries, self.bytes) == (other.entries, other.bytes) {
            format!("{} on both sides, but not the same", counts(self))
        } else {
            format!("{} at the source, {} here", counts(self), counts(other))
        };
        if let (Some(ours), Some(theirs)) = (&self.listing, &other.listing) {
            let differs = |path: &&Vec<u8>| ours.get(*path) != theirs.get(*path);
            if let Some(path) = ours.keys().chain(theirs.keys()).filter(differs).min() {
                let shown = String::from_utf8_lossy(path).into_owned();
                let shown = if shown.is_empty() { "its own folder".to_owned() } else { format!("`{shown}`") };
                said = format!("{said}; {shown} differs");
            }
        }
        Some(said)
    }
}

/// Takes an archive in pieces of any size.
#[derive(Debug)]
pub struct InventoryReader {
    at: u64,
    state: State,
    block: Vec<u8>,
    extensions: Extensions,
    sum: [u8; 32],
    entries: u64,
    files: u64,
    bytes: u64,
    listing: Option<BTreeMap<Vec<u8>, [u8; 8]>>,
    listed: usize,
}

#[derive(Debug)]
enum State {
    /// Between entries; so many blocks of zeros came.
    Header { zeros: u8 },
    /// In the bytes of a file.
    File { left: u64, padding: usize, entry: Box<Entry>, content: Sha256 },
    /// In an extension of the next header.
    Extension { kind: EntryType, left: u64, padding: usize, text: Vec<u8> },
    /// After something that has bytes, up to the next block.
    Padding { left: usize },
    /// After the end mark; what follows is filling.
    End,
}

/// What came before a header and belongs to it.
#[derive(Debug, Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<i64>,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// One thing in a volume, without its bytes.
#[derive(Debug)]
struct Entry {
    path: Vec<u8>,
    kind: u8,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: i64,
    size: u64,
    link: Vec<u8>,
    device: (u32, u32),
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Default for InventoryReader {
    fn default() -> Self {
        Self {
            at: 0,
            state: State::Header { zeros: 0 },
            block: Vec::with_capacity(BLOCK),
            extensions: Extensions::default(),
            sum: [0; 32],
            entries: 0,
            files: 0,
            bytes: 0,
            listing: Some(BTreeMap::new()),
            listed: 0,
        }
    }
}

impl InventoryReader {
    /// Takes the next piece.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), ArchiveError> {
        while !piece.is_empty() {
            let used = self.step(piece)?;
            self.at += used as u64;
            piece = &piece[used..];
            self.settle()?;
        }
        Ok(())
    }

    /// What the archive held. It must have come to its end.
    pub fn finish(self) -> Result<Inventory, ArchiveError> {
        if !matches!(self.state, State::End) {
            return Err(ArchiveError::Cut { at: self.at });
        }
        let digest: Vec<_> = self.sum.iter().map(|byte| format!("{byte:02x}")).collect();
        let Self { entries, files, bytes, listing, .. } = self;
        // The first entry is the volume's own folder.
        let (entries, digest) = (entries.saturating_sub(1), digest.concat());
        Ok(Inventory { entries, files, bytes, digest, listing })
    }

    /// Uses some bytes, at least one.
    fn step(&mut self, piece: &[u8]) -> Result<usize, ArchiveError> {
        let most = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        match &mut self.state {
            State::Header { .. } => {
                let used = (BLOCK - self.block.len()).min(piece.len());
                self.block.extend_from_slice(&piece[..used]);
                if self.block.len() == BLOCK {
                    self.header()?;
                    self.block.clear();
                }
                Ok(used)
            }
            State::File { left, content, .. } => {
                let used = most(*left);
                content.update(&piece[..used]);
                *left -= used as u64;
                Ok(used)
            }
            State::Extension { left, text, .. } => {
                let used = most(*left);
                text.extend_from_slice(&piece[..used]);
                *left -= used as u64;
                Ok(used)
            }
            State::Padding { left } => {
                let used = (*left).min(piece.len());
                *left -= used;
                Ok(used)
            }
            State::End => Ok(piece.len()),
        }
    }

    /// Leaves states that have come to their end.
    fn settle(&mut self) -> Result<(), ArchiveError> {
        let next = State::Header { zeros: 0 };
        match &mut self.state {
            State::File { left: 0, padding, .. } => {
                let after = State::Padding { left: *padding };
                if let State::File { entry, content, .. } = std::mem::replace(&mut self.state, after) {
                    self.add(&entry, &content.finalize());
                }
            }
            State::Extension { left: 0, padding, kind, text } => {
                let (kind, text, after) = (*kind, std::mem::take(text), State::Padding { left: *padding });
                self.extend(kind, text)?;
                self.state = after;
            }
            _ => {}
        }
        if matches!(self.state, State::Padding { left: 0 }) {
            self.state = next;
        }
        Ok(())
    }

    /// Reads a whole header.
    fn header(&mut self) -> Result<(), ArchiveError> {
        // `at` counts the pieces before this one.
        let at = self.at;
        let damaged = |what| ArchiveError::Damaged { at, what };
        if self.block.iter().all(|byte| *byte == 0) {
            let zeros = if let State::Header { zeros } = &self.state { zeros + 1 } else { 1 };
            self.state = if zeros == 2 { State::End } else { State::Header { zeros } };
            return Ok(());
        }
        let header = Header::from_byte_slice(&self.block);
        let sum = self.block.iter().enumerate().map(|(at, byte)| {
            // The field of the sum itself counts as spaces.
            u32::from(if (148..156).contains(&at) { b' ' } else { *byte })
        });
        if header.cksum().ok() != Some(sum.sum()) {
            return Err(damaged("its sum is wrong"));
        }
        let kind = header.entry_type();
        let size = header.entry_size().map_err(|_| damaged("its size is not a number"))?;
        if kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions()
            || kind.is_gnu_longname()
            || kind.is_gnu_longlink()
        {
            if size > LONGEST_EXTENSION {
                return Err(damaged("an extension of more than a MiB"));
            }
            let padding = padding(size);
            self.state = State::Extension { kind, left: size, padding, text: Vec::new() };
            return Ok(());
        }
        let (entry, size) = self.entry(kind, size, damaged)?;
        if kind.is_file() || kind.is_contiguous() {
            self.files += 1;
            self.bytes = self.bytes.saturating_add(size);
            let (padding, entry) = (padding(size), Box::new(entry));
            self.state = State::File { left: size, padding, entry, content: Sha256::new() };
        } else {
            self.add(&entry, &[]);
            self.state = State::Header { zeros: 0 };
        }
        Ok(())
    }

    fn entry(
        &mut self,
        kind: EntryType,
        size: u64,
        damaged: impl Fn(&'static str) -> ArchiveError,
    ) -> Result<(Entry, u64), ArchiveError> {
        let said = std::mem::take(&mut self.extensions);
        let header = Header::from_byte_slice(&self.block);
        let file = kind.is_file() || kind.is_contiguous();
        let known = file
            || kind.is_dir()
            || kind.is_symlink()
            || kind.is_hard_link()
            || kind.is_fifo()
            || kind.is_character_special()
            || kind.is_block_special();
        if !known {
            return Err(damaged("an entry of a kind that no volume has"));
        }
        let size = if file { said.size.unwrap_or(size) } else { 0 };
        let number = |value: std::io::Result<u64>, what| value.map_err(|_| damaged(what));
        let mtime = match said.mtime {
            Some(mtime) => mtime,
            None => number(header.mtime(), "its time is not a number")?.cast_signed(),
        };
        let uid = said.uid.map_or_else(|| number(header.uid(), "its owner is not a number"), Ok)?;
        let gid = said.gid.map_or_else(|| number(header.gid(), "its group is not a number"), Ok)?;
        let mode = header.mode().map_err(|_| damaged("its permissions are not a number"))? & 0o7777;
        let path = said.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = said.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let device = |value: std::io::Result<Option<u32>>| value.ok().flatten().unwrap_or_default();
        let is_device = kind.is_character_special() || kind.is_block_special();
        let entry = Entry {
            path: below_first(&path).to_vec(),
            kind: if file { b'0' } else { kind.as_byte() },
            mode,
            uid,
            gid,
            mtime,
            size,
            link: link.filter(|_| kind.is_symlink() || kind.is_hard_link()).unwrap_or_default(),
            device: if is_device {
                (device(header.device_major()), device(header.device_minor()))
            } else {
                (0, 0)
            },
            attributes: said.attributes,
        };
        Ok((entry, size))
    }

    /// Reads an extension.
    fn extend(&mut self, kind: EntryType, text: Vec<u8>) -> Result<(), ArchiveError> {
        let damaged = |what| ArchiveError::Damaged { at: self.at, what };
        let said = &mut self.extensions;
        if kind.is_gnu_longname() {
            said.path = Some(without_end(text));
        } else if kind.is_gnu_longlink() {
            said.link = Some(without_end(text));
        } else if kind.is_pax_local_extensions() {
            let mut rest = text.as_slice();
            while !rest.is_empty() {
                let pair = next_pair(&mut rest);
                let (key, value) = pair.ok_or_else(|| damaged("an extended header is malformed"))?;
                let number = || std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                let counted = |what| number().ok_or_else(|| damaged(what)).map(Some);
                match key {
                    b"path" => said.path = Some(value.to_vec()),
                    b"linkpath" => said.link = Some(value.to_vec()),
                    b"size" => said.size = counted("its size is not a number")?,
                    b"uid" => said.uid = counted("its owner is not a number")?,
                    b"gid" => said.gid = counted("its group is not a number")?,
                    b"mtime" => {
                        said.mtime = Some(seconds(value).ok_or_else(|| damaged("its time is not a number"))?);
                    }
                    key if key.starts_with(ATTRIBUTE) => {
                        said.attributes.insert(key.to_vec(), value.to_vec());
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, entry: &Entry, content: &[u8]) {
        let digest: [u8; 32] = entry.digest(content).into();
        add_to(&mut self.sum, &digest);
        self.entries += 1;
        self.listed += entry.path.len() + 64;
        if self.listed > LISTING_BYTES {
            self.listing = None;
        }
        if let Some(listing) = &mut self.listing {
            let mut short = [0; 8];
            short.copy_from_slice(&digest[..8]);
            listing.insert(entry.path.clone(), short);
        }
    }
}

impl Entry {
    fn digest(&self, content: &[u8]) -> sha2::digest::Output<Sha256> {
        let mut digest = Sha256::new();
        // Each with its length, so that no two entries can be written alike.
        let mut put = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        put(&self.path);
        put(&[self.kind]);
        put(&self.link);
        for number in [
            u64::from(self.mode),
            self.uid,
            self.gid,
            self.mtime.cast_unsigned(),
            self.size,
            u64::from(self.device.0),
            u64::from(self.device.1),
        ] {
            put(&number.to_le_bytes());
        }
        for (name, value) in &self.attributes {
            put(name);
            put(value);
        }
        put(content);
        digest.finalize()
    }
}

/// Adds as numbers of 256 bits: the same for any order.
fn add_to(sum: &mut [u8; 32], digest: &[u8; 32]) {
    let mut carry = 0;
    for (into, byte) in sum.iter_mut().zip(digest) {
        let total = u16::from(*into) + u16::from(*byte) + carry;
        *into = (total & 0xff) as u8;
        carry = total >> 8;
    }
}

/// The path without its first part, which is the name of the folder that was read, and without a slash at its end.
fn below_first(path: &[u8]) -> &[u8] {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.iter().position(|byte| *byte == b'/').map_or(&[], |at| &path[at + 1..])
}

/// Takes a pair off an extended header: `LENGTH KEY=VALUE` and an end of line, the length being that of all of it. A
/// value may hold any byte, ends of lines too, which the reader of crate `tar` does not expect.
fn next_pair<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let space = rest.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&rest[..space]).ok()?.parse().ok()?;
    let pair = rest.get(space + 1..length)?.strip_suffix(b"\n")?;
    *rest = rest.get(length..)?;
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some((&pair[..equals], &pair[equals + 1..]))
}

/// Whole seconds of a decimal number, rounded down.
fn seconds(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = whole.parse().ok()?;
    let below = text.starts_with('-') && fraction.bytes().any(|digit| digit != b'0');
    if below { whole.checked_sub(1) } else { Some(whole) }
}

fn without_end(mut text: Vec<u8>) -> Vec<u8> {
    while text.last() == Some(&0) {
        text.pop();
    }
    text
}

fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

#[cfg(test)]
mod tests;
