//! Sidecars: containers beside the dev container, one for each task or service that asks for an image of its own.
//!
//! A sidecar shares the network of the dev container and has its workspace at the same place; all else is its image's. Its
//! first process only waits; commands are run there by the same program that runs them in the dev container. It is made
//! when they are first to run, stops and starts with the dev container, and goes with it: nothing of it is remembered
//! but what the engine knows.

use std::collections::BTreeMap;
use std::time::Duration;

use api::{AutomationStatus, Environment, Problem, ProblemCode};
use automations::{Automations, Exit, Image, Item, Phase, Place, State, States, Status};
use devcontainer::{Config, Mount, MountKind};
use engine::{ContainerSpec, ContainerState, ContainerSummary, Engine, FirstProcess, MountedAt, MountedKind};
use jiff::Timestamp;
use protocol::inside::{PROGRAM, WAIT};
use provision::image;

use super::Wanted;
use crate::configuration::DEFAULT_IMAGE;
use crate::execute::{Turn, provide_base};
use crate::observe::{CONFIG_LABEL, ENVIRONMENT_LABEL};
use crate::problems;

/// The task or service whose container it is.
const AUTOMATION_LABEL: &str = "dev.cove.automation";
/// The id of the dev container that it stands beside.
const MAIN_LABEL: &str = "dev.cove.automation.beside";
/// Identifies what it was made of.
const IMAGE_LABEL: &str = "dev.cove.automation.image";

/// Where the engine's own programs are in every container.
const PROGRAMS: &str = "/dev/cove/";

/// How long a sidecar whose commands have ended may take to stop.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// A sidecar that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sidecar {
    /// Of what.
    pub(crate) item: Item,
    /// Docker's id.
    pub(crate) id: String,
    running: bool,
    started: Option<Timestamp>,
    main: String,
    image: String,
}

impl Sidecar {
    /// Whether it is that of this task or service, beside this dev container.
    pub(super) fn serves(&self, item: &Item, image: &Image, main: &ContainerState) -> bool {
        self.item == *item && self.main == main.id && self.image == image.digest()
    }

    /// Whether it runs in the network that the dev container has in this run. `known` is the run that it was last told of.
    pub(super) fn is_up(&self, main: &ContainerState, known: Option<&String>) -> bool {
        let is_of_run = if let Some(run) = known {
            main.started_at.as_ref() == Some(run)
        } else {
            let began = main.started_at.as_ref().and_then(|began| began.parse::<Timestamp>().ok());
            began.is_some() && self.started >= began
        };
        self.running && is_of_run
    }
}

/// The dev container that a container stands beside, by its labels.
pub(crate) fn main_of(labels: &BTreeMap<String, String>) -> Option<&str> {
    labels.get(MAIN_LABEL).map(String::as_str).filter(|main| !main.is_empty())
}

/// The task or service that a container is the sidecar of.
fn item_of(container: &ContainerSummary) -> Option<Item> {
    let item = Item::parse(container.labels.get(AUTOMATION_LABEL)?)?;
    // A dev container may be made of an image that was one of these.
    let is_main = container.labels.get(CONFIG_LABEL).is_some_and(|digest| !digest.is_empty());
    // Nor is what somebody runs from an image that one of these was made into: it has no name of ours.
    (!is_main && container.name.ends_with(&suffix(&item))).then_some(item)
}

/// What finds the sidecars of an environment.
pub(crate) fn labels_of(environment: &Environment) -> [String; 2] {
    [format!("{ENVIRONMENT_LABEL}={}", environment.id), AUTOMATION_LABEL.to_owned()]
}

/// The sidecars among the containers of an environment. Those that lost their dev container are removed, and those whose
/// dev container does not run are stopped, however that came.
///
/// # Errors
/// The engine does not answer.
pub(crate) async fn tend(
    engine: &Engine,
    containers: &[ContainerSummary],
    main: Option<&ContainerState>,
) -> Result<Vec<Sidecar>, Problem> {
    let failed = |error| problems::from_engine(&error);
    let mut sidecars = Vec::new();
    for summary in containers.iter().filter(|summary| !summary.removing) {
        let Some(item) = item_of(summary) else { continue };
        let Some(state) = engine.container(&summary.id).await.map_err(failed)? else { continue };
        let label = |name: &str| state.labels.get(name).cloned().unwrap_or_default();
        let mut sidecar = Sidecar {
            item,
            running: state.running,
            started: state.started_at.as_ref().and_then(|started| started.parse().ok()),
            main: label(MAIN_LABEL),
            image: label(IMAGE_LABEL),
            id: state.id,
        };
        match main.filter(|main| main.id == sidecar.main) {
            None => {
                engine.remove_container(&sidecar.id).await.map_err(failed)?;
                continue;
            }
            Some(main) if !main.running && sidecar.running => {
                engine.stop_container(&sidecar.id, STOP_GRACE).await.map_err(failed)?;
                sidecar.running = false;
            }
            Some(_) => {}
        }
        sidecars.push(sidecar);
    }
    Ok(sidecars)
}

/// Makes sure that a sidecar runs; its id.
///
/// # Errors
/// There is no such image, or the container cannot be made or started.
pub(crate) async fn provide(
    turn: &Turn<'_>,
    config: &Config,
    main: &ContainerState,
    wanted: &Wanted,
) -> Result<String, Problem> {
    let engine = turn.parts.machine.engine();
    let id = match &wanted.there {
        Some(sidecar) if wanted.is_up => return Ok(sidecar.id.clone()),
        Some(sidecar) => {
            // One that runs is in the network of an earlier run, which has nobody in it any more.
            let stopped = engine.stop_container(&sidecar.id, STOP_GRACE).await;
            stopped.map_err(|error| problems::from_engine(&error))?;
            sidecar.id.clone()
        }
        None => {
            let name = &wanted.image.image;
            if name == DEFAULT_IMAGE {
                provide_base(&engine, &turn.parts.base, turn.report).await?;
            }
            let found = image::provide(&engine, &turn.parts.registry, name, turn.report).await;
            found.map_err(|error| problems::from_image(&error))?;
            let spec = spec(turn.environment, config, main, wanted);
            engine.create_container(&spec).await.map_err(|error| problems::from_container(&error))?
        }
    };
    if let Err(error) = engine.start_container(&id).await {
        let _ = engine.remove_container(&id).await;
        return Err(problems::from_container(&error));
    }
    Ok(id)
}

fn spec(environment: &Environment, config: &Config, main: &ContainerState, wanted: &Wanted) -> ContainerSpec {
    let labels = [
        (ENVIRONMENT_LABEL, environment.id.to_string()),
        // Its image may have been a dev container, and what is to be found as one has this.
        (CONFIG_LABEL, String::new()),
        (AUTOMATION_LABEL, wanted.item.to_string()),
        (MAIN_LABEL, main.id.clone()),
        (IMAGE_LABEL, wanted.image.digest()),
    ];
    ContainerSpec {
        name: format!("{}{}", main.name, suffix(&wanted.item)),
        image: wanted.image.image.clone(),
        labels: labels.map(|(name, value)| (name.to_owned(), value)).into(),
        env: wanted.image.environment.clone(),
        mounts: mounts(config, main),
        network: Some(format!("container:{}", main.id)),
        first_process: FirstProcess::Program([PROGRAM, WAIT].map(str::to_owned).to_vec()),
        ..ContainerSpec::default()
    }
}

/// What its name has behind that of the dev container. No name of a task or service has a dot.
fn suffix(item: &Item) -> String {
    let kind = match item {
        Item::Service(_) => "service",
        Item::Task(_) => "task",
    };
    format!(".{kind}.{}", item.name())
}

/// What it has of the dev container's: the workspace, and our program where that is mounted by the engine.
fn mounts(config: &Config, main: &ContainerState) -> Vec<Mount> {
    let folder = format!("{}/", config.workspace_folder.trim_end_matches('/'));
    let additional = config.additional_mount.as_ref().map(|mount| mount.target.trim_end_matches('/'));
    let is_shared = |mount: &&MountedAt| {
        let target = mount.target.trim_end_matches('/');
        let is_around = folder.starts_with(&format!("{target}/"));
        is_around || additional == Some(target) || format!("{target}/").starts_with(PROGRAMS)
    };
    main.mounts.iter().filter(is_shared).filter_map(same).collect()
}

fn same(mount: &MountedAt) -> Option<Mount> {
    let kind = match mount.kind {
        MountedKind::Bind => MountKind::Bind,
        MountedKind::Volume => MountKind::Volume,
        MountedKind::Tmpfs | MountedKind::Other(_) => return None,
    };
    let part = mount.part.iter().map(|part| ("volume-subpath".to_owned(), Some(part.clone())));
    Some(Mount {
        kind,
        read_only: mount.read_only,
        options: part.collect(),
        ..Mount::bind(mount.source.clone(), mount.target.clone())
    })
}

/// How something stands whose sidecar is gone; `None` where it is to be started again. `before` is how it stood.
pub(super) fn lost(declared: &Automations, item: &Item, before: &AutomationStatus) -> Option<Status> {
    let phase = match before.phase {
        api::AutomationPhase::Stopping => Phase::Stopping,
        phase if phase.is_alive() => Phase::Running,
        _ => return None,
    };
    let mut states = States::default();
    let state = State { phase, restarts: before.restarts, ..State::default() };
    states.0.insert(item.clone(), state);
    states.ended(declared, item, Exit::Unknown, 0);
    let phase = states.of(item).phase;
    let why = "its container ended or was removed, by other means than Cove's";
    (phase != Phase::Pausing).then(|| settled(phase, before.session.0.clone(), why.to_owned()))
}

/// How something stands that came to rest without a command of it having ended.
pub(super) fn settled(phase: Phase, session: String, why: String) -> Status {
    Status {
        phase,
        since: u64::try_from(Timestamp::now().as_second()).unwrap_or_default(),
        session,
        pid: None,
        exit: None,
        message: Some(why).filter(|_| phase == Phase::Failed),
        restarts: 0,
        took: None,
        outputs: BTreeMap::new(),
        secrets: BTreeMap::new(),
        log_tail: Vec::new(),
    }
}

/// The image that something is to have a container of.
pub(super) fn image_of<'a>(declared: &'a Automations, item: &Item) -> Option<&'a Image> {
    match declared.place(item) {
        Place::DevContainer => None,
        Place::Docker(image) => Some(image),
    }
}

/// The running sidecar of a task or service, for who wants to look into it.
///
/// # Errors
/// It has none, or that does not run.
pub(crate) async fn running(
    engine: &Engine,
    environment: &Environment,
    main: &str,
    item: &Item,
) -> Result<Option<String>, Problem> {
    let found = engine.find_containers(&labels_of(environment)).await;
    let found = found.map_err(|error| problems::from_engine(&error))?;
    let is_it =
        |it: &ContainerSummary| item_of(it).as_ref() == Some(item) && main_of(&it.labels) == Some(main);
    let sidecar = found.into_iter().find(is_it);
    match sidecar {
        Some(sidecar) if !sidecar.running => {
            let title = format!("the container of `{item}` does not run");
            Err(Problem::new(ProblemCode::NotRunning, title))
        }
        sidecar => Ok(sidecar.map(|sidecar| sidecar.id)),
    }
}
