//! Carries a plan out, one thing after another.

use std::collections::{BTreeMap, BTreeSet};

use engine::{ContainerRecord, Engine, EngineError, ImageRecord, Progress, ProgressEvent, ProgressKind};
use serde_json::json;

use crate::definition::{self, Names, body};
use crate::error::{MigrationError, OnSide};
use crate::images::same_image;
use crate::leftovers::{LABEL, READING};
use crate::observe::{Comparison, Observed};
use crate::plan::{Action, Item, Kind, Plan};
use crate::report::{Done, Outcome, Report};
use crate::volumes::{self, Hands, On};

/// Two engines: one to copy from, and ours.
#[derive(Debug, Clone)]
pub struct Migration {
    pub(crate) source: Engine,
    pub(crate) target: Engine,
}

/// What a run learns while it goes on.
struct Run<'a> {
    observed: &'a Observed,
    progress: &'a dyn Progress,
    source: Hands<'a>,
    target: Hands<'a>,
    source_names: Names,
    target_names: Names,
    /// Ids here of the source's images.
    images: BTreeMap<String, String>,
    /// Volumes that hold nothing.
    empty: BTreeSet<String>,
    /// What is not here though others may need it.
    missing: BTreeSet<(Kind, String)>,
}

impl Migration {
    /// Between two engines. Connects to neither.
    pub fn new(source: Engine, target: Engine) -> Self {
        Self { source, target }
    }

    /// Does what a plan says, and verifies it. What fails is in the report and does not hold up the rest, unless an
    /// engine is lost or its disk is full. Can be given up at any instant by dropping the future.
    pub async fn run(
        &self,
        observed: &Observed,
        plan: &Plan,
        progress: &dyn Progress,
    ) -> Result<Report, MigrationError> {
        self.heal(observed).await?;
        let mut run = Run {
            observed,
            progress,
            source: Hands::new(On::Source, &self.source, &observed.source),
            target: Hands::new(On::Target, &self.target, &observed.target),
            source_names: Names::of(&observed.source),
            target_names: Names::of(&observed.target),
            images: BTreeMap::new(),
            empty: BTreeSet::new(),
            missing: BTreeSet::new(),
        };
        let mut items = Vec::new();
        let mut lost = false;
        for item in &plan.items {
            let lacking = item.needs.iter().any(|need| run.missing.contains(need));
            let done = if item.is_work() && (lost || lacking) {
                Done::new(item, Outcome::NotTried)
            } else {
                match self.step(&mut run, item).await {
                    Ok(done) => done,
                    Err(error) => {
                        lost = lost || error.ends_all();
                        tell(progress, item, ProgressKind::Failed);
                        Done::new(item, Outcome::Failed { error: error.in_one_line() })
                    }
                }
            };
            if !done.is_here() {
                run.missing.insert((item.kind, item.key.clone()));
            }
            items.push(done);
        }
        let Run { source, target, .. } = run;
        if !lost {
            source.finish().await?;
            target.finish().await?;
        }
        Ok(Report::new(items))
    }

    /// Removes what reading volumes needs. For the end of a run that was given up; one that was killed is cleaned up
    /// after by the next.
    pub async fn clean_up(&self) -> Result<(), EngineError> {
        for engine in [&self.source, &self.target] {
            for container in engine.find_containers(&[format!("{LABEL}={READING}")]).await? {
                engine.remove_unstarted(&container.id).await?;
            }
        }
        Ok(())
    }

    async fn step(&self, run: &mut Run<'_>, item: &Item) -> Result<Done, MigrationError> {
        let outcome = match &item.action {
            Action::LeaveOut { reason, advice } => {
                Outcome::LeftOut { reason: reason.clone(), advice: advice.clone() }
            }
            Action::Nothing => Outcome::Already,
            Action::Copy | Action::Name => Outcome::Verified,
        };
        let mut done = Done::new(item, outcome);
        if item.kind == Kind::Volume
            && run.observed.compared.get(&item.key) == Some(&Comparison::Same { empty: true })
        {
            run.empty.insert(item.key.clone());
        }
        if !item.is_work() {
            return Ok(done);
        }
        tell(run.progress, item, ProgressKind::Started);
        match item.kind {
            Kind::Image => self.image(run, item).await?,
            Kind::Volume => {
                let Some(volume) = run.observed.source.volume(&item.key) else { return Ok(done) };
                if volumes::is_definition_only(volume) {
                    self.target.create_volume(volume).await.at_target()?;
                } else {
                    let content =
                        volumes::copy_volume(&run.source, &run.target, volume, run.progress).await?;
                    if content.is_empty() {
                        run.empty.insert(item.key.clone());
                    }
                    done.content = Some(content);
                }
            }
            Kind::Network => {
                let networks = &run.observed.source.networks;
                let Some(network) = networks.iter().find(|it| it.name == item.key) else { return Ok(done) };
                done.notes.extend(self.copy_network(network).await?);
            }
            Kind::Container => self.container(run, item).await?,
        }
        tell(run.progress, item, ProgressKind::Finished { took: None, cached: false });
        Ok(done)
    }

    async fn image(&self, run: &mut Run<'_>, item: &Item) -> Result<(), MigrationError> {
        let Some(record) = run.observed.source.images.iter().find(|image| image.id == item.key) else {
            return Ok(());
        };
        let id = match (&item.action, run.image_here(record)) {
            (Action::Name, Some(id)) => id,
            _ => self.copy_image(record, item, run.progress).await?,
        };
        self.name_image(&id, &item.tags).await?;
        run.images.insert(record.id.clone(), id);
        Ok(())
    }

    /// Makes a container like one at the source, and reads its definition back.
    async fn container(&self, run: &mut Run<'_>, item: &Item) -> Result<(), MigrationError> {
        let containers = &run.observed.source.containers;
        let Some(record) = containers.iter().find(|container| container.name == item.key) else {
            return Ok(());
        };
        let wanted = body(record, &run.source_names);
        let mut asked = wanted.clone();
        asked["Image"] = json!(self.image_for(run, record).await?);
        definition::keep_empty(&mut asked, &run.empty);
        let made = match self.target.create_from(Some(&record.name), &asked).await {
            Err(EngineError::Refused { message, .. })
                if message.contains("bind source path does not exist") =>
            {
                definition::allow_missing_folders(&mut asked);
                self.target.create_from(Some(&record.name), &asked).await
            }
            made => made,
        };
        let id = made.at_target()?;
        let difference = match self.target.container_record(&id).await.at_target()? {
            Some(copy) => {
                run.target_names.add(&copy);
                definition::difference(&wanted, &body(&copy, &run.target_names))
            }
            None => Some("it is gone again".to_owned()),
        };
        let Some(property) = difference else { return Ok(()) };
        self.target.remove_unstarted(&id).await.at_target()?;
        Err(MigrationError::Differs { what: format!("`{property}` of the container is another here") })
    }

    /// What the container calls its image, if that means the same image here; else the image's id.
    async fn image_for(&self, run: &Run<'_>, record: &ContainerRecord) -> Result<String, MigrationError> {
        let source = run.observed.source.images.iter().find(|image| image.id == record.image_id);
        let copied = run.images.get(&record.image_id).cloned();
        let id = copied.or_else(|| source.and_then(|image| run.image_here(image)));
        let id = id.unwrap_or_else(|| record.image_id.clone());
        let named = record.inspect["Config"]["Image"].as_str().unwrap_or_default();
        if !named.is_empty()
            && self.target.image_record(named).await.at_target()?.is_some_and(|it| it.id == id)
        {
            return Ok(named.to_owned());
        }
        Ok(id)
    }
}

impl Run<'_> {
    fn image_here(&self, record: &ImageRecord) -> Option<String> {
        let here = self.observed.target.images.iter().find(|other| same_image(record, other));
        here.map(|here| here.id.clone())
    }
}

fn tell(progress: &dyn Progress, item: &Item, kind: ProgressKind) {
    progress.report(ProgressEvent { item: item.kind.title(&item.name), kind });
}
