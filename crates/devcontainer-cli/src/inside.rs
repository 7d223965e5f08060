//! What is done in a container that runs: patched files, the workplace, the lifecycle.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use devcontainer::{Properties, Resolved, UserEnvProbe};
use engine::{ContainerState, Engine};
use provision::lifecycle::{self, Extent, HookError, Lifecycle, Markers, Reached};
use provision::workplace::{Circumstances, ProbeCache};
use provision::{Secrets, Workplace, dotfiles::Dotfiles, system_files};

use crate::Surroundings;
use crate::arguments::{ContainerFolders, DotfilesOptions, Pair};
use crate::log::{Level, Log};
use crate::outcome::{Failure, with_causes};

/// A running container and what holds for it.
pub(crate) struct Inside<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) state: &'a ContainerState,
    /// What holds for it; the container's variables are put in by [`Inside::workplace`].
    pub(crate) resolved: Resolved,
    /// What was merged into that, in order.
    pub(crate) entries: Vec<Properties>,
    /// The folder to work in.
    pub(crate) folder: Option<String>,
    pub(crate) folders: &'a ContainerFolders,
    pub(crate) default_probe: UserEnvProbe,
    pub(crate) remote_env: &'a [Pair],
    pub(crate) surroundings: &'a Surroundings<'a>,
    pub(crate) log: &'a Log,
    /// The marks in the container, once they were asked for.
    pub(crate) record: OnceCell<Markers>,
}

impl Inside<'_> {
    /// Lets logins by other ways see the container's variables. Where that cannot be done, it is noted.
    pub(crate) async fn patch_system_files(&self) {
        let folder = self.folders.system.as_deref();
        if let Err(error) = system_files::patch(self.engine, self.state, folder).await {
            self.log.write(Level::Debug, &with_causes(&error));
        }
    }

    /// Finds out where and as whom to work. The shell is asked only where something is to be run.
    pub(crate) async fn workplace(&mut self, to_run: bool) -> Result<Workplace, Failure> {
        self.settle();
        self.find(if to_run { self.resolved.user_env_probe } else { UserEnvProbe::None }).await
    }

    /// Patches the system's files and finds out where and as whom to work, side by side: each looks into the container,
    /// which takes its time. For a lifecycle that has something left to run the shell is asked after that, since it
    /// reads the patched files.
    pub(crate) async fn patched_workplace(
        &mut self,
        lifecycle: Option<(&Extent, &DotfilesOptions)>,
    ) -> Result<Workplace, Failure> {
        self.settle();
        let ((), place) = tokio::join!(self.patch_system_files(), self.find(UserEnvProbe::None));
        let place = place?;
        let Some((extent, dotfiles)) = lifecycle else { return Ok(place) };
        let record = self.record(&place);
        let has_dotfiles = dotfiles.repository.is_some();
        // What cannot be looked up now is told when it is to be run.
        match lifecycle::has_work(&self.resolved, extent, &record, has_dotfiles).await {
            Ok(false) => Ok(place),
            Ok(true) | Err(_) => self.find(self.resolved.user_env_probe).await,
        }
    }

    /// Puts into what holds what only a running container can say.
    fn settle(&mut self) {
        devcontainer::substitute_container_env(&mut self.resolved, &self.state.env);
        if self.entries.iter().all(|entry| entry.user_env_probe.is_none()) {
            self.resolved.user_env_probe = self.default_probe;
        }
    }

    async fn find(&self, probe: UserEnvProbe) -> Result<Workplace, Failure> {
        let env = self.remote_env.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect();
        let cache = ProbeCache::new(self.surroundings.host.cache().join("shells"));
        let circumstances = Circumstances { folder: self.folder.clone(), env, cache: Some(cache) };
        let steps = self.log.steps();
        let resolved = Resolved { user_env_probe: probe, ..self.resolved.clone() };
        let found = Workplace::find(self.engine, self.state, &resolved, circumstances, &steps).await;
        found.map_err(|error| Failure::plain(with_causes(&error)))
    }

    /// What is noted in the container. It is read once: a copy of this knows what was found.
    fn record(&self, place: &Workplace) -> Markers {
        let new = || Markers::new(self.engine, place, self.state, self.folders.data.as_deref());
        self.record.get_or_init(new).clone()
    }

    /// Runs the lifecycle as far as it is asked to.
    pub(crate) async fn lifecycle(
        &self,
        place: &Workplace,
        extent: &Extent,
        secrets: &Secrets,
        dotfiles: &DotfilesOptions,
    ) -> Result<Reached, Failure> {
        let record = self.record(place);
        let dotfiles = wanted(dotfiles, &record);
        let origins: BTreeMap<_, _> = provision::container::origins(&self.entries);
        let hooks = self.log.hooks();
        let lifecycle = Lifecycle {
            place,
            resolved: &self.resolved,
            origins: &origins,
            record: &record,
            secrets,
            dotfiles: dotfiles.as_ref(),
            progress: &hooks,
        };
        let ran = lifecycle.run(extent).await;
        ran.map_err(|error| self.failed_hook(&error))
    }

    /// A failed hook, in the reference's words.
    fn failed_hook(&self, error: &HookError) -> Failure {
        let mut failure = match error {
            HookError::Command { argv, source, .. } => Failure {
                description: format!("{error}."),
                message: match source {
                    engine::CommandError::Failed { .. } => format!("Command failed: {}", argv.join(" ")),
                    engine::CommandError::Exec { .. } => with_causes(source),
                },
                ..Failure::default()
            },
            HookError::Record(error) => Failure::plain(with_causes(error)),
        };
        if let HookError::Command { source: engine::CommandError::Failed { exit_code, .. }, .. } = error {
            let what = failure.description.trim_end_matches('.');
            self.log.error(&format!(
                "{what} with exit code {exit_code}. Skipping any further user-provided commands."
            ));
        }
        failure.container_id = Some(self.state.id.clone());
        failure
    }
}

/// The dotfiles that were asked for.
fn wanted(options: &DotfilesOptions, record: &Markers) -> Option<Dotfiles> {
    options.repository.as_ref().map(|repository| Dotfiles {
        repository: repository.clone(),
        install_command: options.install_command.clone(),
        target: options.target_path.clone(),
        data_folder: record.folder().to_owned(),
    })
}
