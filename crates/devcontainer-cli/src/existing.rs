//! Commands in a container that exists: `set-up`, `run-user-commands`, `exec`.

mod exec;
mod run_user_commands;
mod set_up;

use std::cell::OnceCell;

use devcontainer::{Config, Properties, ReadOptions, Resolved};
use engine::{ContainerState, Engine};
use provision::{Disk, container};

pub(crate) use exec::{exec as exec_in, run as exec};
pub(crate) use run_user_commands::run as run_user_commands;
pub(crate) use set_up::run as set_up;

use crate::Surroundings;
use crate::arguments::{ContainerFolders, Pair, ProbeOptions};
use crate::engines::Said;
use crate::inside::Inside;
use crate::log::Log;
use crate::outcome::Failure;
use crate::target::Target;

/// A container that was found, the engine it is in, and what holds for it.
struct Found {
    engine: Engine,
    state: ContainerState,
    config: Config,
    resolved: Resolved,
    /// What was merged into that, in order.
    entries: Vec<Properties>,
    /// What its label says.
    of_label: Vec<Properties>,
}

/// What a person says about running things in it.
struct Running<'a> {
    folders: &'a ContainerFolders,
    probe: ProbeOptions,
    remote_env: &'a [Pair],
}

impl Found {
    /// Looks for the container of a target, and merges what its label says with the configuration, if there is one.
    /// `may_be_own` tells whether the container can be one that was made of that; `failing` is what is said to fail.
    async fn find(
        target: &Target,
        may_be_own: bool,
        said: Said<'_>,
        surroundings: &Surroundings<'_>,
        failing: &str,
    ) -> Result<Self, Failure> {
        let engine = surroundings.awake(said).await?.engine;
        let found = target.find(&engine).await.map_err(|error| Failure::caused(failing, &error))?;
        let missing =
            || Failure { description: failing.to_owned(), ..Failure::plain("Dev container not found.") };
        let (state, labels) = (found.0.ok_or_else(missing)?, found.1);
        if !state.running {
            let message = "The dev container is not running. `devcontainer up` starts it.";
            return Err(Failure { description: failing.to_owned(), ..Failure::plain(message) });
        }
        // It carries all labels by which the configuration's container is known.
        let is_own = may_be_own
            && target.config.is_some()
            && !labels.is_empty()
            && labels.keys().all(|label| state.labels.contains_key(label));
        let config = match &target.config {
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
        Ok(Self { engine, state, config, resolved, entries, of_label })
    }

    /// What is done in it.
    fn inside<'a>(
        &'a self,
        running: Running<'a>,
        surroundings: &'a Surroundings<'a>,
        log: &'a Log,
    ) -> Inside<'a> {
        Inside {
            engine: &self.engine,
            state: &self.state,
            resolved: self.resolved.clone(),
            entries: self.entries.clone(),
            folder: Some(self.config.workspace_folder.clone()).filter(|folder| !folder.is_empty()),
            folders: running.folders,
            default_probe: running.probe.default_user_env_probe.into(),
            remote_env: running.remote_env,
            surroundings,
            log,
            record: OnceCell::new(),
        }
    }
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
