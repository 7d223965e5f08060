//! Which of all that the engine has belongs to an environment.
//!
//! By labels, as everything of Cove's is known; a container of compose also by the project that an environment's own
//! container is in.

use std::collections::{BTreeMap, BTreeSet};

use api::{DockerOwner, Environment, EnvironmentId, Problem, ProblemCode};
use engine::{ContainerRow, ImageRow};

use super::PROJECT_LABEL;
use crate::observe::ENVIRONMENT_LABEL;
use crate::prebuild;

/// Environments and what is theirs.
pub(super) struct Owners {
    /// Their names, by id.
    names: BTreeMap<String, String>,
    /// Those that have a container.
    with_container: BTreeSet<String>,
    /// Environments by the compose project that their container is in.
    projects: BTreeMap<String, String>,
}

/// What somebody wants of a thing that an environment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Start,
    Stop,
    Restart,
    Remove,
}

impl Owners {
    pub(super) fn of(environments: &[Environment], containers: &[ContainerRow]) -> Self {
        let names: BTreeMap<_, _> =
            environments.iter().map(|it| (it.id.to_string(), it.metadata.name.to_string())).collect();
        let mut owners = Self { names, with_container: BTreeSet::new(), projects: BTreeMap::new() };
        for container in containers {
            let Some(environment) = container.labels.get(ENVIRONMENT_LABEL) else { continue };
            owners.with_container.insert(environment.clone());
            if let Some(project) = container.labels.get(PROJECT_LABEL) {
                owners.projects.insert(project.clone(), environment.clone());
            }
        }
        owners
    }

    /// Of a container: Cove looks after all of an environment's.
    pub(super) fn of_container(&self, labels: &BTreeMap<String, String>) -> Option<DockerOwner> {
        Some(self.owner(self.environment(labels)?, true))
    }

    /// Of a volume: a clone is Cove's, the volumes that a compose file declares are the person's.
    pub(super) fn of_volume(&self, labels: &BTreeMap<String, String>) -> Option<DockerOwner> {
        Some(self.owner(self.environment(labels)?, labels.contains_key(ENVIRONMENT_LABEL)))
    }

    /// Of a network, which compose makes anew.
    pub(super) fn of_network(&self, labels: &BTreeMap<String, String>) -> Option<DockerOwner> {
        Some(self.owner(self.environment(labels)?, true))
    }

    /// Of an image: kept is what its environment works with, or will. What an earlier build of it left is not.
    pub(super) fn of_image(&self, image: &ImageRow, is_used: bool) -> Option<DockerOwner> {
        let environment = image.labels.get(ENVIRONMENT_LABEL).filter(|id| !id.is_empty())?;
        Some(self.owner(environment, is_used || !self.with_container.contains(environment)))
    }

    fn environment<'a>(&'a self, labels: &'a BTreeMap<String, String>) -> Option<&'a str> {
        let labelled = labels.get(ENVIRONMENT_LABEL).filter(|id| !id.is_empty());
        labelled.or_else(|| self.projects.get(labels.get(PROJECT_LABEL)?)).map(String::as_str)
    }

    fn owner(&self, environment: &str, kept: bool) -> DockerOwner {
        let name = self.names.get(environment).cloned();
        let kept = kept && name.is_some();
        DockerOwner { environment: EnvironmentId(environment.to_owned()), name, kept }
    }
}

/// Whether an image is a prebuild.
pub(super) fn is_prebuild(labels: &BTreeMap<String, String>) -> bool {
    labels.contains_key(prebuild::INPUTS_LABEL)
}

/// Refuses to touch what Cove looks after, with the command that does it.
pub(super) fn check(what: &str, owner: Option<&DockerOwner>, wanted: Wanted) -> Result<(), Problem> {
    let Some(name) = owner.filter(|owner| owner.kept).and_then(|owner| owner.name.as_ref()) else {
        return Ok(());
    };
    let title = format!("{what} belongs to the environment `{name}`, which Cove looks after");
    let problem = Problem::new(ProblemCode::OwnedByEnvironment, title);
    Err(match wanted {
        Wanted::Start => problem.with_command("start the environment", format!("cove start {name}")),
        Wanted::Stop => problem.with_command("stop the environment", format!("cove stop {name}")),
        Wanted::Restart => {
            problem.with_command("restart the environment", format!("cove stop {name} && cove start {name}"))
        }
        Wanted::Remove => problem.with_command("remove the environment", format!("cove rm {name}")),
    })
}
