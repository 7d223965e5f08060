//! The container of a dev container: finding it by its labels, making it, starting it and seeing it run.

use std::collections::BTreeMap;
use std::time::Duration;

use devcontainer::{CONFIG_FILE_LABEL, Config, LOCAL_FOLDER_LABEL, METADATA_LABEL, Properties, Resolved};
use engine::{ContainerError, ContainerSpec, ContainerState, Engine, EngineError, LogRange};
use futures::StreamExt;

/// How long a fresh container is watched: one whose command is wrong ends at once.
const WATCHED: Duration = Duration::from_millis(300);

/// Lines of the container's output kept for the error.
const TAIL: u32 = 30;

/// A container was not brought to run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It could not be made or started.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It ended right after its start.
    #[error("the container `{container}` ended at once, with status {status}")]
    Ended {
        /// The container's name.
        container: String,
        /// Its exit status.
        status: i64,
        /// The last lines that it said.
        log_tail: Vec<String>,
    },
    /// Somebody else removed it.
    #[error("the container is gone")]
    Gone,
}

impl From<EngineError> for StartError {
    fn from(error: EngineError) -> Self {
        Self::Container(error.into())
    }
}

/// The container with all these labels, running or not; `None` when there is none.
pub async fn find(
    engine: &Engine,
    labels: &BTreeMap<String, String>,
) -> Result<Option<ContainerState>, EngineError> {
    let wanted: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let found = engine.find_containers(&wanted).await?;
    for found in found.into_iter().filter(|container| !container.removing) {
        if let Some(state) = engine.container(&found.id).await? {
            return Ok(Some(state));
        }
    }
    Ok(None)
}

/// The container of a configuration, and the labels it goes by: those of the configuration, or, for one that an older
/// tool made, the folder's alone.
pub async fn find_of(
    engine: &Engine,
    config: &Config,
) -> Result<(Option<ContainerState>, BTreeMap<String, String>), EngineError> {
    let labels = config.labels();
    if let Some(state) = find(engine, &labels).await? {
        return Ok((Some(state), labels));
    }
    let is_usual = labels.keys().all(|name| name == LOCAL_FOLDER_LABEL || name == CONFIG_FILE_LABEL);
    if !is_usual || !labels.contains_key(LOCAL_FOLDER_LABEL) {
        return Ok((None, labels));
    }
    let mut older = labels.clone();
    older.remove(CONFIG_FILE_LABEL);
    // One with the newer label belongs to another configuration of the folder.
    let found = find(engine, &older).await?;
    match found.filter(|state| !state.labels.contains_key(CONFIG_FILE_LABEL)) {
        Some(state) => Ok((Some(state), older)),
        None => Ok((None, labels)),
    }
}

/// Starts a container that was just made by this description, and sees that it goes on running. One that only waits
/// need not be watched.
pub async fn start_new(
    engine: &Engine,
    container: &str,
    spec: &ContainerSpec,
) -> Result<ContainerState, StartError> {
    engine.start_container(container).await?;
    if !spec.only_waits() {
        return watch(engine, container).await;
    }
    engine.container(container).await?.ok_or(StartError::Gone)
}

/// Starts a container that was found in this state unless it runs, and sees that it goes on running.
pub async fn start(engine: &Engine, found: ContainerState) -> Result<ContainerState, StartError> {
    if found.running {
        return Ok(found);
    }
    engine.start_container(&found.id).await?;
    watch(engine, &found.id).await
}

/// Sees that a container that was just started goes on running.
pub async fn watch(engine: &Engine, container: &str) -> Result<ContainerState, StartError> {
    tokio::time::sleep(WATCHED).await;
    let state = engine.container(container).await?.ok_or(StartError::Gone)?;
    if state.running {
        return Ok(state);
    }
    let log_tail = log_tail(engine, container).await;
    Err(StartError::Ended { container: state.name, status: state.exit_code.unwrap_or(-1), log_tail })
}

/// The last lines that a container said.
pub async fn log_tail(engine: &Engine, container: &str) -> Vec<String> {
    let mut tail = Vec::new();
    let range = LogRange { tail: Some(TAIL), since: None, follow: false };
    if let Ok(mut log) = engine.logs(container, range) {
        while let Some(Ok((_, piece))) = log.next().await {
            tail.extend(String::from_utf8_lossy(&piece).lines().map(str::to_owned));
        }
    }
    tail
}

/// The metadata in the labels of a container or image. Labels that cannot be read say nothing.
pub fn metadata(labels: &BTreeMap<String, String>) -> Vec<Properties> {
    let label = labels.get(METADATA_LABEL).map(String::as_str).unwrap_or_default();
    devcontainer::parse_metadata_label(label).unwrap_or_else(|error| {
        tracing::info!(%error, "metadata of an image or container is passed over");
        Vec::new()
    })
}

/// What holds for a container that exists, the way all dev container tools see it: what its label says, which has the
/// configuration that it was made from as its last entry, and of the present configuration only what can change
/// without a new container (`remoteUser`, `userEnvProbe`, `remoteEnv`).
///
/// Give the entries of [`metadata`], with the variables replaced that the caller trusts them with. A container without
/// a label, or one that `config` was not made for (`is_own` is false), gets the whole configuration on top.
pub fn resolve(entries: &[Properties], config: &Config, is_own: bool) -> Resolved {
    if entries.is_empty() || !is_own {
        return devcontainer::merge(entries, config);
    }
    let mut changeable = config.clone();
    changeable.properties = Properties {
        remote_user: config.properties.remote_user.clone(),
        user_env_probe: config.properties.user_env_probe,
        remote_env: config.properties.remote_env.clone(),
        ..Properties::default()
    };
    devcontainer::merge(entries, &changeable)
}

/// Who says each command of each hook, in the order in which [`resolve`] and [`devcontainer::merge`] list them: a
/// feature's id, or `None` for a configuration.
pub fn origins(entries: &[Properties]) -> BTreeMap<&'static str, Vec<Option<String>>> {
    let mut origins: BTreeMap<&'static str, Vec<Option<String>>> = BTreeMap::new();
    for entry in entries {
        let hooks = [
            ("onCreateCommand", &entry.on_create_command),
            ("updateContentCommand", &entry.update_content_command),
            ("postCreateCommand", &entry.post_create_command),
            ("postStartCommand", &entry.post_start_command),
            ("postAttachCommand", &entry.post_attach_command),
        ];
        for (hook, _) in hooks.into_iter().filter(|(_, command)| command.is_some()) {
            origins.entry(hook).or_default().push(entry.id.clone());
        }
    }
    origins
}
