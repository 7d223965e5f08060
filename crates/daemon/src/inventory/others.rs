//! Volumes and networks.

use std::collections::BTreeMap;

use api::{DockerNetwork, DockerVolume, Problem, ProblemCode};
use engine::{ContainerRow, NetworkRecord, VolumeRecord};

use super::owners::{self, Owners, Wanted};
use super::{Inventory, PROJECT_LABEL, absent, is_called, time, told};

/// The engine's label on a volume that it made for one container.
const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

/// Networks that the engine has from the beginning.
const BUILTIN: [&str; 3] = ["bridge", "host", "none"];

impl Inventory {
    /// All volumes by name. `sizes` takes a while.
    ///
    /// # Errors
    /// The machine is off.
    pub async fn volumes(&self, sizes: bool) -> Result<Vec<DockerVolume>, Problem> {
        let engine = self.engine()?;
        let (containers, owners) = self.containers_and_owners(&engine, false).await?;
        let rows = engine.volume_records().await.map_err(|error| told(&error))?;
        let sizes =
            if sizes { engine.disk_usage().await.map_err(|error| told(&error))?.1 } else { BTreeMap::new() };
        let mut all: Vec<_> = rows
            .into_iter()
            .map(|row| {
                let size = sizes.get(&row.name).copied();
                DockerVolume { size, ..volume(row, &containers, &owners) }
            })
            .collect();
        all.sort_by(|one, other| one.anonymous.cmp(&other.anonymous).then_with(|| one.name.cmp(&other.name)));
        Ok(all)
    }

    /// Removes a volume that no container has.
    ///
    /// # Errors
    /// A clone is in it, a container has it, or it is not there.
    pub async fn remove_volume(&self, name: &str) -> Result<(), Problem> {
        let engine = self.engine()?;
        let all = self.volumes(false).await?;
        let found = all.iter().find(|it| it.name == name).ok_or_else(|| absent("volume", name))?;
        owners::check(&format!("the volume `{name}`"), found.owner.as_ref(), Wanted::Remove)?;
        if !found.used_by.is_empty() {
            let title = format!("the volume `{name}` is in use by {}", listed(&found.used_by));
            let problem = Problem::new(ProblemCode::DockerInUse, title);
            return Err(problem.with_hint("remove those containers first, if nobody needs them"));
        }
        engine.delete_volume(name).await.map_err(|error| told(&error))
    }

    /// All networks: the engine's own last, else by name.
    ///
    /// # Errors
    /// The machine is off.
    pub async fn networks(&self) -> Result<Vec<DockerNetwork>, Problem> {
        let engine = self.engine()?;
        let (containers, owners) = self.containers_and_owners(&engine, false).await?;
        let rows = engine.network_records().await.map_err(|error| told(&error))?;
        let mut all: Vec<_> = rows.iter().map(|row| network(row, &containers, &owners)).collect();
        all.sort_by(|one, other| one.builtin.cmp(&other.builtin).then_with(|| one.name.cmp(&other.name)));
        Ok(all)
    }

    /// Removes a network.
    ///
    /// # Errors
    /// The engine or an environment has it, or a container is in it, though it may be stopped.
    pub async fn remove_network(&self, name: &str) -> Result<(), Problem> {
        let engine = self.engine()?;
        let all = self.networks().await?;
        let found = all.iter().find(|it| is_called(name, &it.id, [it.name.as_str()]));
        let found = found.ok_or_else(|| absent("network", name))?;
        let what = format!("the network `{}`", found.name);
        owners::check(&what, found.owner.as_ref(), Wanted::Remove)?;
        if found.builtin {
            let title = format!("{what} is the engine's own and cannot be removed");
            return Err(Problem::new(ProblemCode::DockerInUse, title));
        }
        if !found.used_by.is_empty() {
            // The engine would do it for those that are stopped, and they could never be started again.
            let title = format!("{what} is in use by {}", listed(&found.used_by));
            let problem = Problem::new(ProblemCode::DockerInUse, title);
            return Err(problem.with_hint("remove those containers first, or take them out of the network"));
        }
        engine.delete_network(&found.id).await.map_err(|error| told(&error))
    }
}

/// The first few names.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(3).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(3) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

pub(super) fn volume(row: VolumeRecord, containers: &[ContainerRow], owners: &Owners) -> DockerVolume {
    let has = |it: &&ContainerRow| it.volumes.contains(&row.name);
    DockerVolume {
        used_by: containers.iter().filter(has).map(|it| it.name.clone()).collect(),
        anonymous: row.labels.contains_key(ANONYMOUS_LABEL),
        project: row.labels.get(PROJECT_LABEL).cloned(),
        owner: owners.of_volume(&row.labels),
        created: time(&row.created_at),
        size: None,
        name: row.name,
        driver: row.driver,
    }
}

pub(super) fn network(row: &NetworkRecord, containers: &[ContainerRow], owners: &Owners) -> DockerNetwork {
    let said = row.inspect["Labels"].as_object();
    let labels: BTreeMap<_, _> = said
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    let ranges = row.inspect["IPAM"]["Config"].as_array();
    let subnets = ranges.into_iter().flatten().filter_map(|it| it["Subnet"].as_str());
    DockerNetwork {
        id: row.id.clone(),
        name: row.name.clone(),
        driver: row.driver.clone(),
        subnets: subnets.map(str::to_owned).collect(),
        internal: row.inspect["Internal"] == true,
        builtin: BUILTIN.contains(&row.name.as_str()),
        used_by: containers
            .iter()
            .filter(|it| it.networks.contains(&row.name))
            .map(|it| it.name.clone())
            .collect(),
        project: labels.get(PROJECT_LABEL).cloned(),
        owner: owners.of_network(&labels),
    }
}
