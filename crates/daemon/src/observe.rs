//! What is there: one look at an environment's files, container and ports.

use std::sync::Arc;

use api::{
    ContainerStatus, DesiredPhase, Environment, HookStage, HookStatus, HostCommand, MachinePhase, PortStatus,
    Problem, ProblemCode, ServiceStatus, Session,
};
use camino::Utf8PathBuf;
use devcontainer::{Config, Lifecycle, Located, Properties, Resolved};
use engine::{ContainerState, Engine};
use jiff::Timestamp;
use reconciler::{
    ConfigFacts, ContainerFacts, HookRecord, InitializeFacts, LeftServices, MachineFacts, Observed,
};
use sha2::{Digest, Sha256};

use crate::execute;
use crate::problems;
use crate::reconcile::{Memory, Parts, Started};
use crate::sources::Disk;

/// The environment a container belongs to.
pub(crate) const ENVIRONMENT_LABEL: &str = "dev.cove.environment";
/// Digest of the configuration a container was made from.
pub(crate) const CONFIG_LABEL: &str = "dev.cove.config";
/// Rebuild session a container was made for.
pub(crate) const REBUILD_LABEL: &str = "dev.cove.rebuild";

/// The image of environments without a configuration; it comes with the guest image.
pub(crate) const DEFAULT_IMAGE: &str = "cove/base:trixie";

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
    /// The open ports.
    pub(crate) ports: Vec<PortStatus>,
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
    let config = memory
        .config
        .as_ref()
        .filter(|(read_for, _)| *read_for == generation)
        .map(|(_, config)| Arc::clone(config));
    let machine = parts.machine.state();
    let ready = machine.is_ready();
    // Asked for before the container is: an engine that restarts in between ends it, and is no news then.
    let engine_starts = parts.machine.engine_starts();
    memory.machine_seen |= ready;
    let state = if ready { main_container(&parts.machine.engine(), environment).await? } else { None };
    let resolved = config.as_ref().map(|config| resolve(config, state.as_ref()));
    let run = state.as_ref().and_then(run_of);

    let was_answered = memory.answered == Some(generation);
    let services = match &state {
        Some(state) => services(&parts.machine.engine(), state).await?,
        None if ready => Vec::new(),
        None => environment.status.services.iter().cloned().map(stopped).collect(),
    };
    let container = match &state {
        Some(state) => {
            let started = Started { container: state.id.clone(), generation, engine_starts };
            let is_started = memory.started.as_ref() == Some(&started);
            ContainerFacts::Present {
                id: state.id.clone(),
                run: run.clone(),
                digest: label(state, CONFIG_LABEL),
                rebuild: Session(label(state, REBUILD_LABEL)),
                // Services may end by their nature: each wish starts them once.
                complete: run.is_some()
                    && (is_started || was_answered || services.iter().all(|service| service.running)),
                active: run.is_some() || services.iter().any(|service| service.running),
                ended: if is_started && run.is_none() {
                    let engine = parts.machine.engine();
                    Some(execute::ended(&engine, state, "by itself", resolved.as_ref()).await.into())
                } else {
                    None
                },
            }
        }
        None if ready || !may_have_container(environment) => ContainerFacts::Absent,
        None => ContainerFacts::Unseen,
    };
    let left = match &container {
        // The main one comes soon, and takes them with it.
        ContainerFacts::Absent if ready && environment.spec.desired_phase != DesiredPhase::Running => {
            match execute::left_of(&parts.machine.engine(), &environment.id).await? {
                Some((_, true)) => LeftServices::Running,
                Some((_, false)) => LeftServices::Stopped,
                None => LeftServices::None,
            }
        }
        ContainerFacts::Absent | ContainerFacts::Unseen | ContainerFacts::Present { .. } => {
            LeftServices::None
        }
    };
    let mut records = hook_records(parts, environment, "")?;
    if let Some(state) = &state {
        records.extend(hook_records(parts, environment, &state.id)?);
    }
    let open = parts.ports.open(&environment.id);
    let in_place = run.is_some() && memory.ports.as_ref().map(|ports| &ports.run) == run.as_ref();
    let facts = Observed {
        machine: match machine.phase {
            _ if ready => MachineFacts::Ready,
            MachinePhase::Stopped => MachineFacts::Off,
            MachinePhase::Starting | MachinePhase::Running | MachinePhase::Stopping => MachineFacts::Unready,
        },
        answered: was_answered && !memory.machine_seen,
        config: config
            .as_ref()
            .map(|config| config_facts(environment, config, resolved.as_ref(), &container)),
        container,
        left,
        image_prepared_for: memory.image.as_ref().map(|image| (image.digest.clone(), image.rebuild.clone())),
        hooks: records.iter().map(|(record, _)| record.clone()).collect(),
        ports_in_place: in_place,
        any_port_open: !open.is_empty(),
        failure: memory.failure.clone(),
    };
    Ok(Observation {
        container: state.as_ref().map(|state| container_status(state, config.as_deref(), resolved.as_ref())),
        services,
        hooks: hook_statuses(&records, run.as_deref()),
        ports: open,
        started_at: state.as_ref().and_then(|state| state.started_at.as_ref()?.parse().ok()),
        state,
        resolved,
        facts,
    })
}

/// Reads the configuration of an environment from the disk.
///
/// # Errors
/// The folder is gone or not shared, or the configuration has mistakes.
pub(crate) fn read_config(parts: &Parts, environment: &Environment) -> Result<Arc<Config>, Problem> {
    let folder = environment.spec.source.folder();
    if !folder.is_dir() {
        return Err(problems::folder_missing(folder));
    }
    if parts.machine.shared_root_of(folder).is_none() {
        return Err(problems::folder_not_shared(folder));
    }
    read_config_of(folder, environment.spec.config.as_ref())
}

/// Reads the configuration of a folder from the disk.
///
/// # Errors
/// There is none where one was asked for, or it has mistakes.
pub(crate) fn read_config_of(
    folder: &Utf8PathBuf,
    config: Option<&Utf8PathBuf>,
) -> Result<Arc<Config>, Problem> {
    let located: Located = devcontainer::locate(&Disk, folder, config.map(Utf8PathBuf::as_path))
        .map_err(|error| problems::from_locate(&error))?;
    let config = devcontainer::read(&Disk, folder, &located, DEFAULT_IMAGE)
        .map_err(|error| problems::from_read(&error))?;
    Ok(Arc::new(config))
}

/// The digest by which a person agrees to an `initializeCommand`; `None` without one.
pub(crate) fn initialize_digest(config: &Config) -> Option<String> {
    let command = config.initialize_command.as_ref()?;
    let text = serde_json::to_string(command).unwrap_or_default();
    let digits = Sha256::digest(text.as_bytes());
    Some(digits.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect())
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or_default()
}

/// What holds for a container, with what its image says about itself.
pub(crate) fn resolve(config: &Config, state: Option<&ContainerState>) -> Resolved {
    let label = state.and_then(|state| state.labels.get(devcontainer::METADATA_LABEL));
    devcontainer::merge(&image_metadata(label.map(String::as_str)), config)
}

/// What an image says about itself. An image whose label cannot be read says nothing, and none is told the
/// variables of this computer (`${localEnv:…}`): an image is not trusted with them.
pub(crate) fn image_metadata(label: Option<&str>) -> Vec<Properties> {
    label.map(|text| devcontainer::parse_metadata_label(text).unwrap_or_default()).unwrap_or_default()
}

/// Identifies the present run of a container; `None` while it does not run.
pub(crate) fn run_of(state: &ContainerState) -> Option<String> {
    state.started_at.clone().filter(|_| state.running)
}

/// The main container of an environment. The label with its id alone does not tell: images that were built for the
/// environment carry it as well, and hand it on to whatever somebody runs from them.
pub(crate) async fn main_container(
    engine: &Engine,
    environment: &Environment,
) -> Result<Option<ContainerState>, Problem> {
    let label = format!("{ENVIRONMENT_LABEL}={}", environment.id);
    let found = engine.find_containers(&[label, CONFIG_LABEL.to_owned()]).await;
    let found = found.map_err(|error| problems::from_engine(&error))?;
    let Some(first) = found.first() else { return Ok(None) };
    engine.container(&first.id).await.map_err(|error| problems::from_engine(&error))
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

fn config_facts(
    environment: &Environment,
    config: &Config,
    resolved: Option<&Resolved>,
    container: &ContainerFacts,
) -> ConfigFacts {
    let digest = initialize_digest(config);
    let initialize = digest
        .as_ref()
        .map(|digest| InitializeFacts { trusted: environment.spec.trusted_commands.contains(digest) });
    ConfigFacts {
        digest: config.digest.clone(),
        hooks: resolved.map(|resolved| hook_stages(&resolved.lifecycle)).unwrap_or_default(),
        warnings: warnings(environment, config, initialize.as_ref(), container),
        initialize,
    }
}

fn warnings(
    environment: &Environment,
    config: &Config,
    initialize: Option<&InitializeFacts>,
    container: &ContainerFacts,
) -> Vec<Problem> {
    let name = &environment.metadata.name;
    let mut warnings = Vec::new();
    if let Some(digest) = initialize_digest(config)
        && initialize.is_some_and(|initialize| !initialize.trusted)
    {
        let text = serde_json::to_string(&config.initialize_command).unwrap_or_default();
        warnings.push(
            Problem::new(ProblemCode::ConsentNeeded, "`initializeCommand` was not run on this computer")
                .asking_consent(HostCommand { text, digest })
                .with_command("agree to it as it is now", "cove up --trust"),
        );
    }
    if !config.features.is_empty() {
        let names: Vec<&str> = config.features.keys().map(String::as_str).collect();
        let title = format!("features are not installed by this version: {}", names.join(", "));
        warnings.push(Problem::new(ProblemCode::Unsupported, title));
    }
    if let ContainerFacts::Present { digest, rebuild, .. } = container
        && *digest != config.digest
        && *rebuild == environment.spec.rebuild
        && environment.spec.desired_phase == DesiredPhase::Running
    {
        warnings.push(
            Problem::new(
                ProblemCode::ConfigChanged,
                format!("the configuration of `{name}` changed after its container was made"),
            )
            .with_command("make the container anew", "cove up --rebuild"),
        );
    }
    warnings
}

/// The stages that have a command.
fn hook_stages(lifecycle: &Lifecycle) -> Vec<HookStage> {
    HookStage::ALL.into_iter().filter(|stage| !commands_of(lifecycle, *stage).is_empty()).collect()
}

/// The commands of a stage inside the container.
pub(crate) fn commands_of(lifecycle: &Lifecycle, stage: HookStage) -> &[devcontainer::Command] {
    match stage {
        HookStage::Initialize => &[],
        HookStage::OnCreate => &lifecycle.on_create,
        HookStage::UpdateContent => &lifecycle.update_content,
        HookStage::PostCreate => &lifecycle.post_create,
        HookStage::PostStart => &lifecycle.post_start,
        HookStage::PostAttach => &lifecycle.post_attach,
    }
}

fn hook_records(
    parts: &Parts,
    environment: &Environment,
    container: &str,
) -> Result<Vec<(HookRecord, u64)>, Problem> {
    let records = parts.store.hooks_of(&environment.id, container)?;
    Ok(records.into_iter().map(|(stage, subject, millis)| (HookRecord { stage, subject }, millis)).collect())
}

/// The hooks that count for the container as it runs now.
fn hook_statuses(records: &[(HookRecord, u64)], run: Option<&str>) -> Vec<HookStatus> {
    let counts =
        |record: &HookRecord| record.stage.once_per_container() || Some(record.subject.as_str()) == run;
    let mut statuses: Vec<HookStatus> = records
        .iter()
        .filter(|(record, _)| counts(record))
        .map(|(record, millis)| HookStatus { stage: record.stage, succeeded: true, millis: *millis })
        .collect();
    statuses.sort_by_key(|status| status.stage);
    statuses
}

fn container_status(
    state: &ContainerState,
    config: Option<&Config>,
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
