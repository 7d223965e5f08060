//! Finds every feature that a configuration comes to, one answer at a time: the resolver says what it has
//! to know, the caller fetches it.

use super::error::{FeatureError, FeatureMistake, FeatureProblem, FeatureWarning, Place, WarningKind};
use super::graph::{Graph, GraphNode, Rank};
use super::legacy::{self, LegacyIds};
use super::lockfile::Lockfile;
use super::metadata::FeatureMetadata;
use super::node::{Candidate, Node};
use super::options;
use super::order::order;
use super::places::Places;
use super::reference::{FeatureReference, Folders, OciVersion};
use super::wanted::{Fetched, Key, Wanted};
use crate::config::{Config, Properties};
use camino::Utf8PathBuf;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Far more than anyone installs; a chain of dependencies that somebody else controls has to end.
const MAX_FEATURES: usize = 256;

/// What to resolve.
#[derive(Debug, Clone, Copy, Default)]
pub struct FeatureRequest<'a> {
    /// The configuration, with its features and their order.
    pub config: Option<&'a Config>,
    /// The configuration's text, so that messages can say where something stands.
    pub text: Option<&'a [u8]>,
    /// More features, as a command line gives them. Those that the configuration has as well count as its own.
    pub additional: Option<&'a Map<String, Value>>,
    /// What was installed last time.
    pub lockfile: Option<&'a Lockfile>,
    /// What names without a registry mean.
    pub legacy_ids: LegacyIds,
}

/// Why a feature is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The configuration asks for it.
    Config,
    /// Only the command line asks for it.
    Additional,
    /// Another feature needs it.
    Dependency,
}

/// One feature to install.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedFeature {
    /// The feature as written in the configuration or in another feature.
    pub written: String,
    /// Where it comes from.
    pub reference: FeatureReference,
    /// Why it is installed.
    pub origin: Origin,
    /// What stands beside it, as written.
    pub value: Value,
    /// The options with which it is installed, by name; defaults included.
    pub options: BTreeMap<String, String>,
    /// What it says about itself.
    pub metadata: FeatureMetadata,
    /// See [`Fetched::digest`].
    pub digest: String,
    /// Where it can be had again: `registry/path@sha256:…`, or the tarball's address.
    pub resolved: String,
}

impl ResolvedFeature {
    /// What the feature adds to the metadata of an image, under the name by which it was asked for.
    pub fn properties(&self) -> Properties {
        Properties { id: Some(self.written.clone()), ..self.metadata.properties.clone() }
    }
}

/// Everything to install.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolution {
    /// In the order of installation.
    pub features: Vec<ResolvedFeature>,
    /// What a person should know.
    pub warnings: Vec<FeatureWarning>,
}

/// The walk through features and what they depend on; see the [module](super).
#[derive(Debug, Clone)]
pub struct Resolver {
    config_file: Option<Utf8PathBuf>,
    workspace: Utf8PathBuf,
    places: Places,
    lockfile: Lockfile,
    legacy_ids: LegacyIds,
    /// From the most to the least urgent.
    overrides: Vec<(String, FeatureReference)>,
    queue: VecDeque<Candidate>,
    nodes: Vec<Node>,
    fetched: BTreeMap<Key, Fetched>,
    warnings: Vec<FeatureWarning>,
}

impl Resolver {
    /// Reads what is asked for. Everything that is wrong with it is told at once.
    pub fn new(request: &FeatureRequest<'_>) -> Result<Self, FeatureError> {
        let config = request.config;
        let mut resolver = Self {
            config_file: config.and_then(|config| config.file.clone()),
            workspace: config.map(|config| config.workspace.clone()).unwrap_or_default(),
            places: request.text.map(Places::of).unwrap_or_default(),
            lockfile: request.lockfile.cloned().unwrap_or_default(),
            legacy_ids: request.legacy_ids,
            overrides: Vec::new(),
            queue: VecDeque::new(),
            nodes: Vec::new(),
            fetched: BTreeMap::new(),
            warnings: Vec::new(),
        };
        let mut mistakes = Vec::new();
        let own = config.map(|config| &config.features);
        for (written, value) in resolver.asked(request) {
            let only_more = request.additional.is_some_and(|more| more.contains_key(&written))
                && own.is_none_or(|own| !own.contains_key(&written));
            let origin = if only_more { Origin::Additional } else { Origin::Config };
            let property = resolver.place(&["features", &written]);
            match resolver.candidate(&written, value, origin, &property) {
                Ok(candidate) => resolver.queue.push_back(candidate),
                Err(wrong) => mistakes.extend(wrong),
            }
        }
        for (index, written) in
            config.iter().flat_map(|config| &config.override_feature_install_order).enumerate()
        {
            match resolver.parse(written) {
                Ok(reference) => resolver.overrides.push((written.clone(), reference)),
                Err(problem) => mistakes.push(FeatureMistake {
                    place: resolver.place(&["overrideFeatureInstallOrder", &index.to_string()]),
                    problem: problem.into(),
                }),
            }
        }
        if mistakes.is_empty() { Ok(resolver) } else { Err(FeatureError::Invalid(mistakes)) }
    }

    /// The features asked for; those that became an option of another are replaced.
    fn asked(&mut self, request: &FeatureRequest<'_>) -> Vec<(String, Value)> {
        let own = request.config.map(|config| &config.features);
        let more = request.additional.into_iter().flatten();
        let more = more.filter(|(written, _)| own.is_none_or(|own| !own.contains_key(*written)));
        let mut asked: Vec<(String, Value)> = own
            .into_iter()
            .flatten()
            .chain(more)
            .map(|(written, value)| (written.clone(), value.clone()))
            .collect();
        if self.legacy_ids == LegacyIds::Mapped {
            for (written, successor) in legacy::absorb(&mut asked) {
                let place = self.place(&["features", &written]);
                let kind = WarningKind::LegacyReference { written, successor };
                self.warnings.push(FeatureWarning { place, kind });
            }
        }
        asked
    }

    /// What has to be fetched now. Empty once everything is known.
    pub fn missing(&self) -> Vec<Wanted> {
        let mut missing: Vec<Wanted> = Vec::new();
        for candidate in &self.queue {
            let wanted = &candidate.wanted;
            let known = self.fetched.contains_key(&wanted.key());
            if !known && !missing.iter().any(|other| other.key() == wanted.key()) {
                missing.push(wanted.clone());
            }
        }
        missing
    }

    /// Where the configuration asks for something that is missing; `None` where another feature or the command line does.
    pub fn place_of(&self, wanted: &Wanted) -> Option<Place> {
        let mut asking = self.queue.iter().filter(|candidate| candidate.wanted.key() == wanted.key());
        let own = asking.find(|candidate| candidate.origin == Origin::Config)?;
        Some(self.place(&["features", &own.wanted.written]))
    }

    /// Takes in what was fetched. Fails when it is not what was pinned, or names dependencies that cannot be.
    pub fn provide(&mut self, wanted: &Wanted, fetched: Fetched) -> Result<(), FeatureError> {
        let by_digest = match &wanted.reference {
            FeatureReference::Oci(feature) => match &feature.version {
                OciVersion::Digest(digest) => Some(digest),
                OciVersion::Tag(_) => None,
            },
            _ => None,
        };
        let checks = [(by_digest, false), (wanted.pin.as_ref(), true)];
        for (expected, locked) in checks.into_iter().filter_map(|(digest, locked)| Some((digest?, locked))) {
            if *expected != fetched.digest {
                let (written, expected) = (wanted.written.clone(), expected.clone());
                return Err(FeatureError::Integrity { written, expected, found: fetched.digest, locked });
            }
        }
        self.fetched.insert(wanted.key(), fetched);
        // In the order in which features were named, whatever the order of the answers.
        while let Some(next) = self.queue.front() {
            let Some(fetched) = self.fetched.get(&next.wanted.key()).cloned() else { break };
            if let Some(candidate) = self.queue.pop_front() {
                self.accept(candidate, fetched)?;
            }
        }
        Ok(())
    }

    fn accept(&mut self, candidate: Candidate, fetched: Fetched) -> Result<(), FeatureError> {
        if self.nodes.iter().any(|node| node.is(&candidate, &fetched.digest)) {
            return Ok(());
        }
        let written = candidate.wanted.written.clone();
        if self.nodes.len() == MAX_FEATURES {
            return Err(FeatureError::TooMany { limit: MAX_FEATURES, written });
        }
        let Fetched { metadata, digest } = fetched;
        self.warn_about(&candidate, &metadata);
        let within = |property: String| Place { file: written.clone(), position: None, property };
        let (mut depends_on, mut mistakes) = (Vec::new(), Vec::new());
        for (name, value) in &metadata.depends_on {
            let place = within(format!("dependsOn.{name}"));
            match self.candidate(name, value.clone(), Origin::Dependency, &place) {
                Ok(dependency) => depends_on.push(dependency),
                Err(wrong) => mistakes.extend(wrong),
            }
        }
        if !mistakes.is_empty() {
            return Err(FeatureError::Invalid(mistakes));
        }
        let mut installs_after = Vec::new();
        for (index, name) in metadata.installs_after.iter().enumerate() {
            match self.parse(name) {
                Ok(reference) => installs_after.push(reference),
                Err(error) => self.warnings.push(FeatureWarning {
                    place: within(format!("installsAfter[{index}]")),
                    kind: WarningKind::UnusableOrder(error),
                }),
            }
        }
        self.queue.extend(depends_on.iter().cloned());
        let waiting: BTreeSet<Key> = self.queue.iter().map(|candidate| candidate.wanted.key()).collect();
        if waiting.len() > MAX_FEATURES {
            return Err(FeatureError::TooMany { limit: MAX_FEATURES, written });
        }
        self.nodes.push(Node { candidate, digest, metadata, depends_on, installs_after });
        Ok(())
    }

    fn warn_about(&mut self, candidate: &Candidate, metadata: &FeatureMetadata) {
        let Candidate { wanted, given, value, origin } = candidate;
        if *origin == Origin::Dependency {
            return; // Its author is to be told, not whoever uses it.
        }
        let mut kinds = Vec::new();
        let id = wanted.reference.id();
        if metadata.deprecated {
            kinds.push(WarningKind::Deprecated { id: id.to_owned() });
        }
        if let FeatureReference::Oci(feature) = &wanted.reference
            && metadata.legacy_ids.iter().any(|old| old.eq_ignore_ascii_case(id))
            && let Some(current) = metadata.ids().next().filter(|current| !current.eq_ignore_ascii_case(id))
        {
            let current = format!("{}/{}/{current}", feature.registry, feature.namespace());
            kinds.push(WarningKind::Renamed { current });
        }
        for kind in kinds {
            let place = self.place(&["features", &wanted.written]);
            self.warnings.push(FeatureWarning { place, kind });
        }
        for (option, kind) in options::doubts(given, value, metadata) {
            let mut place = self.place(&["features", &wanted.written, &option]);
            if let (WarningKind::UnknownOption { .. }, Some(position)) =
                (&kind, self.places.key(&["features", &wanted.written, &option]))
            {
                place.position = Some(position);
            }
            self.warnings.push(FeatureWarning { place, kind });
        }
    }

    /// What waits for what, once nothing is missing.
    pub fn graph(&self) -> Result<Graph, FeatureError> {
        if let Some(next) = self.queue.front() {
            return Err(FeatureError::NotFetched { written: next.wanted.written.clone() });
        }
        let nodes = self.nodes.iter().map(|node| self.graph_node(node)).collect();
        Ok(Graph { nodes })
    }

    fn graph_node(&self, node: &Node) -> GraphNode {
        let meant = |reference: &FeatureReference| -> Vec<usize> {
            (0..self.nodes.len()).filter(|&index| self.nodes[index].is_called(reference)).collect()
        };
        let installed_as = |dependency: &Candidate| {
            let digest = &self.fetched.get(&dependency.wanted.key())?.digest;
            self.nodes.iter().position(|node| node.is(dependency, digest))
        };
        let overriding = self.overrides.iter().position(|(_, reference)| node.is_called(reference));
        let Candidate { wanted, origin, given, .. } = &node.candidate;
        GraphNode {
            written: wanted.written.clone(),
            asked: *origin != Origin::Dependency,
            depends_on: node.depends_on.iter().filter_map(installed_as).collect(),
            installs_after: node
                .installs_after
                .iter()
                .map(meant)
                .filter(|indices| !indices.is_empty())
                .collect(),
            priority: overriding.map_or(0, |index| self.overrides.len() - index),
            aliases: node.metadata.ids().map(str::to_owned).collect(),
            rank: Rank::of(&wanted.reference, &node.metadata, given, &node.digest),
        }
    }

    /// Everything to install, in the order of installation.
    pub fn finish(mut self) -> Result<Resolution, FeatureError> {
        let graph = self.graph()?;
        let order = order(&graph).map_err(FeatureError::Cycle)?;
        for (index, (written, reference)) in self.overrides.iter().enumerate() {
            if !self.nodes.iter().any(|node| node.is_called(reference)) {
                let place = self.place(&["overrideFeatureInstallOrder", &index.to_string()]);
                let kind = WarningKind::UnusedOverride { written: written.clone() };
                self.warnings.push(FeatureWarning { place, kind });
            }
        }
        let features = order.into_iter().map(|index| self.nodes[index].resolved()).collect();
        Ok(Resolution { features, warnings: self.warnings })
    }

    fn candidate(
        &mut self,
        written: &str,
        value: Value,
        origin: Origin,
        place: &Place,
    ) -> Result<Candidate, Vec<FeatureMistake>> {
        let reference = self.parse(written);
        let given = options::given(&value);
        let mut mistakes = Vec::new();
        if let Err(error) = &reference {
            let problem = FeatureProblem::Reference(error.clone());
            mistakes.push(FeatureMistake { place: place.clone(), problem });
        }
        for (option, problem) in given.as_ref().err().into_iter().flatten() {
            let place = match option {
                Some(option) => Place {
                    position: self.places.value(&["features", written, option]).or(place.position),
                    property: format!("{}.{option}", place.property),
                    ..place.clone()
                },
                None => place.clone(),
            };
            mistakes.push(FeatureMistake { place, problem: problem.clone() });
        }
        let (Ok(reference), Ok(given)) = (reference, given) else { return Err(mistakes) };
        if let (LegacyIds::Mapped, Some(successor)) = (self.legacy_ids, legacy::successor(written)) {
            let kind = WarningKind::LegacyReference { written: written.to_owned(), successor };
            self.warnings.push(FeatureWarning { place: place.clone(), kind });
        }
        let pin = self.lockfile.get(written).map(|locked| locked.integrity.clone());
        let wanted = Wanted { written: written.to_owned(), reference, pin };
        Ok(Candidate { wanted, origin, value, given })
    }

    fn parse(&self, written: &str) -> Result<FeatureReference, super::ReferenceError> {
        let config = self.config_file.as_deref().and_then(|file| file.parent());
        let folders = config.map(|config| Folders { config, workspace: &self.workspace });
        FeatureReference::parse(written, folders, self.legacy_ids)
    }

    /// Where something stands in the configuration.
    fn place(&self, path: &[&str]) -> Place {
        let position = self
            .places
            .value(path)
            .filter(|_| path.len() > 2)
            .or_else(|| self.places.key(path).or_else(|| self.places.value(path)));
        let property = match path {
            [list, index] if index.bytes().all(|byte| byte.is_ascii_digit()) => format!("{list}[{index}]"),
            path => path.join("."),
        };
        let file = self.config_file.as_ref().map(ToString::to_string).unwrap_or_default();
        Place { file, position, property }
    }
}

#[cfg(test)]
mod tests;
