//! What is known of a followed folder: every name below it, with what the host last said of it.
//!
//! A watcher of the host only hints that something happened at a path. What did happen is the difference between what
//! is known and what is there now, so a hint may be late, doubled, or stand for many; and where hints were lost, looking
//! at everything again finds what they would have said.
//!
//! Links are not followed, and other file systems below the folder are not entered.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Names at most in one followed folder: each costs about 150 bytes of this process.
pub(super) const MAX_NAMES: usize = 1_000_000;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// With content of its own.
    File,
    /// With names in it.
    Folder,
    /// A link, a socket, a device: only its name matters.
    Other,
}

/// What the host says of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) kind: Kind,
    pub(super) inode: u64,
    pub(super) links: u64,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    modified: i64,
    /// When its inode was changed last, in nanoseconds since 1970.
    pub(super) changed: i64,
    /// When it was made; 0 where the file system does not say.
    made: i64,
}

/// How what is there differs from what was known, at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) path: PathBuf,
    /// Inode number of the folder that it is or was in.
    pub(super) parent: u64,
    pub(super) before: Option<Stamp>,
    pub(super) now: Option<Stamp>,
}

/// Why a folder cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum TreeError {
    /// It holds more names than are kept.
    #[error("`{root}` holds more than {MAX_NAMES} files and folders")]
    TooMany {
        /// The folder.
        root: PathBuf,
    },
    /// It is not there.
    #[error("`{root}` cannot be read")]
    Root {
        /// The folder.
        root: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Stamp {
    /// What is at a path now; `None` where nothing is, or nothing that can be looked at.
    fn of(path: &Path, device: u64) -> Option<Self> {
        let metadata = std::fs::symlink_metadata(path).ok()?;
        if metadata.dev() != device {
            return None;
        }
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => Kind::Folder,
            kind if kind.is_file() => Kind::File,
            _ => Kind::Other,
        };
        let made = metadata.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        Some(Self {
            kind,
            inode: metadata.ino(),
            links: metadata.nlink(),
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            size: metadata.size(),
            modified: nanos(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanos(metadata.ctime(), metadata.ctime_nsec()),
            made: made.and_then(|made| i64::try_from(made.as_nanos()).ok()).unwrap_or(0),
        })
    }

    pub(super) fn is_folder(self) -> bool {
        self.kind == Kind::Folder
    }

    /// Whether this is that file under another name. Numbers of inodes are given out again as soon as they are free,
    /// so what a rename leaves alone must be the same, too.
    pub(super) fn is(&self, other: &Self) -> bool {
        let same = self.inode == other.inode && self.kind == other.kind && self.made == other.made;
        same && (self.is_folder() || (self.size == other.size && self.modified == other.modified))
    }

    /// Whether its content is another. A folder's content are names, which are told by themselves.
    pub(super) fn has_other_content(&self, before: &Self) -> bool {
        self.kind == Kind::File && (self.size != before.size || self.modified != before.modified)
    }

    /// Whether anything but its content and its names changed.
    pub(super) fn has_other_attributes(&self, before: &Self) -> bool {
        let about = |it: &Self| (it.mode, it.owner, if it.is_folder() { 0 } else { it.links });
        about(self) != about(before)
    }
}

fn nanos(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

impl Folder {
    fn new(inode: u64) -> Self {
        Self { inode, names: BTreeMap::new() }
    }
}

/// A followed folder.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    device: u64,
    /// Every known folder.
    folders: HashMap<PathBuf, Folder>,
    names: usize,
}

#[derive(Debug)]
struct Folder {
    inode: u64,
    names: BTreeMap<Box<std::ffi::OsStr>, Stamp>,
}

impl Tree {
    /// Reads all of a folder.
    pub(super) fn read(root: &Path) -> Result<Self, TreeError> {
        let metadata =
            std::fs::metadata(root).map_err(|source| TreeError::Root { root: root.to_owned(), source })?;
        let folders = HashMap::from([(root.to_owned(), Folder::new(metadata.ino()))]);
        let mut tree = Self { root: root.to_owned(), device: metadata.dev(), folders, names: 0 };
        // All of it is new, and nobody is told.
        tree.look_into(root, &mut |_| {});
        tree.bounded()?;
        Ok(tree)
    }

    /// How many names are known.
    pub(super) fn len(&self) -> usize {
        self.names
    }

    fn bounded(&self) -> Result<(), TreeError> {
        if self.names < MAX_NAMES { Ok(()) } else { Err(TreeError::TooMany { root: self.root.clone() }) }
    }

    /// What differs at these paths and, of a folder, directly in it; whole folders that came or went.
    ///
    /// # Errors
    /// [`TreeError::TooMany`]: what is known is then no longer complete.
    pub(super) fn look(
        &mut self,
        paths: impl IntoIterator<Item = PathBuf>,
    ) -> Result<Vec<Difference>, TreeError> {
        let mut found = Vec::new();
        for path in paths {
            if path == self.root {
                self.look_into(&path, &mut |it| found.push(it));
            } else if path.starts_with(&self.root) {
                self.look_at(&path, &mut |it| found.push(it));
            }
        }
        self.bounded()?;
        Ok(found)
    }

    /// What differs anywhere.
    ///
    /// # Errors
    /// [`TreeError::TooMany`]: what is known is then no longer complete.
    pub(super) fn look_everywhere(&mut self) -> Result<Vec<Difference>, TreeError> {
        let mut folders: Vec<PathBuf> = self.folders.keys().cloned().collect();
        // A folder before what is in it, which goes with it.
        folders.sort_unstable();
        let mut found = Vec::new();
        for folder in folders {
            if self.folders.contains_key(&folder) {
                self.look_into(&folder, &mut |it| found.push(it));
            }
        }
        self.bounded()?;
        Ok(found)
    }

    /// Compares one name, and all below it if that is another folder.
    fn look_at(&mut self, path: &Path, found: &mut dyn FnMut(Difference)) {
        // Where its folder is new, or gone, that is the difference.
        let is_reached = |path: &&Path| path.parent().is_some_and(|parent| self.folders.contains_key(parent));
        let mut within =
            path.ancestors().take_while(|path| path.starts_with(&self.root) && *path != self.root);
        let Some(path) = within.find(is_reached).map(Path::to_owned) else { return };
        self.look_through(vec![path], found);
    }

    /// Compares the names in a folder with those that are known, and looks at each.
    fn look_into(&mut self, folder: &Path, found: &mut dyn FnMut(Difference)) {
        self.look_through(self.paths_in(folder), found);
    }

    /// Compares names, the last one first, each with all below it. Folders may lie deeper than a stack is high.
    fn look_through(&mut self, mut waiting: Vec<PathBuf>, found: &mut dyn FnMut(Difference)) {
        while let Some(path) = waiting.pop() {
            if self.names >= MAX_NAMES {
                return;
            }
            if self.is_other_folder(&path, found) {
                waiting.extend(self.paths_in(&path));
            }
        }
    }

    /// Compares one name; whether it stands for a folder that is new or changed, so that what is in it may have, too.
    fn is_other_folder(&mut self, path: &Path, found: &mut dyn FnMut(Difference)) -> bool {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let Some(folder) = self.folders.get(parent) else { return false };
        let (before, inode) = (folder.names.get(name).copied(), folder.inode);
        let now = Stamp::of(path, self.device);
        if before == now {
            return false;
        }
        let same =
            before.zip(now).is_some_and(|(before, now)| before.inode == now.inode && before.kind == now.kind);
        if before.is_some_and(Stamp::is_folder) && !same {
            self.forget(path, found);
        }
        self.set(parent, name, now);
        found(Difference { path: path.to_owned(), parent: inode, before, now });
        let Some(now) = now.filter(|now| now.is_folder()) else { return false };
        self.folders.entry(path.to_owned()).or_insert_with(|| Folder::new(now.inode));
        true
    }

    /// What is in a folder, or is known to have been, in falling order.
    fn paths_in(&self, folder: &Path) -> Vec<PathBuf> {
        // Unreadable: as if it were empty. A folder that went meanwhile is found missing by its own name.
        let there = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let mut names: Vec<_> = there.collect();
        let known = self.folders.get(folder).map(|folder| folder.names.keys());
        names.extend(known.into_iter().flatten().map(|name| name.clone().into_os_string()));
        names.sort_unstable_by(|one, other| other.cmp(one));
        names.dedup();
        names.into_iter().map(|name| folder.join(name)).collect()
    }

    fn set(&mut self, folder: &Path, name: &std::ffi::OsStr, stamp: Option<Stamp>) {
        let Some(folder) = self.folders.get_mut(folder) else { return };
        let before = match stamp {
            Some(stamp) => folder.names.insert(name.into(), stamp),
            None => folder.names.remove(name),
        };
        self.names = self.names + usize::from(stamp.is_some()) - usize::from(before.is_some());
    }

    /// Forgets all that is known below a folder, the deepest first.
    fn forget(&mut self, folder: &Path, found: &mut dyn FnMut(Difference)) {
        let mut gone = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let Some(Folder { inode, names }) = self.folders.remove(&folder) else { continue };
            self.names -= names.len();
            for (name, before) in names.into_iter().rev() {
                let path = folder.join(&*name);
                if before.is_folder() {
                    folders.push(path.clone());
                }
                gone.push(Difference { path, parent: inode, before: Some(before), now: None });
            }
        }
        gone.into_iter().rev().for_each(found);
    }
}
