//! Stopping and removing a compose project by the labels that compose gave its parts.
//!
//! Not through compose: it would look for compose files in the folder where it runs and take what it finds
//! for the project's. The project's own may have changed or be gone, and that must not keep it running.

use std::time::Duration;

use bollard::query_parameters::{ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptions};
use futures::future::try_join_all;

use super::{PROJECT_LABEL, SERVICE_LABEL};
use crate::connect::Engine;
use crate::containers::ContainerSummary;
use crate::error::{EngineError, absent_is_none};
use crate::images::filters;

/// What a service waits for: `db:service_started:false,cache:…`.
const DEPENDS_ON_LABEL: &str = "com.docker.compose.depends_on";

impl Engine {
    /// Stops the project's containers, each before those that it depends on, and kills what does not stop
    /// within `grace`. Needs only the project's name.
    pub async fn compose_stop(&self, project: &str, grace: Duration) -> Result<(), EngineError> {
        let containers = self.find_containers(&[format!("{PROJECT_LABEL}={project}")]).await?;
        for round in stop_order(containers.into_iter().filter(|container| container.running).collect()) {
            try_join_all(round.iter().map(|container| self.stop_container(&container.id, grace))).await?;
        }
        Ok(())
    }

    /// Removes the project's containers and networks, with `volumes` also its volumes. Needs only the
    /// project's name. What is gone already is fine.
    pub async fn compose_down(&self, project: &str, volumes: bool) -> Result<(), EngineError> {
        let operation = format!("remove the compose project `{project}`");
        let label = format!("{PROJECT_LABEL}={project}");
        let of_project = filters(&[("label", vec![label.clone()])]);
        let containers = self.find_containers(&[label]).await?;
        try_join_all(containers.iter().map(|container| self.remove_container(&container.id))).await?;

        let api = self.api(&operation)?;
        let failed = |error| self.failed(&operation, error);
        let wanted = ListNetworksOptionsBuilder::new().filters(&of_project).build();
        for network in api.list_networks(Some(wanted)).await.map_err(failed)? {
            let id = network.id.unwrap_or_default();
            absent_is_none(api.remove_network(&id).await.map_err(failed))?;
        }
        if volumes {
            let wanted = ListVolumesOptionsBuilder::new().filters(&of_project).build();
            let found = api.list_volumes(Some(wanted)).await.map_err(failed)?;
            for volume in found.volumes.unwrap_or_default() {
                let removed = api.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await;
                absent_is_none(removed.map_err(failed))?;
            }
        }
        Ok(())
    }
}

/// Sorts containers into rounds: whoever nobody depends on any more stops next. In a circle all stop at once.
fn stop_order(mut left: Vec<ContainerSummary>) -> Vec<Vec<ContainerSummary>> {
    let mut rounds = Vec::new();
    while !left.is_empty() {
        let (needed, free): (Vec<_>, Vec<_>) = left.iter().cloned().partition(|container| {
            let service = container.labels.get(SERVICE_LABEL);
            service.is_some_and(|service| left.iter().any(|other| depends_on(other, service)))
        });
        left = if free.is_empty() { Vec::new() } else { needed.clone() };
        rounds.push(if free.is_empty() { needed } else { free });
    }
    rounds
}

fn depends_on(container: &ContainerSummary, service: &str) -> bool {
    needs(container).any(|need| need == service)
}

/// The services that the service of a container depends on.
pub(super) fn needs(container: &ContainerSummary) -> impl Iterator<Item = &str> {
    let needs = container.labels.get(DEPENDS_ON_LABEL).map_or("", String::as_str);
    needs.split(',').filter_map(|need| need.split(':').next()).filter(|need| !need.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(services: &[(&str, &str)]) -> Vec<Vec<String>> {
        let container = |(service, needs): &(&str, &str)| ContainerSummary {
            id: String::new(),
            name: (*service).to_owned(),
            image: String::new(),
            running: true,
            removing: false,
            created: 0,
            labels: [(SERVICE_LABEL, *service), (DEPENDS_ON_LABEL, *needs)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ports: Vec::new(),
        };
        let rounds = stop_order(services.iter().map(container).collect());
        rounds.into_iter().map(|round| round.into_iter().map(|container| container.name).collect()).collect()
    }

    #[test]
    fn dependents_stop_first() {
        let services =
            [("db", ""), ("api", "db:service_healthy:true"), ("app", "api:x:y,db:x:y"), ("mail", "")];
        assert_eq!(order(&services), [vec!["app", "mail"], vec!["api"], vec!["db"]]);
        assert_eq!(order(&[("a", "b:x"), ("b", "a:x")]), [vec!["a", "b"]]);
    }
}
