//! From differences to what happened, in an order in which it can have happened.
//!
//! A name that went and a name that came with the same file behind it is a move. A move of a folder stands for all that
//! is in it. What has an old name but another file is a replacement, as an editor's atomic save makes it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use protocol::files::{FileChange, FileChangeKind};

use super::tree::{Difference, Stamp};

/// A file that left a path, or came to one.
#[derive(Clone)]
struct End {
    path: PathBuf,
    stamp: Stamp,
}

/// Says what happened. Paths that are not UTF-8 are left out: the guest cannot be told of them.
pub(super) fn of(differences: Vec<Difference>) -> Vec<FileChange> {
    let mut stayed = Vec::new();
    let mut went: BTreeMap<PathBuf, Stamp> = BTreeMap::new();
    let mut came: BTreeMap<PathBuf, Stamp> = BTreeMap::new();
    let mut parents: HashMap<PathBuf, u64> = HashMap::new();
    for Difference { path, parent, before, now } in differences {
        if now.is_none() {
            parents.insert(path.clone(), parent);
        }
        match (before, now) {
            (Some(before), Some(now)) if before.inode == now.inode && before.kind == now.kind => {
                stayed.extend(same_file(&path, &before, &now));
            }
            (before, now) => {
                // Of two looks at one path in a row, the first knew what was before, the last what is now.
                if let Some(before) = before
                    && came.remove(&path).is_none()
                {
                    went.entry(path.clone()).or_insert(before);
                }
                if let Some(now) = now {
                    came.insert(path, now);
                }
            }
        }
    }
    let moves = pair(&mut went, &mut came);
    let left: HashSet<PathBuf> = moves.iter().map(|(from, ..)| from.clone()).collect();

    let mut folders = Vec::new();
    let mut arrivals = Vec::new();
    for (path, now) in came {
        let before = went.remove(&path);
        let kind = match before {
            Some(before) if !before.is_folder() && !now.is_folder() => FileChangeKind::Replaced,
            Some(before) => {
                went.insert(path.clone(), before);
                FileChangeKind::Created
            }
            None => FileChangeKind::Created,
        };
        let change = change(kind, &path, None, &now, before.is_some_and(|before| before.links <= 1));
        // What moves into a new folder comes after it; a folder with the name of one that moved away comes after that.
        let first = now.is_folder() && before.is_none() && !left.contains(&path);
        if first { folders.extend(change) } else { arrivals.extend(change) }
    }
    // A folder's content goes before the folder: with paths in order, the longer come later.
    let departures = went.iter().rev().filter_map(|(path, before)| {
        let change =
            change(FileChangeKind::Deleted, path, None, before, before.links <= 1 || before.is_folder())?;
        // Its folder may be gone as well by the time it is told of; who watches that is found by its number.
        Some(FileChange { parent_inode: parents.get(path).copied().unwrap_or(0), ..change })
    });
    let departures: Vec<_> = departures.collect();
    // What came of the target of a move before it was overwritten.
    let moves = in_order(moves).into_iter().filter_map(|(from, to, before)| {
        change(
            FileChangeKind::Moved,
            &from,
            Some(&to.path),
            &to.stamp,
            before.is_some_and(|it| it.links <= 1),
        )
    });
    let moves: Vec<_> = moves.collect();
    [folders, moves, departures, arrivals, stayed].concat()
}

/// What happened to a file that kept its name.
fn same_file(path: &Path, before: &Stamp, now: &Stamp) -> Option<FileChange> {
    let kind = if now.has_other_content(before) {
        FileChangeKind::Modified
    } else if now.has_other_attributes(before) {
        FileChangeKind::Attributes
    } else {
        return None;
    };
    change(kind, path, None, now, false)
}

type Move = (PathBuf, End, Option<Stamp>);

/// Takes out what went from one path and came to another. What a moved folder holds has moved with it, and is taken out
/// of both; so is what a move overwrote.
fn pair(went: &mut BTreeMap<PathBuf, Stamp>, came: &mut BTreeMap<PathBuf, Stamp>) -> Vec<Move> {
    let mut by_inode: HashMap<u64, Vec<PathBuf>> = HashMap::new();
    for (path, stamp) in went.iter() {
        by_inode.entry(stamp.inode).or_default().push(path.clone());
    }
    let mut moves: Vec<Move> = Vec::new();
    // Shorter paths first: a folder before what is in it.
    let targets: Vec<PathBuf> = came.keys().cloned().collect();
    for to in targets {
        let Some(stamp) = came.get(&to).copied() else { continue };
        let sources = by_inode.get(&stamp.inode).into_iter().flatten();
        let source = sources.into_iter().find(|from| went.get(*from).is_some_and(|before| stamp.is(before)));
        let Some(from) = source.cloned() else { continue };
        went.remove(&from);
        came.remove(&to);
        if stamp.is_folder() {
            let inside: Vec<(PathBuf, PathBuf)> = went
                .range(from.clone()..)
                .take_while(|(path, _)| path.starts_with(&from))
                .filter_map(|(path, before)| {
                    let there = to.join(path.strip_prefix(&from).ok()?);
                    came.get(&there).is_some_and(|now| now.is(before)).then(|| (path.clone(), there))
                })
                .collect();
            for (old, new) in inside {
                went.remove(&old);
                came.remove(&new);
            }
        }
        moves.push((from, End { path: to, stamp }, None));
    }
    let sources: HashSet<PathBuf> = moves.iter().map(|(from, ..)| from.clone()).collect();
    for (_, to, overwritten) in &mut moves {
        if !sources.contains(&to.path) {
            *overwritten = went.remove(&to.path);
        }
    }
    moves
}

/// Moves in an order in which no move finds its target taken by what another is yet to take away. A circle is cut
/// anywhere.
fn in_order(moves: Vec<Move>) -> Vec<Move> {
    let mut waiting: BTreeMap<PathBuf, Move> = moves.into_iter().map(|it| (it.0.clone(), it)).collect();
    let mut ordered = Vec::new();
    while let Some(mut next) = waiting.keys().next().cloned() {
        let mut seen = HashSet::new();
        while let Some((_, to, _)) = waiting.get(&next)
            && waiting.contains_key(&to.path)
            && seen.insert(next.clone())
        {
            next = to.path.clone();
        }
        ordered.extend(waiting.remove(&next));
    }
    ordered
}

fn change(
    kind: FileChangeKind,
    path: &Path,
    to: Option<&Path>,
    now: &Stamp,
    last_link: bool,
) -> Option<FileChange> {
    let to = match to {
        Some(path) => Some(path.to_str()?.to_owned()),
        None => None,
    };
    Some(FileChange {
        kind,
        path: path.to_str()?.to_owned(),
        to,
        folder: now.is_folder(),
        last_link,
        inode: now.inode,
        changed_unix_nanos: now.changed,
        parent_inode: 0,
    })
}
