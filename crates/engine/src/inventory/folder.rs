//! What is in a folder of a volume, as `stat` tells it where the engine lives.
//!
//! Neither an image nor a container is needed, and nothing is read but the folder itself: an archive of it, which the
//! engine also gives, has all the bytes of all that is below. The content of a volume is foreign: its names are only
//! printed, links are not followed, and where a folder really lies is looked at once we are in it.

use crate::connect::Engine;
use crate::error::EngineError;
use crate::tools::{Channel, ToolCommand};

/// Bytes of a listing that are read.
const MOST_BYTES: usize = 1 << 20;

/// Entries that are told.
const MOST_ENTRIES: usize = 5000;

/// Goes to the folder `$2` of the volume `$1` and says what is in it: mode, size, time, user, group and name of each.
/// Understood by busybox as well.
const LIST: &str = r#"
cd -P -- "$1" || exit 3
base=$(pwd -P)
cd -P -- "./$2" 2>/dev/null || exit 3
here=$(pwd -P)
case "$here/" in "$base"/*) ;; *) exit 3 ;; esac
find . -mindepth 1 -maxdepth 1 -exec stat -c '%f %s %Y %u %g %n' {} + 2>/dev/null
exit 0
"#;

/// The kinds of files, as bits of a mode.
const KIND_BITS: u32 = 0o170_000;

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FolderKind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A symbolic link.
    Link,
    /// A socket, a pipe or a device.
    Special,
}

/// Something in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderEntry {
    /// Its name; what is no UTF-8 in it is replaced.
    pub name: String,
    /// What it is.
    pub kind: FolderKind,
    /// Bytes in it.
    pub size: u64,
    /// When it was last changed, in seconds since 1970.
    pub modified: i64,
    /// Its permissions, the lower twelve bits of its mode.
    pub mode: u32,
    /// The number of its user.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

/// A folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FolderListing {
    /// What is in it, by name.
    pub entries: Vec<FolderEntry>,
    /// Whether there is more.
    pub more: bool,
}

impl Engine {
    /// What is in a folder of a volume that lies on the engine's own disk in `volume_folder`. `path` is below that, empty
    /// for the volume itself. `None` when there is no such folder, or it is a link that leads out of the volume.
    pub async fn list_folder(
        &self,
        volume_folder: &str,
        path: &str,
    ) -> Result<Option<FolderListing>, EngineError> {
        let operation = format!("list `{path}` in `{volume_folder}`");
        let failed = |source| Self::tool_failed(&operation, source);
        let command = ToolCommand::new(["/bin/sh", "-c", LIST, "list", volume_folder, path]);
        let mut running = self.tools.run(command).await.map_err(failed)?;
        let mut said = Vec::new();
        while let Some((channel, piece)) = running.next_output().await.map_err(failed)? {
            if channel == Channel::Out {
                said.extend_from_slice(&piece);
            }
            if said.len() > MOST_BYTES {
                running.kill().await.map_err(failed)?;
                return Ok(Some(listing(&said, true)));
            }
        }
        match running.wait().await.map_err(failed)? {
            0 => Ok(Some(listing(&said, false))),
            _ => Ok(None),
        }
    }
}

fn listing(said: &[u8], more: bool) -> FolderListing {
    let mut entries = parse_listing(said);
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    let more = more || entries.len() > MOST_ENTRIES;
    entries.truncate(MOST_ENTRIES);
    FolderListing { entries, more }
}

/// Reads lines of `MODE SIZE TIME USER GROUP ./NAME`. A name may hold anything but a slash, line ends too, so it is the
/// slashes that tell where one begins. What makes no sense is left out, and so is a last line without an end.
pub fn parse_listing(said: &[u8]) -> Vec<FolderEntry> {
    let parts: Vec<&[u8]> = said.split(|byte| *byte == b'/').collect();
    let pairs = parts.windows(2).enumerate();
    pairs
        .filter_map(|(at, pair)| {
            // Before a slash are the facts, after the name before it; behind it the name, and the next facts.
            let facts = match line_end(pair[0]) {
                Some(end) if at > 0 => &pair[0][end + 1..],
                None if at > 0 => return None,
                _ => pair[0],
            };
            entry(facts, &pair[1][..line_end(pair[1])?])
        })
        .collect()
}

fn line_end(text: &[u8]) -> Option<usize> {
    text.iter().rposition(|byte| *byte == b'\n')
}

fn entry(facts: &[u8], name: &[u8]) -> Option<FolderEntry> {
    let facts = std::str::from_utf8(facts).ok()?.strip_suffix(" .")?;
    let facts: Vec<&str> = facts.split(' ').collect();
    let [mode, size, modified, uid, gid] = facts[..] else { return None };
    let mode = u32::from_str_radix(mode, 16).ok()?;
    let kind = match mode & KIND_BITS {
        0o040_000 => FolderKind::Folder,
        0o100_000 => FolderKind::File,
        0o120_000 => FolderKind::Link,
        _ => FolderKind::Special,
    };
    if name.is_empty() {
        return None;
    }
    Some(FolderEntry {
        name: String::from_utf8_lossy(name).into_owned(),
        kind,
        size: size.parse().ok()?,
        modified: modified.parse().ok()?,
        mode: mode & 0o7777,
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_look_like_anything() {
        let said = "41ed 4096 17 0 0 ./d\n81a4 5 -1 1000 1000 ./two\n81a4 9 9 9 9 .lines\na1ff 4 0 0 0 ./l\n11a4 0 0 0 0 ./<b>\n81a4 1 1";
        let read: Vec<_> =
            parse_listing(said.as_bytes()).into_iter().map(|it| (it.name, it.kind, it.size)).collect();
        let expected = [
            ("d", FolderKind::Folder, 4096),
            ("two\n81a4 9 9 9 9 .lines", FolderKind::File, 5),
            ("l", FolderKind::Link, 4),
            ("<b>", FolderKind::Special, 0),
        ];
        assert_eq!(read, expected.map(|(name, kind, size)| (name.to_owned(), kind, size)));
        assert_eq!(parse_listing(b"81a4 5 1 0 0 ./cut"), [], "a line without an end may be cut");
        assert_eq!(parse_listing(b"x ./a\n81a4 5 1 0 0 ./b\n").len(), 1);
        assert_eq!(parse_listing(b""), []);
    }
}
