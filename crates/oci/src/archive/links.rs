//! Links within an archive: followed here, so that whoever gets the files needs to follow none.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::unpack::{LinkFault, Node, UnpackError};
use super::{File, Files, Limits};

/// Links followed on the way to one file; as many as Linux follows.
const MOST_HOPS: usize = 40;

type Nodes = BTreeMap<Utf8PathBuf, Node>;

/// Replaces links by copies of what they point to. Copies count: a few links can stand for very many files.
pub(super) fn resolve(nodes: Nodes, limits: Limits) -> Result<Files, UnpackError> {
    let mut copies = Copies { nodes: &nodes, files: Files::new(), bytes: 0, visited: 0, limits };
    for (path, node) in &nodes {
        match node {
            Node::Folder => {}
            Node::File(file) => copies.add(path, file)?,
            Node::Symlink(_) | Node::HardLink(_) => copies.add_link(path, path, 0)?,
        }
    }
    Ok(copies.files)
}

struct Copies<'a> {
    nodes: &'a Nodes,
    files: Files,
    bytes: u64,
    /// What was looked at behind links: folders of links to folders of links double with each level.
    visited: usize,
    limits: Limits,
}

impl Copies<'_> {
    fn add(&mut self, path: &Utf8Path, file: &File) -> Result<(), UnpackError> {
        self.bytes += file.bytes.len() as u64;
        if self.bytes > self.limits.bytes {
            return Err(UnpackError::TooLarge { limit: self.limits.bytes, entry: path.to_string() });
        }
        if self.files.len() >= self.limits.entries {
            return Err(UnpackError::TooManyEntries { limit: self.limits.entries, entry: path.to_string() });
        }
        self.files.insert(path.to_owned(), file.clone());
        Ok(())
    }

    /// Puts what the link at `link` points to at `place`.
    fn add_link(&mut self, place: &Utf8Path, link: &Utf8Path, depth: usize) -> Result<(), UnpackError> {
        let nodes = self.nodes;
        let mut hops = depth;
        let target = follow(nodes, link, link, &mut hops)?;
        if let Some(Node::File(file)) = nodes.get(&target) {
            return self.add(place, file);
        }
        if link.starts_with(&target) {
            return Err(fault(nodes, link, LinkFault::Circle));
        }
        // A folder; it may have no entry of its own.
        let mut found = matches!(nodes.get(&target), Some(Node::Folder));
        let below = nodes.range(target.clone()..).take_while(|(path, _)| path.starts_with(&target));
        for (path, node) in below {
            found = true;
            self.visited += 1;
            if self.visited > self.limits.entries {
                return Err(UnpackError::TooManyEntries {
                    limit: self.limits.entries,
                    entry: place.to_string(),
                });
            }
            let rest = path.strip_prefix(&target).unwrap_or(path);
            let place = place.join(rest);
            match node {
                Node::Folder => {}
                Node::File(file) => self.add(&place, file)?,
                Node::Symlink(_) | Node::HardLink(_) => self.add_link(&place, path, hops)?,
            }
        }
        if found { Ok(()) } else { Err(fault(nodes, link, LinkFault::Dangling)) }
    }
}

/// The file or folder at the end of a path, through every link on the way.
fn follow(
    nodes: &Nodes,
    path: &Utf8Path,
    first: &Utf8Path,
    hops: &mut usize,
) -> Result<Utf8PathBuf, UnpackError> {
    let mut reached = Utf8PathBuf::new();
    for part in path.components() {
        reached.push(part);
        let (from, target) = match nodes.get(&reached) {
            Some(Node::Symlink(target)) => (reached.parent().unwrap_or(Utf8Path::new("")), target),
            Some(Node::HardLink(target)) => (Utf8Path::new(""), target),
            _ => continue,
        };
        *hops += 1;
        if *hops > MOST_HOPS {
            return Err(fault(nodes, first, LinkFault::Circle));
        }
        let joined = join(from, target).ok_or_else(|| fault(nodes, first, LinkFault::Outside))?;
        reached = follow(nodes, &joined, first, hops)?;
    }
    Ok(reached)
}

/// A link's target from the root of the archive; nothing if it leads out.
///
/// `..` is taken by the text: it may step back over a link only where that was followed already.
fn join(from: &Utf8Path, target: &str) -> Option<Utf8PathBuf> {
    if target.starts_with('/') {
        return None;
    }
    let mut joined = from.to_owned();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if !joined.pop() {
                    return None;
                }
            }
            part => joined.push(part),
        }
    }
    Some(joined)
}

fn fault(nodes: &Nodes, link: &Utf8Path, fault: LinkFault) -> UnpackError {
    let target = match nodes.get(link) {
        Some(Node::Symlink(target) | Node::HardLink(target)) => target.clone(),
        _ => String::new(),
    };
    UnpackError::Link { entry: link.to_string(), target, fault }
}
