//! Images and the cache of builds.

use api::{DockerBuildRecord, DockerImage, DockerImageDetail, DockerLayer, Problem, ProblemCode};
use engine::{ContainerRow, Engine, ImageRow, Inspected};

use super::owners::{self, Owners, Wanted, is_prebuild};
use super::{Inventory, absent, is_called, seconds, time, told};

impl Inventory {
    /// All images, the newest first.
    ///
    /// # Errors
    /// The machine is off.
    pub async fn images(&self) -> Result<Vec<DockerImage>, Problem> {
        let engine = self.engine()?;
        let (containers, owners) = self.containers_and_owners(&engine, false).await?;
        let rows = engine.image_rows().await.map_err(|error| told(&error))?;
        let mut all: Vec<_> = rows.into_iter().map(|row| shown(row, &containers, &owners)).collect();
        all.sort_by(|one, other| other.created.cmp(&one.created).then_with(|| one.tags.cmp(&other.tags)));
        Ok(all)
    }

    /// An image with its layers.
    ///
    /// # Errors
    /// There is no such image.
    pub async fn image(&self, name: &str) -> Result<DockerImageDetail, Problem> {
        let engine = self.engine()?;
        let (row, containers, owners) = self.find_image(&engine, name).await?;
        let layers = engine.image_layers(&row.id).await.map_err(|error| told(&error))?;
        let inspect = engine.inspect(Inspected::Image, &row.id).await.map_err(|error| told(&error))?;
        let layer = |layer: engine::LayerRow| DockerLayer {
            created_by: layer.created_by,
            created: seconds(layer.created),
            size: layer.size,
            comment: layer.comment,
        };
        Ok(DockerImageDetail {
            image: shown(row, &containers, &owners),
            layers: layers.into_iter().map(layer).collect(),
            inspect: inspect.ok_or_else(|| absent("image", name))?,
        })
    }

    /// Removes an image under all its names.
    ///
    /// # Errors
    /// It is a prebuild, an environment works with it, or the engine does not let it go.
    pub async fn remove_image(&self, name: &str, force: bool) -> Result<(), Problem> {
        let engine = self.engine()?;
        let (row, containers, owners) = self.find_image(&engine, name).await?;
        let image = shown(row, &containers, &owners);
        let called = image.tags.first().unwrap_or(&image.id).clone();
        if image.prebuild {
            let title = format!("the image `{called}` is a prebuild");
            return Err(Problem::new(ProblemCode::OwnedByEnvironment, title)
                .with_command("remove the prebuild", format!("cove prebuild rm {called}")));
        }
        owners::check(&format!("the image `{called}`"), image.owner.as_ref(), Wanted::Remove)?;
        engine.delete_image(&image.id, force).await.map_err(|error| told(&error))
    }

    /// The records of the cache of builds, those last used first.
    ///
    /// # Errors
    /// The machine is off.
    pub async fn builds(&self) -> Result<Vec<DockerBuildRecord>, Problem> {
        let rows = self.engine()?.build_rows().await.map_err(|error| told(&error))?;
        let record = |row: engine::BuildRow| DockerBuildRecord {
            created: time(&row.created),
            last_used: time(&row.last_used),
            id: row.id,
            kind: row.kind,
            description: row.description,
            size: row.size,
            in_use: row.in_use,
            shared: row.shared,
            uses: row.uses,
        };
        let mut all: Vec<_> = rows.into_iter().map(record).collect();
        all.sort_by(|one, other| other.last_used.cmp(&one.last_used).then_with(|| one.id.cmp(&other.id)));
        Ok(all)
    }

    /// The image with this id, this beginning of one, or this name; with all that tells who has it.
    pub(super) async fn find_image(
        &self,
        engine: &Engine,
        name: &str,
    ) -> Result<(ImageRow, Vec<ContainerRow>, Owners), Problem> {
        let (containers, owners) = self.containers_and_owners(engine, false).await?;
        let rows = engine.image_rows().await.map_err(|error| told(&error))?;
        let found = rows
            .into_iter()
            .find(|row| is_called(name, &row.id, row.tags.iter().map(String::as_str)))
            .ok_or_else(|| absent("image", name))?;
        Ok((found, containers, owners))
    }
}

/// Names of the containers that were made of an image.
pub(super) fn users_of(image: &str, containers: &[ContainerRow]) -> Vec<String> {
    let mut names: Vec<_> =
        containers.iter().filter(|it| it.image_id == image).map(|it| it.name.clone()).collect();
    names.sort();
    names
}

fn shown(row: ImageRow, containers: &[ContainerRow], owners: &Owners) -> DockerImage {
    let used_by = users_of(&row.id, containers);
    DockerImage {
        prebuild: is_prebuild(&row.labels),
        owner: owners.of_image(&row, !used_by.is_empty()),
        id: row.id,
        tags: row.tags,
        size: row.size,
        created: seconds(row.created),
        used_by,
    }
}
