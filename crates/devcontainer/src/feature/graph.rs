//! Which feature waits for which, and how features of equal rank compare.

use super::collate;
use super::metadata::FeatureMetadata;
use super::options::Given;
use super::reference::{FeatureReference, OciVersion};
use crate::digest;
use serde_json::json;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Every feature to install and what it waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// The features in the order in which they were found.
    pub nodes: Vec<GraphNode>,
}

/// One feature of a graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphNode {
    /// The feature as written.
    pub written: String,
    /// Whether somebody asked for it, as opposed to another feature.
    pub asked: bool,
    /// The features that it cannot be installed without, by index.
    pub depends_on: Vec<usize>,
    /// For each feature that it goes after: those of the graph that are meant, by index; never empty. One of
    /// them has to be installed before.
    pub installs_after: Vec<Vec<usize>>,
    /// Goes before others that are ready when this is higher than theirs.
    pub priority: usize,
    /// The ids that the feature has and had.
    pub aliases: Vec<String>,
    /// How it compares to others.
    pub(super) rank: Rank,
}

/// What decides between features that could be installed next: the name without version, the tag from old
/// to new, the options that were given (more of them first, then names, then values), the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rank {
    /// Local features go first: the others' names begin with a letter, theirs with a dot.
    remote: bool,
    namespace: String,
    id: String,
    tag: Option<Tag>,
    given: Given,
    canonical: String,
}

/// A tag by its age.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Tag {
    /// Numbers, whether it is a release, and what stands behind `-`.
    Numbers(Vec<u64>, bool, String),
    Word(String),
    Latest,
}

impl Rank {
    pub(super) fn of(
        reference: &FeatureReference,
        metadata: &FeatureMetadata,
        given: &Given,
        digest: &str,
    ) -> Self {
        let (namespace, id, tag) = match reference {
            FeatureReference::Oci(feature) => {
                // A renamed feature sorts by the name it has today.
                let renamed = metadata.legacy_ids.iter().any(|old| old.eq_ignore_ascii_case(feature.id()));
                let id = metadata.ids().next().filter(|_| renamed).unwrap_or(feature.id());
                let tag = match &feature.version {
                    OciVersion::Tag(tag) => Some(Tag::of(tag)),
                    OciVersion::Digest(_) => None,
                };
                (format!("{}/{}", feature.registry, feature.namespace()), id.to_lowercase(), tag)
            }
            FeatureReference::Release(feature) => {
                let tag = feature.tag.as_deref().unwrap_or("latest");
                (format!("{}/{}", feature.owner, feature.repository), feature.id.clone(), Some(Tag::of(tag)))
            }
            other => (other.without_version(), String::new(), None),
        };
        Self {
            remote: !matches!(reference, FeatureReference::Local(_)),
            namespace,
            id,
            tag,
            given: given.clone(),
            canonical: reference.canonical(digest),
        }
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        self.remote
            .cmp(&other.remote)
            .then_with(|| collate::compare(&self.namespace, &other.namespace))
            .then_with(|| collate::compare(&self.id, &other.id))
            .then_with(|| self.tag.cmp(&other.tag))
            .then_with(|| other.given.len().cmp(&self.given.len()))
            .then_with(|| compare_all(self.given.keys(), other.given.keys()))
            .then_with(|| compare_all(self.given.values(), other.given.values()))
            .then_with(|| collate::compare(&self.canonical, &other.canonical))
    }
}

/// Compares two lists of the same length.
fn compare_all<'a>(
    left: impl Iterator<Item = &'a String>,
    right: impl Iterator<Item = &'a String>,
) -> Ordering {
    let mut differing = left.zip(right).map(|(left, right)| collate::compare(left, right));
    differing.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

impl Tag {
    fn of(tag: &str) -> Self {
        if tag == "latest" {
            return Self::Latest;
        }
        let (numbers, pre) = tag.split_once('-').unwrap_or((tag, ""));
        let numbers: Option<Vec<u64>> = numbers.split('.').map(|part| part.parse().ok()).collect();
        match numbers {
            Some(numbers) => Self::Numbers(numbers, pre.is_empty(), pre.to_owned()),
            None => Self::Word(tag.to_owned()),
        }
    }
}

impl Graph {
    /// The graph as a flowchart in the language of mermaid.
    pub fn mermaid(&self) -> String {
        let mut lines = vec!["flowchart".to_owned()];
        let mut drawn = BTreeSet::new();
        for (index, _) in self.nodes.iter().enumerate().filter(|(_, node)| node.asked) {
            lines.push(self.box_of(index));
            self.draw(index, &mut drawn, &mut lines);
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// Draws the arrows from a feature and, once each, from those that are there for its sake.
    fn draw(&self, index: usize, drawn: &mut BTreeSet<usize>, lines: &mut Vec<String>) {
        if !drawn.insert(index) {
            return;
        }
        let node = &self.nodes[index];
        for &target in &node.depends_on {
            lines.push(format!("{} --> {}", self.box_of(index), self.box_of(target)));
            if !self.nodes[target].asked {
                self.draw(target, drawn, lines);
            }
        }
        for &target in node.installs_after.iter().flatten() {
            lines.push(format!("{} -.-> {}", self.box_of(index), self.box_of(target)));
        }
    }

    fn box_of(&self, index: usize) -> String {
        let node = &self.nodes[index];
        let name = digest::of(&json!([node.written, node.rank.given, node.rank.canonical]));
        let aliases = match node.aliases.as_slice() {
            [] => String::new(),
            aliases => format!("<br>aliases: {}", aliases.join(", ")),
        };
        format!("{}[{}<br/><{}>{aliases}]", &name[..6], node.written, node.priority)
    }
}
