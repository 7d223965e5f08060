//! The prebuilds there are, and what a making of one that was cut off left.

use api::{EnvironmentId, Prebuild, Problem, ProblemCode};
use engine::{Engine, ImageRecord};

use super::{COMMIT_LABEL, INPUTS_LABEL, MAKER_LABEL, NAME_LABEL, OWN_NAMES};
use crate::problems::from_engine;
use crate::reconcile::{Parts, Reconciler};

impl Reconciler {
    /// The prebuilds that the machine's engine has, the newest first.
    ///
    /// # Errors
    /// The machine is off.
    pub(crate) async fn prebuilds(&self) -> Result<Vec<Prebuild>, Problem> {
        let engine = self.engine_on().await?;
        let records = engine.image_records().await.map_err(|error| from_engine(&error))?;
        let mut all = Vec::new();
        for record in records {
            if !is_unsearched(self.parts(), &record)? {
                all.extend(listed(record));
            }
        }
        all.sort_by(|one, other| other.created.cmp(&one.created));
        Ok(all)
    }

    /// Removes a prebuild, under all its names.
    ///
    /// # Errors
    /// There is none of that name, or it is in use.
    pub(crate) async fn remove_prebuild(&self, name: &str) -> Result<(), Problem> {
        let all = self.prebuilds().await?;
        let found = all.iter().find(|it| it.image == name || it.also.iter().any(|other| other == name));
        let Some(found) = found else {
            let title = format!("there is no prebuild `{name}`");
            let problem = Problem::new(ProblemCode::ImageNotFound, title);
            return Err(problem.with_command("list those there are", "cove prebuild ls"));
        };
        let engine = self.engine_on().await?;
        let known = engine.image(&found.image).await.map_err(|error| from_engine(&error))?;
        for name in found.also.iter().chain([&found.image]) {
            engine.remove_image(name).await.map_err(|error| from_engine(&error))?;
        }
        if let Some(known) = known {
            self.parts().store.forget_prebuild(&known.id)?;
        }
        Ok(())
    }

    async fn engine_on(&self) -> Result<Engine, Problem> {
        let machine = &self.parts().machine;
        machine.awake().await?;
        if machine.state().is_ready() {
            return Ok(machine.engine());
        }
        let title = "the machine is off, and prebuilds are on its disk";
        Err(Problem::new(ProblemCode::EngineDown, title).with_command("start it", "cove machine start"))
    }
}

/// Whether an image was not searched for secrets: it gets a name only after that, and is noted then.
fn is_unsearched(parts: &Parts, record: &ImageRecord) -> Result<bool, Problem> {
    Ok(record.tags.is_empty() && parts.store.made_prebuild(&record.id)?.is_none())
}

/// Removes the images of an environment's container that were never searched to their end: the daemon ended before.
///
/// # Errors
/// The engine cannot.
pub(crate) async fn remove_unsearched(parts: &Parts, id: &EnvironmentId) -> Result<(), Problem> {
    let engine = parts.machine.engine();
    let records = engine.image_records().await.map_err(|error| from_engine(&error))?;
    for record in records {
        if label(&record, MAKER_LABEL).as_deref() == Some(id.as_str()) && is_unsearched(parts, &record)? {
            engine.remove_image(&record.id).await.map_err(|error| from_engine(&error))?;
        }
    }
    Ok(())
}

fn label(record: &ImageRecord, name: &str) -> Option<String> {
    record.config["Labels"][name].as_str().map(str::to_owned)
}

fn listed(record: ImageRecord) -> Option<Prebuild> {
    label(&record, INPUTS_LABEL)?;
    let mut names = record.tags.clone();
    let own = names.iter().position(|name| name.starts_with(OWN_NAMES)).unwrap_or_default();
    let image = if names.is_empty() { record.id.clone() } else { names.remove(own) };
    Some(Prebuild {
        image,
        also: names,
        name: label(&record, NAME_LABEL).unwrap_or_default(),
        commit: label(&record, COMMIT_LABEL).filter(|commit| !commit.is_empty()),
        created: record.created,
        size: record.size,
    })
}
