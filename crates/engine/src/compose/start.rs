//! Making a project's containers and starting them, as two steps. In between they can be looked at: a container that is
//! made has mounted nothing yet.

use std::collections::BTreeSet;

use super::teardown::needs;
use super::{ComposeError, ONE_OFF_LABEL, PROJECT_LABEL, SERVICE_LABEL};
use crate::connect::Engine;
use crate::containers::ContainerSummary;
use crate::error::EngineError;
use crate::progress::Progress;

/// The containers of some services of a project and of what these depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComposeContainers {
    /// Those that there are, running or not.
    pub found: Vec<ContainerSummary>,
    /// Services without any.
    pub missing: BTreeSet<String>,
}

impl ComposeContainers {
    /// The services of the containers that there are.
    pub fn services(&self) -> BTreeSet<String> {
        self.found.iter().filter_map(|container| container.labels.get(SERVICE_LABEL).cloned()).collect()
    }
}

impl Engine {
    /// Starts containers of a project that do not run, in the order in which they need each other. It reads no files:
    /// nothing is made, and nothing but the containers of these services is started if they have all that they need.
    pub async fn compose_start(
        &self,
        project: &str,
        services: &BTreeSet<String>,
        progress: &dyn Progress,
    ) -> Result<(), ComposeError> {
        let mut command = self.compose_program().await?.command();
        command.argv.extend(["--project-name".to_owned(), project.to_owned(), "start".to_owned()]);
        command.argv.extend(services.iter().cloned());
        // Not a folder with compose files in it.
        command.cwd = Some("/".into());
        self.compose_run("start the services", command, Some(("compose start", progress))).await
    }

    /// The containers of these services, and of all that their containers say that they need.
    pub async fn compose_needed(
        &self,
        project: &str,
        services: &[String],
    ) -> Result<ComposeContainers, EngineError> {
        let labels = [format!("{PROJECT_LABEL}={project}"), format!("{ONE_OFF_LABEL}=False")];
        Ok(needed(self.find_containers(&labels).await?, services))
    }
}

fn needed(all: Vec<ContainerSummary>, services: &[String]) -> ComposeContainers {
    let of = |container: &ContainerSummary, service: &str| {
        container.labels.get(SERVICE_LABEL).is_some_and(|own| own == service)
    };
    let (mut seen, mut waiting) = (BTreeSet::new(), services.to_vec());
    while let Some(service) = waiting.pop() {
        if seen.contains(&service) {
            continue;
        }
        let containers = all.iter().filter(|container| of(container, &service));
        waiting.extend(containers.flat_map(needs).map(str::to_owned));
        seen.insert(service);
    }
    let is_of = |container: &ContainerSummary| seen.iter().any(|service| of(container, service));
    let mut found: Vec<_> = all.iter().filter(|container| is_of(container)).cloned().collect();
    found.retain(|container| !container.removing);
    let missing = seen.iter().filter(|service| !found.iter().any(|container| of(container, service)));
    ComposeContainers { missing: missing.cloned().collect(), found }
}
