//! What is there: one look at an environment's files, container and ports.

use api::{
    ContainerStatus, DesiredPhase, Environment, HookStage, HookStatus, MachinePhase, PortStatus, Problem,
    ProblemCode, ServiceStatus, Session,
};
use camino::Utf8PathBuf;
use devcontainer::{Lifecycle, Resolved, WaitFor};
use engine::{ContainerState, ContainerSummary, Engine, MountedKind};
use jiff::Timestamp;
use reconciler::{
    ConfigFacts, ContainerFacts, HookRecord, InitializeFacts, LeftServices, MachineFacts, Observed,
};

use crate::automations::{self, Look, sidecar};
use crate::clone;
use crate::configuration::{ADOPTED_LABEL, Reading, resolve};
use crate::execute;
use crate::files::Hearing;
use crate::left_out::LeftOut;
use crate::machine::MachineState;
use crate::prebuild::{self, BEGAN_LABEL, Found};
use crate::problems;
use crate::reconcile::{Memory, Parts, Prepared, Started};
use crate::secrets::{Given, place};
use crate::warnings;

/// The environment a container belongs to.
pub(crate) const ENVIRONMENT_LABEL: &str = "dev.cove.environment";
/// Digest of the configuration a container was made from.
pub(crate) const CONFIG_LABEL: &str = "dev.cove.config";
/// Rebuild session a container was made for.
pub(crate) const REBUILD_LABEL: &str = "dev.cove.rebuild";

/// One look.
pub(crate) struct Observation {
    /// What planning needs.
    pub(crate) facts: Observed,
    /// The main container, for people.
    pub(crate) container: Option<ContainerStatus>,
    /// The other containers, for people.
    pub(crate) services: Vec<ServiceStatus>,
    /// The hooks that ran, for people.
    pub(crate) hooks: Vec<HookStatus>,
    /// Its ports.
    pub(crate) ports: Vec<PortStatus>,
    /// What a person should know of them.
    pub(crate) port_problems: Vec<Problem>,
    /// Why ports that its containers publish are not open on this computer.
    pub(crate) unpublished: Vec<Problem>,
    /// The folders of this computer that its running container sees.
    pub(crate) seen_folders: Vec<Utf8PathBuf>,
    /// Whether watchers in it hear of changes in them.
    pub(crate) hearing: Hearing,
    /// Its tasks and services.
    pub(crate) automations: Look,
    /// The files of secrets, and what runs with older values.
    pub(crate) secrets: place::Look,
    /// When the container last started.
    pub(crate) started_at: Option<Timestamp>,
    /// The main container as the engine sees it.
    pub(crate) state: Option<ContainerState>,
    /// What holds for it, with what its image says; `None` before the configuration is read.
    pub(crate) resolved: Option<Resolved>,
}

/// Looks at everything that concerns an environment.
///
/// # Errors
/// The store or the engine does not answer.
pub(crate) async fn observe(
    parts: &Parts,
    environment: &Environment,
    memory: &mut Memory,
) -> Result<Observation, Problem> {
    let generation = environment.metadata.generation;
    let machine = parts.machine.state();
    let ready = machine.is_ready();
    let reading = memory.reading_for(generation, ready);
    let config = reading.as_ref().map(|reading| reading.config.as_ref());
    // Asked for before the container is: an engine that restarts in between ends it, and is no news then.
    let engine_starts = parts.machine.engine_starts();
    memory.machine_seen |= ready;
    let labelled = if ready { labelled(parts, environment).await? } else { Vec::new() };
    let state = if ready { main_of(parts, environment, &labelled).await? } else { None };
    // The image counts once it was made ready for this wish.
    let prepared = memory.image.clone().filter(|image| is_for(image, config, environment));
    let resolved = config.map(|config| match (&state, &prepared) {
        (None, Some(prepared)) => devcontainer::merge(&prepared.image.metadata, config),
        (state, _) => resolve(config, state.as_ref()),
    });
    let run = state.as_ref().and_then(run_of);

    let was_answered = memory.answered == Some(generation);
    let services = services_beside(parts, environment, state.as_ref(), ready).await?;
    let present = |container: &str| Started { container: container.to_owned(), generation, engine_starts };
    if let Some(state) = state.as_ref().filter(|state| run.is_some() && is_wanted(environment, state)) {
        memory.ran = Some(present(&state.id));
    }
    // Services may end by their nature: each wish starts them once.
    let is_started = state.as_ref().is_some_and(|state| memory.started.as_ref() == Some(&present(&state.id)));
    let complete =
        run.is_some() && (is_started || was_answered || services.iter().all(|service| service.running));
    let container = match &state {
        Some(state) => ContainerFacts::Present {
            id: state.id.clone(),
            run: run.clone(),
            digest: label(state, CONFIG_LABEL),
            rebuild: Session(label(state, REBUILD_LABEL)),
            complete,
            active: run.is_some() || services.iter().any(|service| service.running),
        },
        None => no_container(parts, environment, config, ready).await?,
    };
    let ended = if ready && run.is_none() {
        ended(parts, environment, state.as_ref(), memory, engine_starts, resolved.as_ref()).await
    } else {
        None
    };
    if run.is_some() || machine_facts(machine) == MachineFacts::Off {
        memory.ended_with = None;
    }
    let left = left_services(parts, environment, &container).await?;
    let is_up = is_active(&container, left);
    if ready && !is_up && environment.spec.desired_phase == DesiredPhase::Stopped {
        memory.stopped_for = Some(generation);
    }
    let records = all_hook_records(parts, environment, state.as_ref())?;
    let given = parts.secrets.of(environment);
    // None where the container was not looked for: those of one that is not there are removed.
    let sidecars = sidecar::tend(&parts.machine.engine(), &labelled, state.as_ref()).await?;
    let given_now = given.as_ref().ok();
    let automations = automations::look(parts, environment, memory, state.as_ref(), &sidecars, given_now)?;
    let secrets = secrets(parts, environment, memory, run.clone(), given.as_ref());
    let is_to_be_made = ready && container == ContainerFacts::Absent && wants_container(environment);
    let in_place = run.is_some() && memory.ports.as_ref().map(|ports| &ports.run) == run.as_ref();
    let facts = Observed {
        machine: machine_facts(machine),
        answered: was_answered && !memory.machine_seen,
        left_alone: memory.stopped_for == Some(generation),
        sources: clone::facts_with_engine(parts, environment, state.as_ref()).await?,
        config: match (&reading, &resolved) {
            (Some(reading), Some(resolved)) => {
                let (prepared, given) = (prepared.as_ref(), given.as_ref().ok());
                Some(config_facts(parts, environment, reading, resolved, &container, prepared, given)?)
            }
            _ => None,
        },
        container,
        ended,
        left,
        image_prepared_for: memory.image.as_ref().map(|image| (image.digest.clone(), image.rebuild.clone())),
        hooks: records.iter().map(|(record, _)| record.clone()).collect(),
        dotfiles_failed: memory.dotfiles_failed_for(&environment.spec.retry),
        ports_in_place: in_place,
        secrets: secrets.due.clone(),
        automations: automations.due.clone(),
        prebuild_tasks: automations.tasks.clone(),
        prebuild: prebuild_for(parts, environment, config, is_to_be_made).await?,
        any_port_open: parts.ports.any_open(environment),
        failure: memory.failure.clone(),
    };
    Ok(Observation {
        unpublished: unpublished(parts, state.as_ref(), &services),
        seen_folders: seen_folders(parts, state.as_ref()),
        hearing: parts.files.hearing(&environment.id),
        container: state.as_ref().map(|state| container_status(state, config, resolved.as_ref())),
        services,
        automations,
        secrets,
        hooks: hook_statuses(&records, run.as_deref(), memory),
        ports: parts.ports.statuses(&environment.id),
        port_problems: parts.ports.problems_of(&environment.id),
        started_at: state.as_ref().and_then(|state| state.started_at.as_ref()?.parse().ok()),
        state,
        resolved,
        facts,
    })
}

/// Whether an image was made ready for what is wanted now.
fn is_for(image: &Prepared, config: Option<&devcontainer::Config>, environment: &Environment) -> bool {
    config.is_some_and(|config| config.digest == image.digest) && image.rebuild == environment.spec.rebuild
}

/// The services that belong to a container; while the machine is off, those that there were.
async fn services_beside(
    parts: &Parts,
    environment: &Environment,
    main: Option<&ContainerState>,
    is_ready: bool,
) -> Result<Vec<ServiceStatus>, Problem> {
    match main {
        Some(state) => services(&parts.machine.engine(), state).await,
        None if is_ready => Ok(Vec::new()),
        None => Ok(environment.status.services.iter().cloned().map(stopped).collect()),
    }
}

/// The files of secrets in a run of the container, and who has older values.
fn secrets(
    parts: &Parts,
    environment: &Environment,
    memory: &Memory,
    run: Option<String>,
    given: Result<&Given, &Problem>,
) -> place::Look {
    let given = match given {
        Ok(given) => given,
        // What is there stays as it is: nobody knows what it is to be.
        Err(problem) => {
            let status = environment.status.secrets.clone();
            return place::Look { status, warnings: vec![problem.clone()], ..place::Look::default() };
        }
    };
    let is_up = run.is_some();
    let mut look = place::look(environment, given, run, memory.placed.as_ref());
    if is_up {
        let report = parts.automations.report(&environment.id);
        look.warnings.extend(place::stale(environment, given, report.as_ref(), parts.secrets.uses()));
    }
    look
}

/// Whether a container is to run as it is: not one that is about to be made anew, which goes because that is wanted.
fn is_wanted(environment: &Environment, container: &ContainerState) -> bool {
    wants_container(environment) && label(container, REBUILD_LABEL) == environment.spec.rebuild.0
}

/// The prebuild that a container which is to be made begins from.
async fn prebuild_for(
    parts: &Parts,
    environment: &Environment,
    config: Option<&devcontainer::Config>,
    is_to_be_made: bool,
) -> Result<Option<String>, Problem> {
    let Some(config) = config.filter(|_| is_to_be_made && environment.spec.prebuild.is_none()) else {
        return Ok(None);
    };
    Ok(match prebuild::find(parts, environment, config).await? {
        Found::Fits(name) => Some(name),
        Found::None | Found::Stale(_) => None,
    })
}

/// Whether any of an environment's containers runs.
fn is_active(container: &ContainerFacts, left: LeftServices) -> bool {
    matches!(container, ContainerFacts::Present { active: true, .. }) || left == LeftServices::Running
}

fn machine_facts(machine: MachineState) -> MachineFacts {
    match machine.phase {
        _ if machine.is_ready() => MachineFacts::Ready,
        MachinePhase::Stopped => MachineFacts::Off,
        MachinePhase::Starting | MachinePhase::Running | MachinePhase::Paused | MachinePhase::Stopping => {
            MachineFacts::Unready
        }
    }
}

/// What is known of a container that was not found.
async fn no_container(
    parts: &Parts,
    environment: &Environment,
    config: Option<&devcontainer::Config>,
    ready: bool,
) -> Result<ContainerFacts, Problem> {
    let config = config.filter(|_| ready && wants_container(environment));
    if let Some(config) = config
        && foreign_container(parts, config).await?.is_some()
    {
        return Ok(ContainerFacts::Foreign);
    }
    let is_known = ready || !may_have_container(environment);
    Ok(if is_known { ContainerFacts::Absent } else { ContainerFacts::Unseen })
}

fn unpublished(parts: &Parts, main: Option<&ContainerState>, services: &[ServiceStatus]) -> Vec<Problem> {
    let containers = main.map(|state| &state.id).into_iter().chain(services.iter().map(|it| &it.container));
    containers.flat_map(|id| parts.ports.troubles_of(id)).collect()
}

/// The folders of this computer that a running container sees, as they really are called.
fn seen_folders(parts: &Parts, state: Option<&ContainerState>) -> Vec<Utf8PathBuf> {
    let mounts = state.filter(|state| state.running).map_or(&[][..], |state| &state.mounts);
    let binds = mounts.iter().filter(|mount| mount.kind == MountedKind::Bind);
    let real = binds.filter_map(|mount| fs_err::canonicalize(&mount.source).ok());
    let real = real.filter_map(|path| Utf8PathBuf::from_path_buf(path).ok());
    real.filter(|path| path.is_dir() && parts.machine.shared_root_of(path).is_some()).collect()
}

/// Why a container that ran does not run any more; `None` for another one that did not run yet.
async fn ended(
    parts: &Parts,
    environment: &Environment,
    state: Option<&ContainerState>,
    memory: &Memory,
    engine_starts: u64,
    resolved: Option<&Resolved>,
) -> Option<Box<Problem>> {
    let generation = environment.metadata.generation;
    let Some(ran) = memory.ran_last(generation, engine_starts) else {
        // A daemon that began since takes the word of the one before it.
        return memory.ended_with.clone().filter(|_| memory.answered == Some(generation));
    };
    match state {
        Some(state) if state.id == ran => {
            let how = "by itself or by other means than Cove's";
            Some(execute::ended(&parts.machine.engine(), state, how, resolved).await.into())
        }
        Some(_) => None,
        None => Some(removed(environment).into()),
    }
}

/// A container that is gone, and Cove did not remove it.
fn removed(environment: &Environment) -> Problem {
    let name = &environment.metadata.name;
    let title = format!("the container of `{name}` was removed by other means than Cove's");
    Problem::new(ProblemCode::ContainerFailed, title).with_command("make it anew", "cove up")
}

/// Identifies the present run of a container; `None` while it does not run.
pub(crate) fn run_of(state: &ContainerState) -> Option<String> {
    state.started_at.clone().filter(|_| state.running)
}

/// The main container of an environment. The label with its id alone does not tell: images that were built for the
/// environment carry it as well, and hand it on to whatever somebody runs from them.
pub(crate) async fn main_container(
    parts: &Parts,
    environment: &Environment,
) -> Result<Option<ContainerState>, Problem> {
    main_of(parts, environment, &labelled(parts, environment).await?).await
}

/// The containers with our labels for an environment: its main one, those beside it, and what others made of these.
async fn labelled(parts: &Parts, environment: &Environment) -> Result<Vec<ContainerSummary>, Problem> {
    let label = format!("{ENVIRONMENT_LABEL}={}", environment.id);
    let found = parts.machine.engine().find_containers(&[label, CONFIG_LABEL.to_owned()]).await;
    found.map_err(|error| problems::from_engine(&error))
}

/// The main container among them.
async fn main_of(
    parts: &Parts,
    environment: &Environment,
    labelled: &[ContainerSummary],
) -> Result<Option<ContainerState>, Problem> {
    let engine = parts.machine.engine();
    // What stands beside it has the label too, without a value.
    let is_main =
        |it: &&ContainerSummary| it.labels.get(CONFIG_LABEL).is_some_and(|digest| !digest.is_empty());
    let mut found: Vec<_> = labelled.iter().filter(is_main).collect();
    // The one it has, or else the oldest: what others made of it came later.
    let known = environment.status.container.as_ref().map(|known| &known.id);
    found.sort_by_key(|container| (Some(&container.id) != known, container.created));
    for container in found {
        let state = engine.container(&container.id).await.map_err(|error| problems::from_engine(&error))?;
        let Some(state) = state else { continue };
        if Some(&state.id) == known || !is_made_of_another(&engine, &state).await? {
            return Ok(Some(state));
        }
    }
    let Some(adopted) = parts.store.adopted(&environment.id)? else { return Ok(None) };
    let state = engine.container(&adopted.container).await;
    let mut state = state.map_err(|error| problems::from_engine(&error))?;
    if let Some(state) = &mut state {
        // As if it had been made here: nobody can add labels to a container that exists.
        state.labels.insert(ENVIRONMENT_LABEL.to_owned(), environment.id.to_string());
        state.labels.insert(CONFIG_LABEL.to_owned(), adopted.digest);
        state.labels.insert(REBUILD_LABEL.to_owned(), adopted.rebuild.0);
        state.labels.insert(ADOPTED_LABEL.to_owned(), adopted.container);
    }
    Ok(state)
}

/// Whether a container has our labels from its image only: somebody ran what `docker commit` made of the container of an
/// environment.
async fn is_made_of_another(engine: &Engine, state: &ContainerState) -> Result<bool, Problem> {
    let image = engine.image(&state.image_id).await.map_err(|error| problems::from_engine(&error))?;
    let of_image = image.map(|image| image.labels).unwrap_or_default();
    Ok([ENVIRONMENT_LABEL, CONFIG_LABEL].iter().all(|name| state.labels.get(*name) == of_image.get(*name)))
}

/// A container that another tool made for the same folder and configuration: known by the labels that all such tools
/// share, and by having none of ours. One that runs is preferred.
pub(crate) async fn foreign_container(
    parts: &Parts,
    config: &devcontainer::Config,
) -> Result<Option<String>, Problem> {
    let labels = config.labels();
    let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let found = parts.machine.engine().find_containers(&wanted).await;
    let mut found = found.map_err(|error| problems::from_engine(&error))?;
    // Without a file there is one label less to ask for, which would find those of every file.
    found.retain(|container| {
        !container.removing
            && !container.labels.contains_key(ENVIRONMENT_LABEL)
            && container.labels.contains_key(devcontainer::CONFIG_FILE_LABEL) == config.file.is_some()
    });
    found.sort_by_key(|container| !container.running);
    Ok(found.into_iter().next().map(|container| container.id))
}

fn wants_container(environment: &Environment) -> bool {
    environment.spec.desired_phase == DesiredPhase::Running
}

/// A service as it is in a machine that is down.
fn stopped(service: ServiceStatus) -> ServiceStatus {
    ServiceStatus { running: false, health: None, ..service }
}

/// The other containers of a compose project, if the main one belongs to one.
async fn services(engine: &Engine, main: &ContainerState) -> Result<Vec<ServiceStatus>, Problem> {
    let Some(project) = main.labels.get("com.docker.compose.project") else { return Ok(Vec::new()) };
    let project = format!("com.docker.compose.project={project}");
    // Not what somebody runs for a moment with `docker compose run`.
    let lasting = "com.docker.compose.oneoff=False".to_owned();
    let found = engine.find_containers(&[project, lasting]).await;
    let found = found.map_err(|error| problems::from_engine(&error))?;
    let mut services: Vec<ServiceStatus> = found
        .into_iter()
        .filter(|summary| main.id != summary.id)
        .map(|summary| ServiceStatus {
            name: summary.labels.get("com.docker.compose.service").cloned().unwrap_or(summary.name),
            container: summary.id,
            running: summary.running,
            health: None,
        })
        .collect();
    services.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(services)
}

/// Whether a container may be on the disk of a machine that is off.
fn may_have_container(environment: &Environment) -> bool {
    environment.status.container.is_some()
        || environment.status.started_at.is_some()
        || environment.status.step.is_some()
}

fn label(state: &ContainerState, name: &str) -> String {
    state.labels.get(name).cloned().unwrap_or_default()
}

/// What is there of a compose project without its main container.
async fn left_services(
    parts: &Parts,
    environment: &Environment,
    container: &ContainerFacts,
) -> Result<LeftServices, Problem> {
    // One that shall run gets its main container soon, and that takes them with it.
    let is_asked = *container == ContainerFacts::Absent
        && parts.machine.state().is_ready()
        && !wants_container(environment);
    if !is_asked {
        return Ok(LeftServices::None);
    }
    Ok(match execute::left_of(&parts.machine.engine(), &environment.id).await? {
        Some((_, true)) => LeftServices::Running,
        Some((_, false)) => LeftServices::Stopped,
        None => LeftServices::None,
    })
}

fn config_facts(
    parts: &Parts,
    environment: &Environment,
    reading: &Reading,
    resolved: &Resolved,
    container: &ContainerFacts,
    prepared: Option<&Prepared>,
    given: Option<&Given>,
) -> Result<ConfigFacts, Problem> {
    let left_out = LeftOut::of(parts, environment, container, prepared)?;
    let warnings = warnings::of(parts, environment, reading, resolved, container, &left_out, given)?;
    let mut hooks = hook_stages(&resolved.lifecycle);
    if environment.spec.dotfiles.is_some() {
        hooks.push(HookStage::Dotfiles);
        hooks.sort_unstable();
    }
    Ok(ConfigFacts {
        digest: reading.config.digest.clone(),
        hooks,
        warnings,
        initialize: reading.initialize.clone().map(|(consent, trust)| InitializeFacts { trust, consent }),
        open_mounts: left_out.with(&reading.withheld).open(),
        wait_for: stage_of(resolved.wait_for),
    })
}

fn stage_of(wait_for: WaitFor) -> HookStage {
    match wait_for {
        WaitFor::InitializeCommand => HookStage::Initialize,
        WaitFor::OnCreateCommand => HookStage::OnCreate,
        WaitFor::UpdateContentCommand => HookStage::UpdateContent,
        WaitFor::PostCreateCommand => HookStage::PostCreate,
        WaitFor::PostStartCommand => HookStage::PostStart,
        WaitFor::PostAttachCommand => HookStage::PostAttach,
    }
}

/// The stages that have a command.
fn hook_stages(lifecycle: &Lifecycle) -> Vec<HookStage> {
    let stages = [
        (HookStage::OnCreate, &lifecycle.on_create),
        (HookStage::UpdateContent, &lifecycle.update_content),
        (HookStage::PostCreate, &lifecycle.post_create),
        (HookStage::PostStart, &lifecycle.post_start),
        (HookStage::PostAttach, &lifecycle.post_attach),
    ];
    stages.into_iter().filter(|(_, commands)| !commands.is_empty()).map(|(stage, _)| stage).collect()
}

/// The hooks that ended well on this computer and in this container.
fn all_hook_records(
    parts: &Parts,
    environment: &Environment,
    state: Option<&ContainerState>,
) -> Result<Vec<(HookRecord, u64)>, Problem> {
    let mut records = hook_records(parts, environment, "")?;
    if let Some(state) = state {
        records.extend(hook_records(parts, environment, &state.id)?);
        // What a prebuild did before its image was made.
        let record = HookRecord { stage: HookStage::OnCreate, subject: state.id.clone() };
        let is_known = records.iter().any(|(known, _)| *known == record);
        if !label(state, BEGAN_LABEL).is_empty() && !is_known {
            records.push((record, 0));
        }
    }
    Ok(records)
}

fn hook_records(
    parts: &Parts,
    environment: &Environment,
    container: &str,
) -> Result<Vec<(HookRecord, u64)>, Problem> {
    let records = parts.store.hooks_of(&environment.id, container)?;
    Ok(records.into_iter().map(|(stage, subject, millis)| (HookRecord { stage, subject }, millis)).collect())
}

/// The hooks that count for the container as it runs now, and those that failed.
fn hook_statuses(records: &[(HookRecord, u64)], run: Option<&str>, memory: &Memory) -> Vec<HookStatus> {
    let counts =
        |record: &HookRecord| record.stage.once_per_container() || Some(record.subject.as_str()) == run;
    let mut statuses: Vec<HookStatus> = records
        .iter()
        .filter(|(record, _)| counts(record))
        .map(|(record, millis)| HookStatus { stage: record.stage, succeeded: true, millis: *millis })
        .collect();
    let dotfiles = memory.dotfiles.as_ref().map(|_| HookStage::Dotfiles);
    for stage in memory.failed_hook.into_iter().chain(dotfiles) {
        if statuses.iter().all(|status| status.stage != stage) {
            statuses.push(HookStatus { stage, succeeded: false, millis: 0 });
        }
    }
    statuses.sort_by_key(|status| status.stage);
    statuses
}

fn container_status(
    state: &ContainerState,
    config: Option<&devcontainer::Config>,
    resolved: Option<&Resolved>,
) -> ContainerStatus {
    ContainerStatus {
        id: state.id.clone(),
        name: state.name.clone(),
        image: state.image_id.clone(),
        running: state.running,
        remote_user: resolved
            .map(|resolved| resolved.effective_user(&state.user).to_owned())
            .unwrap_or_default(),
        workspace_folder: config.map(|config| config.workspace_folder.clone()).unwrap_or_default(),
        config_digest: label(state, CONFIG_LABEL),
        started_at: state.started_at.clone(),
    }
}
