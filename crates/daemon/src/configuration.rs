//! Reading an environment's configuration, and what of it counts: without what nobody agreed to.

use std::sync::Arc;

use api::{Consent, Environment, Problem, Source};
use camino::Utf8Path;
use devcontainer::feature::{FeatureRequest, Resolver};
use devcontainer::{Config, Located, Mounting, ReadOptions, Resolved, Sources};
use engine::ContainerState;
use provision::container;
use reconciler::Trust;

use crate::clone;
use crate::cloud;
use crate::consent::{self, Judge, Withheld};
use crate::limits;
use crate::problems;
use crate::properties::{digest_of, properties_of};
use crate::reconcile::Parts;
use crate::sources::Person;
use crate::worktree;

/// The image of environments without a configuration; it comes with the guest image.
pub(crate) const DEFAULT_IMAGE: &str = "cove/base:trixie";

/// How many entries of a container's metadata label are the image's and the features'. What follows is the
/// configuration's own, as it was when the container was made.
pub(crate) const BASE_ENTRIES_LABEL: &str = "dev.cove.metadata";

/// What marks a container that another tool made, in what is told of it; the container itself has no such label.
pub(crate) const ADOPTED_LABEL: &str = "dev.cove.adopted";

/// A configuration as it was read for one wish.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// The generation of the spec it was read for.
    pub(crate) generation: u64,
    /// The configuration, without mounts that nobody agreed to. Its digest is of what is left.
    pub(crate) config: Arc<Config>,
    /// All of it, by property.
    pub(crate) properties: Arc<reconciler::Properties>,
    /// Its `initializeCommand`, and whether that may run.
    pub(crate) initialize: Option<(Consent, Trust)>,
    /// Whether it runs in a sandbox, if it may run.
    pub(crate) is_sandboxed: bool,
    /// The mounts that were taken out.
    pub(crate) withheld: Withheld,
    /// Whether it is the copy of a clone's configuration as it was when the machine was off: what was edited in the
    /// container since is not in it.
    pub(crate) is_older_copy: bool,
    /// What a person should know of a cloud that keeps files of the folder.
    pub(crate) in_cloud: Option<Problem>,
}

/// Reads the configuration of an environment from the disk.
///
/// # Errors
/// The folder is gone or not shared, or the configuration has mistakes.
pub(crate) fn read(parts: &Parts, environment: &Environment) -> Result<Reading, Problem> {
    let folder = environment.spec.source.folder();
    let is_here = environment.spec.source.is_here();
    if is_here && !folder.is_dir() {
        return Err(problems::folder_missing(folder));
    }
    if is_here && parts.machine.shared_root_of(folder).is_none() {
        return Err(problems::folder_not_shared(folder));
    }
    let variables = parts.store.variables(&environment.id)?;
    let reading = read_with(parts, environment, Person::new(&variables))?;
    judge_sources(parts, &reading.config)?;
    Ok(reading)
}

/// Refuses mounts of what the machine cannot see, before anything is built or removed for them.
///
/// # Errors
/// A file or folder that is there and not shared.
pub(crate) fn judge_sources(parts: &Parts, config: &Config) -> Result<(), Problem> {
    let sources = consent::bind_sources(config);
    match sources.iter().find(|source| parts.machine.cannot_see(Utf8Path::new(source))) {
        Some(source) => Err(problems::mount_not_shared(Utf8Path::new(source))),
        None => Ok(()),
    }
}

/// Reads the configuration of an environment with other variables than were given for it.
///
/// # Errors
/// There is none where one was asked for, or it has mistakes.
pub(crate) fn read_with(
    parts: &Parts,
    environment: &Environment,
    sources: Person<'_>,
) -> Result<Reading, Problem> {
    let config = environment.spec.config.as_deref();
    let in_cloud = cloud::judge(environment.spec.source.folder(), config)?;
    let mut config = plain(&sources, &environment.spec.source, config)?;
    clone::mount_volume(&mut config, environment)?;
    worktree::mount_common(&mut config, environment)?;
    judge_features(&sources, &config)?;
    let judge = parts.judge(environment);
    let initialize = consent::of_initialize(&config).map(|consent| {
        let trust = judge.trust(&consent);
        (consent, trust)
    });
    let is_sandboxed = initialize.as_ref().is_some_and(|(consent, _)| judge.is_sandboxed(consent));
    let withheld = consent::withhold(&mut config, &judge);
    let properties = properties_of(&config, &sources);
    config.digest = digest_of(&properties);
    Ok(Reading {
        generation: environment.metadata.generation,
        config: Arc::new(config),
        properties: Arc::new(properties),
        initialize,
        is_sandboxed,
        withheld,
        is_older_copy: !environment.spec.source.is_here() && !parts.machine.state().is_ready(),
        in_cloud,
    })
}

fn plain(sources: &dyn Sources, source: &Source, config: Option<&Utf8Path>) -> Result<Config, Problem> {
    let folder = source.folder();
    let located: Located =
        devcontainer::locate(sources, folder, config).map_err(|error| problems::from_locate(&error))?;
    let file = match &located {
        Located::ConfigFile(file) => Some(file.as_path()),
        Located::None => None,
    };
    let options = ReadOptions {
        workspace: Some(folder),
        file,
        text_from: None,
        default_image: DEFAULT_IMAGE,
        must_be_complete: true,
        // What is around the copy of a clone's configuration is none of its repository.
        mounting: Mounting { git_root: source.is_here(), ..Mounting::default() },
        id_labels: None,
    };
    devcontainer::read_with(sources, &options).map_err(|error| problems::from_read(&error))
}

/// Refuses what is wrong with the names and options of features, long before one is fetched.
fn judge_features(sources: &dyn Sources, config: &Config) -> Result<(), Problem> {
    if config.features.is_empty() {
        return Ok(());
    }
    let text = config.file.as_deref().and_then(|file| sources.read(file).ok().flatten());
    let request = FeatureRequest { config: Some(config), text: text.as_deref(), ..FeatureRequest::default() };
    Resolver::new(&request).map(drop).map_err(|error| problems::from_feature(&error))
}

/// What holds for a container that exists, or, with what its image and features say, for one that is to be made.
///
/// The configuration counts as it is now, also for hooks, and not as it stands in the container's label.
pub(crate) fn resolve(config: &Config, state: Option<&ContainerState>) -> Resolved {
    let Some(state) = state else { return devcontainer::merge(&[], config) };
    let mut entries = container::metadata(&state.labels);
    if state.labels.contains_key(ADOPTED_LABEL) {
        return container::resolve(&entries, config, true);
    }
    // One that an earlier version made has no label of its own, only that of its image.
    if let Some(base) = state.labels.get(BASE_ENTRIES_LABEL).and_then(|count| count.parse().ok()) {
        entries.truncate(base);
    }
    devcontainer::merge(&entries, config)
}

impl Parts {
    /// Who decides what of an environment's configuration needs consent.
    pub(crate) fn judge<'a>(&self, environment: &'a Environment) -> Judge<'a> {
        let limits = crate::sync::limits_of(&self.store, &environment.id);
        Judge { policy: limits::consent(self.policy, &limits), agreed: &environment.spec.consents }
    }
}
