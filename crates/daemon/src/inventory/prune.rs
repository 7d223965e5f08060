//! What takes space, and removing what nobody needs: what a prune says it would remove is what it removes.
//!
//! The engine has prunes of its own, which know nothing of environments: a stopped one would lose its container.

use std::collections::BTreeMap;

use api::{
    DockerFreeable, DockerKind, DockerOwner, DockerPruneRequest, DockerPruned, DockerUsage, DockerUse,
    Problem,
};
use engine::{ContainerRow, DiskUse, Engine, EngineError};

use super::images::users_of;
use super::others;
use super::owners::{Owners, is_prebuild};
use super::{Inventory, told};

/// Names that are told of what a prune would remove.
const NAMED: usize = 100;

/// Something that nobody needs.
struct Loose {
    id: String,
    name: String,
    /// Bytes that are free without it, at least.
    bytes: u64,
    /// Whether it goes only where all shall go.
    named: bool,
}

impl Inventory {
    /// What takes space, and what a prune of each kind would free. Takes the engine a while.
    ///
    /// # Errors
    /// The machine is off.
    pub async fn usage(&self) -> Result<DockerUsage, Problem> {
        let engine = self.engine()?;
        let look = self.look(&engine).await?;
        let DiskUse { layers, containers, images, builds, .. } = &look.disk;
        let (volumes, networks) = (&look.volumes, look.networks.len());
        let use_of = |kind, count: usize, bytes: u64| {
            let loose = look.loose(kind);
            DockerUse {
                count: count as u64,
                bytes,
                prune: freeable(loose.iter().filter(|it| !it.named)),
                prune_all: freeable(loose.iter()),
            }
        };
        let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
        Ok(DockerUsage {
            containers: use_of(
                DockerKind::Containers,
                containers.len(),
                sum(&mut containers.iter().filter_map(|it| it.size)),
            ),
            images: use_of(DockerKind::Images, images.len(), *layers),
            volumes: use_of(
                DockerKind::Volumes,
                volumes.len(),
                sum(&mut volumes.iter().filter_map(|(_, size)| *size)),
            ),
            networks: use_of(DockerKind::Networks, networks, 0),
            builds: use_of(
                DockerKind::Builds,
                builds.len(),
                sum(&mut builds.iter().filter(|it| !it.shared).map(|it| it.size)),
            ),
        })
    }

    /// Removes what nobody needs. What cannot be removed stays, and is told.
    ///
    /// # Errors
    /// The machine is off.
    pub async fn prune(&self, request: &DockerPruneRequest) -> Result<DockerPruned, Problem> {
        let engine = self.engine()?;
        if request.kind == DockerKind::Builds {
            let (count, bytes) = engine.prune_builds().await.map_err(|error| told(&error))?;
            return Ok(DockerPruned { count, bytes, kept: Vec::new() });
        }
        let look = self.look(&engine).await?;
        let mut done = DockerPruned::default();
        for loose in look.loose(request.kind).into_iter().filter(|it| request.all || !it.named) {
            match remove(&engine, request.kind, &loose).await {
                Ok(()) => {
                    done.count += 1;
                    done.bytes += loose.bytes;
                }
                // Somebody else did it, and frees it.
                Err(error) if error.is_not_found() => {}
                Err(error @ EngineError::Refused { .. }) => done.kept.push(error.to_string()),
                Err(error) => return Err(told(&error)),
            }
        }
        if request.kind == DockerKind::Images {
            let left = engine.disk_use().await.map_err(|error| told(&error))?;
            done.bytes = look.disk.layers.saturating_sub(left.layers);
        }
        Ok(done)
    }

    async fn look(&self, engine: &Engine) -> Result<Look, Problem> {
        let disk = engine.disk_use().await.map_err(|error| told(&error))?;
        let networks = engine.network_records().await.map_err(|error| told(&error))?;
        let owners = Owners::of(&self.store.environments()?, &disk.containers);
        // Where sizes are told, volumes that mount something are left out.
        let volumes = engine.volume_records().await.map_err(|error| told(&error))?;
        let sizes: BTreeMap<_, _> = disk.volumes.iter().map(|(row, size)| (&row.name, *size)).collect();
        let volumes = volumes.into_iter().map(|row| {
            let size = sizes.get(&row.name).copied().flatten();
            (row, size)
        });
        let volumes = volumes.collect();
        Ok(Look { disk, volumes, networks, owners })
    }
}

/// One look at everything.
struct Look {
    disk: DiskUse,
    /// With their sizes, where those are known.
    volumes: Vec<(engine::VolumeRecord, Option<u64>)>,
    networks: Vec<engine::NetworkRecord>,
    owners: Owners,
}

impl Look {
    /// What of a kind nobody needs.
    fn loose(&self, kind: DockerKind) -> Vec<Loose> {
        let containers = &self.disk.containers;
        match kind {
            DockerKind::Containers => containers
                .iter()
                .filter(|it| it.is_over() && !is_kept(self.owners.of_container(&it.labels).as_ref()))
                .map(|it| Loose {
                    id: it.id.clone(),
                    name: it.name.clone(),
                    bytes: it.size.unwrap_or_default(),
                    named: false,
                })
                .collect(),
            DockerKind::Images => self.loose_images(containers),
            DockerKind::Volumes => self
                .volumes
                .iter()
                .map(|(row, size)| (others::volume(row.clone(), containers, &self.owners), size))
                .filter(|(it, _)| it.used_by.is_empty() && !is_kept(it.owner.as_ref()))
                .map(|(it, size)| Loose {
                    id: it.name.clone(),
                    name: it.name,
                    bytes: size.unwrap_or_default(),
                    named: !it.anonymous,
                })
                .collect(),
            DockerKind::Networks => self
                .networks
                .iter()
                .map(|row| others::network(row, containers, &self.owners))
                .filter(|it| !it.builtin && it.used_by.is_empty() && !is_kept(it.owner.as_ref()))
                .map(|it| Loose { id: it.id, name: it.name, bytes: 0, named: false })
                .collect(),
            DockerKind::Builds => self
                .disk
                .builds
                .iter()
                .filter(|it| !it.in_use)
                .map(|it| Loose {
                    id: it.id.clone(),
                    name: it.description.clone(),
                    bytes: if it.shared { 0 } else { it.size },
                    named: false,
                })
                .collect(),
        }
    }

    fn loose_images(&self, containers: &[ContainerRow]) -> Vec<Loose> {
        let is_loose = |image: &&engine::ImageRow| {
            let is_used = !users_of(&image.id, containers).is_empty();
            let owner = self.owners.of_image(image, is_used);
            !is_used && !is_prebuild(&image.labels) && !is_kept(owner.as_ref())
        };
        let loose = self.disk.images.iter().filter(is_loose);
        loose
            .map(|image| Loose {
                id: image.id.clone(),
                name: image.tags.first().unwrap_or(&image.id).clone(),
                bytes: image.size.saturating_sub(image.shared.unwrap_or_default()),
                named: !image.tags.is_empty(),
            })
            .collect()
    }
}

fn is_kept(owner: Option<&DockerOwner>) -> bool {
    owner.is_some_and(|owner| owner.kept)
}

fn freeable<'a>(loose: impl Iterator<Item = &'a Loose>) -> DockerFreeable {
    let mut all = DockerFreeable::default();
    for it in loose {
        all.count += 1;
        all.bytes = all.bytes.saturating_add(it.bytes);
        if all.names.len() < NAMED {
            all.names.push(it.name.clone());
        }
    }
    all
}

async fn remove(engine: &Engine, kind: DockerKind, loose: &Loose) -> Result<(), EngineError> {
    match kind {
        DockerKind::Containers => engine.delete_container(&loose.id, false).await,
        // All its names go with it.
        DockerKind::Images => engine.delete_image(&loose.id, loose.named).await,
        DockerKind::Volumes => engine.delete_volume(&loose.id).await,
        DockerKind::Networks => engine.delete_network(&loose.id).await,
        DockerKind::Builds => Ok(()),
    }
}
