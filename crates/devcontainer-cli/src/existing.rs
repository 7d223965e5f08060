//! Commands in a container that exists: `set-up`, `run-user-commands`, `exec`.

mod exec;
mod run_user_commands;
mod set_up;

use devcontainer::{Config, ReadOptions, Resolved};
use engine::ContainerState;
use provision::{Disk, container};

pub(crate) use exec::{exec as exec_in, run as exec};
pub(crate) use run_user_commands::run as run_user_commands;
pub(crate) use set_up::run as set_up;

use crate::outcome::Failure;
use crate::target::Target;

/// What holds for a container, and what was merged into that.
struct Held {
    config: Config,
    resolved: Resolved,
    entries: Vec<devcontainer::Properties>,
    /// What its label says.
    of_label: Vec<devcontainer::Properties>,
}

/// Merges what a container's label says with the configuration, if there is one. `is_own` tells whether the container
/// is known to be the configuration's.
fn held(config: Option<&Config>, state: &ContainerState, is_own: bool) -> Result<Held, Failure> {
    let config = match config {
        Some(config) => config.clone(),
        None => nothing_said()?,
    };
    let mut of_label = container::metadata(&state.labels);
    devcontainer::substitute_local_env(&mut of_label, &Disk);
    let resolved = container::resolve(&of_label, &config, is_own);
    let mut entries = of_label.clone();
    if !is_own || of_label.is_empty() {
        entries.push(config.properties.clone());
    }
    Ok(Held { config, resolved, entries, of_label })
}

/// The configuration of a container that has none.
pub(crate) fn nothing_said() -> Result<Config, Failure> {
    let options = ReadOptions {
        workspace: None,
        file: None,
        text_from: None,
        default_image: "",
        mounting: devcontainer::Mounting::default(),
        id_labels: None,
        must_be_complete: false,
    };
    devcontainer::read_with(&Disk, &options)
        .map_err(|error| Failure::caused("An error occurred reading the configuration.", &error))
}

/// Whether a container carries all labels by which a target is known.
fn is_own(
    target: &Target,
    state: &ContainerState,
    labels: &std::collections::BTreeMap<String, String>,
) -> bool {
    target.config.is_some()
        && !labels.is_empty()
        && labels.keys().all(|label| state.labels.contains_key(label))
}

/// The folder of a configuration in its container.
fn folder_of(config: &Config) -> Option<String> {
    Some(config.workspace_folder.clone()).filter(|folder| !folder.is_empty())
}
