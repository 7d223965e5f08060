//! Changes of files that the host made, told to the guest.
//!
//! A `files` stream carries [`FileBatch`] messages to the guest, each answered by one [`FileReceipt`]. A batch without
//! changes tells the guest only how far its clock is from the host's.

use serde::{Deserialize, Serialize};

/// Changes at most in one batch.
pub const MAX_CHANGES: usize = 512;

/// What happened in shared folders since the batch before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileBatch {
    /// Rises by one a batch; the receipt repeats it.
    pub generation: u64,
    /// The host's time when it was sent.
    pub sent_unix_nanos: i64,
    /// At most [`MAX_CHANGES`], in the order in which they are to be told.
    pub changes: Vec<FileChange>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// What happened.
    pub kind: FileChangeKind,
    /// Absolute path of what it happened to, the same on both sides.
    pub path: String,
    /// Its new path, of what was moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether it is, or was, a folder.
    #[serde(default)]
    pub folder: bool,
    /// Whether what had the (new) path before is gone, since it had no other name.
    #[serde(default)]
    pub last_link: bool,
    /// Inode number of what has the (new) path now, or of what was deleted.
    #[serde(default)]
    pub inode: u64,
    /// When that was last changed, by the host's clock: its inode, not only its content. Of what was deleted, as far as
    /// the host had seen.
    #[serde(default)]
    pub changed_unix_nanos: i64,
    /// Inode number of the folder it was in, of what was deleted: that folder may be gone, too. Else 0.
    #[serde(default)]
    pub parent_inode: u64,
}

/// What happened to a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileChangeKind {
    /// It is there, and was not before.
    Created,
    /// Another file has its name now, as after an editor's atomic save.
    Replaced,
    /// Its content changed.
    Modified,
    /// Its mode, owner or number of names changed.
    Attributes,
    /// It is there no more.
    Deleted,
    /// It has another path.
    Moved,
    /// More happened in this folder than could be followed: watchers must look for themselves.
    Overflow,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileReceipt {
    /// That of the batch.
    pub generation: u64,
    /// Changes that watchers were told of.
    pub told: u32,
    /// Changes that were the guest's own: its watchers knew.
    pub own: u32,
    /// Changes where nobody watches.
    pub unwatched: u32,
    /// Changes whose file was gone before they could be told.
    pub gone: u32,
    /// Changes that the guest failed to tell.
    pub failed: u32,
    /// Why, of one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
