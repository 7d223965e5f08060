//! Both sides as they are now.

use std::collections::{BTreeMap, BTreeSet};

use engine::{
    ContainerRecord, Engine, EngineError, EngineFacts, ImageRecord, NetworkRecord, Progress, VolumeRecord,
};

use crate::error::{MigrationError, OnSide};
use crate::leftovers;
use crate::plan::{Kind, Wishes};
use crate::run::Migration;
use crate::volumes::{self, Hands, On};

/// What one engine has. Containers that migrations made for themselves are not in it.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// The engine.
    pub facts: EngineFacts,
    /// Its images.
    pub images: Vec<ImageRecord>,
    /// Its volumes.
    pub volumes: Vec<VolumeRecord>,
    /// Its networks.
    pub networks: Vec<NetworkRecord>,
    /// Its containers.
    pub containers: Vec<ContainerRecord>,
    /// What migrations before this one have left.
    pub leftovers: Vec<ContainerRecord>,
}

/// How a volume here compares with the source's of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// It holds the same.
    Same {
        /// Nothing, on both sides.
        empty: bool,
    },
    /// It is empty and no container uses it.
    Empty,
    /// It holds something else.
    Differs(String),
}

/// Everything a plan is made of.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The engine that is copied from.
    pub source: Side,
    /// Ours.
    pub target: Side,
    /// Volumes here that a run before left half copied: they count as absent.
    pub cut_off: BTreeSet<String>,
    /// Volumes that both sides have.
    pub compared: BTreeMap<String, Comparison>,
    /// Bytes in the source's volumes, where its engine knows.
    pub volume_sizes: BTreeMap<String, u64>,
    /// Bytes of all layers at the source.
    pub layers_size: u64,
    /// How many files each container at the source wrote into its own file system, by id; `MAX` for too many to count.
    pub written: BTreeMap<String, usize>,
}

impl Side {
    /// Looks at an engine.
    async fn look(engine: &Engine) -> Result<Self, EngineError> {
        let (leftovers, containers): (Vec<_>, Vec<_>) =
            engine.container_records().await?.into_iter().partition(leftovers::is_ours);
        let mut images = engine.image_records().await?;
        images.retain(|image| image.config["Labels"].get(leftovers::LABEL).is_none());
        for container in &containers {
            // Made of a layer in between.
            if !images.iter().any(|image| image.id == container.image_id) {
                images.extend(engine.image_record(&container.image_id).await?);
            }
        }
        Ok(Self {
            facts: engine.facts().await?,
            images,
            volumes: engine.volume_records().await?,
            networks: engine.network_records().await?,
            containers,
            leftovers,
        })
    }

    /// The volume of a name.
    pub fn volume(&self, name: &str) -> Option<&VolumeRecord> {
        self.volumes.iter().find(|volume| volume.name == name)
    }

    /// Names of the containers that use a volume.
    pub fn users_of(&self, volume: &str, running_only: bool) -> Vec<String> {
        let users = self.containers.iter().filter(|it| it.volumes.values().any(|name| name == volume));
        users.filter(|it| it.running || !running_only).map(|it| it.name.clone()).collect()
    }
}

impl Migration {
    /// Looks at both sides. Volumes that both have are read on both, so this takes as long as they are large.
    pub async fn observe(
        &self,
        wishes: &Wishes,
        progress: &dyn Progress,
    ) -> Result<Observed, MigrationError> {
        let source = Side::look(&self.source).await.at_source()?;
        let target = Side::look(&self.target).await.at_target()?;
        if source.facts.id == target.facts.id {
            return Err(MigrationError::SameEngine);
        }
        let cut_off = leftovers::cut_off(&target.leftovers, &target.volumes);
        let (layers_size, volume_sizes) = self.source.disk_usage().await.at_source()?;
        let mut observed =
            Observed { source, target, cut_off, volume_sizes, layers_size, ..Observed::default() };
        if wishes.wants(Kind::Volume) {
            observed.compared = self.compare(&observed, wishes, progress).await?;
        }
        if wishes.wants(Kind::Container) {
            for container in &observed.source.containers {
                let count = match self.source.changed_paths(&container.id).await {
                    // So many that the answer is not read.
                    Err(EngineError::Unintelligible { .. }) => usize::MAX,
                    paths => written(&paths.at_source()?, container),
                };
                observed.written.insert(container.id.clone(), count);
            }
        }
        Ok(observed)
    }

    async fn compare(
        &self,
        observed: &Observed,
        wishes: &Wishes,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<String, Comparison>, MigrationError> {
        let mut compared = BTreeMap::new();
        let source = Hands::new(On::Source, &self.source, &observed.source);
        let target = Hands::new(On::Target, &self.target, &observed.target);
        let wanted = observed.source.volumes.iter().filter(|volume| {
            let name = &volume.name;
            let there = observed.target.volume(name).is_some() && !observed.cut_off.contains(name);
            let busy = !wishes.running && !observed.source.users_of(name, true).is_empty();
            there && !busy && volumes::is_plain(volume)
        });
        for VolumeRecord { name, .. } in wanted {
            let original = source.read(name, progress).await?;
            let here = target.read(name, progress).await?;
            let used = !observed.target.users_of(name, false).is_empty();
            let comparison = match original.difference(&here) {
                None => Comparison::Same { empty: original.is_empty() },
                Some(_) if here.is_empty() && !used => Comparison::Empty,
                Some(how) => Comparison::Differs(how),
            };
            compared.insert(name.clone(), comparison);
        }
        source.finish().await?;
        target.finish().await?;
        Ok(compared)
    }
}

/// How many of the changed paths are a container's own doing: not those of its mounts, nor folders that are listed
/// because something in them is.
fn written(paths: &[String], container: &ContainerRecord) -> usize {
    let mounts = container.inspect["Mounts"].as_array().into_iter().flatten();
    let mounts: Vec<_> = mounts.filter_map(|mount| mount["Destination"].as_str()).collect();
    let below = |path: &str, top: &str| path.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'));
    // Sorted, what is in a folder follows it, perhaps after its longer namesakes.
    let all: BTreeSet<&str> = paths.iter().map(String::as_str).collect();
    let own = all.iter().filter(|path| {
        let of_mount =
            mounts.iter().any(|mount| *mount == **path || below(mount, path) || below(path, mount));
        let inside = format!("{path}/");
        let is_parent = all.range(inside.as_str()..).next().is_some_and(|next| next.starts_with(&inside));
        !of_mount && !is_parent
    });
    own.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_container_wrote_itself_counts() {
        let inspect = serde_json::json!({ "Mounts": [{ "Destination": "/srv/data" }] });
        let container = ContainerRecord { inspect, ..ContainerRecord::default() };
        let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        for (changed, count) in [
            (&[][..], 0),
            (&["/srv", "/srv/data"], 0),
            (&["/srv", "/srv/data", "/srv/log"], 1),
            (&["/etc", "/etc/a", "/etc-b"], 2),
            (&["/root", "/root/.cache", "/root/.cache/x", "/root/.history"], 2),
        ] {
            assert_eq!(written(&paths(changed), &container), count, "{changed:?}");
        }
    }
}
