//! The loop that brings every environment to its wanted state: observe, plan, take the first step, again.
//!
//! Each environment has one task, so it takes one step at a time, and a slow build of one holds up no other. A
//! task sleeps until it is woken: by a request, by the machine, by an event of a container, or by the end of a
//! pause after a failure. What a task holds in memory can be lost at any time; it only saves work.

mod memory;
mod report;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::{Environment, EnvironmentId, Problem};
use camino::Utf8PathBuf;
use devcontainer::Config;
use engine::ContainerEventKind;
use futures::StreamExt;
use oci::Registry;
use provision::workplace::ProbeCache;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use memory::{DotfilesFailed, Memory, OpenPorts, Prepared, Started, all_open};
pub(crate) use report::Report;

use crate::audit::Audit;
use crate::automations::Links;
use crate::callers::CallerVariables;
use crate::consent::ConsentPolicy;
use crate::execute;
use crate::files::FileEvents;
use crate::grants::Grants;
use crate::idle::{self, Idleness};
use crate::machine::MachineHost;
use crate::observe;
use crate::ports::Ports;
use crate::secrets::KeptSecrets;
use crate::store::Store;
use worker::Worker;

/// Pause before the engine is asked for its events again after they broke off.
const EVENTS_PAUSE: Duration = Duration::from_secs(1);

/// What every environment's task works with.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) machine: MachineHost,
    pub(crate) ports: Ports,
    pub(crate) files: FileEvents,
    pub(crate) secrets: KeptSecrets,
    /// What environments may use of the person's credentials.
    pub(crate) grants: Grants,
    /// Where it is written down who used them.
    pub(crate) audit: Audit,
    /// Those who look after tasks and services.
    pub(crate) automations: Links,
    /// What is used, and when the rest stops.
    pub(crate) idle: Idleness,
    /// Variables of those who asked, for `initializeCommand`.
    pub(crate) callers: CallerVariables,
    pub(crate) policy: ConsentPolicy,
    /// Where features are fetched.
    pub(crate) registry: Registry,
    /// What users' shells set, kept between runs.
    pub(crate) probes: ProbeCache,
    /// The folder of the keys for ssh.
    pub(crate) ssh: Utf8PathBuf,
    /// Held while the base image is loaded: everybody who needs it waits for one load.
    pub(crate) base: Arc<tokio::sync::Mutex<()>>,
}

/// What is this person's and this computer's, beside the store and the machine.
pub struct Surroundings {
    /// The secrets that were given to environments.
    pub secrets: KeptSecrets,
    /// What repositories may do without a question.
    pub policy: ConsentPolicy,
    /// Where features are fetched.
    pub registry: Registry,
    /// Where variables of users' shells are kept.
    pub probes: ProbeCache,
    /// The folder of the keys for ssh.
    pub ssh: Utf8PathBuf,
    /// Where it is written down who did what.
    pub audit: Audit,
}

impl Parts {
    /// The secrets of an environment, as variables and as what is taken out of what is printed.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn secrets_of(&self, environment: &Environment) -> Result<provision::Secrets, Problem> {
        Ok(self.secrets.of(environment)?.secrets)
    }
}

/// Keeps all environments in their wanted state. Cheap to clone.
#[derive(Clone)]
pub struct Reconciler {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    workers: Mutex<HashMap<EnvironmentId, Arc<Bell>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// How a task is woken, and what it is told.
#[derive(Default)]
pub(crate) struct Bell {
    pub(crate) notify: Notify,
    /// A person asked for the environment: read its files again.
    pub(crate) asked: std::sync::atomic::AtomicBool,
    /// What the task knew at its last look, for those who ask what it would do.
    pub(crate) known: Mutex<Memory>,
}

impl Reconciler {
    /// A reconciler that does nothing before [`start`](Self::start).
    pub fn new(store: Store, machine: MachineHost, ports: Ports, surroundings: Surroundings) -> Self {
        let Surroundings { secrets, policy, registry, probes, ssh, audit } = surroundings;
        let inner = Inner {
            parts: Parts {
                grants: Grants::new(store.clone(), machine.clone(), audit.clone()),
                audit,
                store,
                files: FileEvents::new(machine.clone()),
                machine,
                ports,
                secrets,
                automations: Links::default(),
                idle: Idleness::default(),
                callers: CallerVariables::default(),
                policy,
                registry,
                probes,
                ssh,
                base: Arc::default(),
            },
            workers: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Takes up every environment of the store, and follows the machine and its containers from now on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn start(&self) -> Result<(), Problem> {
        for environment in self.inner.parts.store.environments()? {
            self.wake(&environment.id);
        }
        let follower = self.clone();
        self.inner.tasks.spawn(async move { follower.follow_machine().await });
        let follower = self.clone();
        self.inner.tasks.spawn(async move { follower.follow_automations().await });
        let (keeper, stop) = (self.clone(), self.inner.stop.clone());
        self.inner.tasks.spawn(async move {
            tokio::select! {
                () = idle::keep(keeper) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(())
    }

    /// Ends all tasks; steps under way are dropped where they are, which the next start makes good.
    pub async fn stop(&self) {
        self.inner.stop.cancel();
        self.inner.parts.automations.close_all();
        self.inner.parts.grants.close_all();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Something about the environment may have changed.
    pub fn wake(&self, id: &EnvironmentId) {
        self.bell(id).notify.notify_one();
    }

    /// A person asked for the environment: its files are read again, whatever is remembered of them.
    pub fn ask(&self, id: &EnvironmentId) {
        let bell = self.bell(id);
        bell.asked.store(true, std::sync::atomic::Ordering::Release);
        bell.notify.notify_one();
        self.inner.parts.ports.look();
        self.inner.parts.idle.look();
    }

    /// What the environment's task knew at its last look; nothing if it has none.
    pub(crate) fn known(&self, id: &EnvironmentId) -> Memory {
        let bell = self.inner.workers.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        let known = bell.map(|bell| bell.known.lock().unwrap_or_else(PoisonError::into_inner).clone());
        known.unwrap_or_default()
    }

    /// The configuration as the environment's task read it last.
    pub(crate) fn config_read_last(&self, id: &EnvironmentId) -> Option<Arc<Config>> {
        self.known(id).reading.map(|reading| reading.config)
    }

    /// The parts, for what acts on an environment outside of the loop: exec and logs.
    pub(crate) fn parts(&self) -> &Parts {
        &self.inner.parts
    }

    /// The bell of an environment's task, which is started if there is none.
    fn bell(&self, id: &EnvironmentId) -> Arc<Bell> {
        let mut workers = self.inner.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = workers.get(id) {
            return Arc::clone(bell);
        }
        let bell = Arc::new(Bell::default());
        workers.insert(id.clone(), Arc::clone(&bell));
        let worker = Worker::new(self.inner.parts.clone(), id.clone(), Arc::clone(&bell));
        let (this, id, stop) = (self.clone(), id.clone(), self.inner.stop.clone());
        self.inner.tasks.spawn(async move {
            tokio::select! {
                () = worker.run() => {}
                () = stop.cancelled() => {}
            }
            this.inner.workers.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
        bell
    }

    /// Something that concerns every environment changed.
    pub(crate) fn wake_all(&self) {
        let workers = self.inner.workers.lock().unwrap_or_else(PoisonError::into_inner);
        for bell in workers.values() {
            bell.notify.notify_one();
        }
    }

    /// Wakes environments when the machine changes, and when a container of theirs does.
    async fn follow_machine(&self) {
        let mut changed = self.inner.parts.machine.changed();
        let mut troubles = self.inner.parts.ports.troubles_changed();
        let mut ports = self.inner.parts.ports.changed();
        let mut files = self.inner.parts.files.changed();
        let mut secrets = self.inner.parts.secrets.attempts();
        loop {
            troubles.mark_unchanged();
            ports.mark_unchanged();
            files.mark_unchanged();
            secrets.mark_unchanged();
            let ready = changed.borrow_and_update().is_ready();
            self.wake_all();
            if ready {
                self.preload();
            }
            tokio::select! {
                () = self.inner.stop.cancelled() => return,
                gone = changed.changed() => if gone.is_err() { return },
                // The sender lives in `self`.
                _ = troubles.changed() => {}
                _ = ports.changed() => {}
                _ = files.changed() => {}
                _ = secrets.changed() => {}
                () = self.follow_containers(), if ready => {}
            }
        }
    }

    /// Wakes an environment when something of its tasks and services changed.
    async fn follow_automations(&self) {
        loop {
            let id = tokio::select! {
                () = self.inner.stop.cancelled() => return,
                id = self.inner.parts.automations.next_news() => id,
            };
            if matches!(self.inner.parts.store.environment(&id), Ok(Some(_))) {
                self.wake(&id);
            }
        }
    }

    /// Loads the base image into a machine that lacks it, so that plain `docker run` has it as well.
    fn preload(&self) {
        let (parts, stop) = (self.inner.parts.clone(), self.inner.stop.clone());
        self.inner.tasks.spawn(async move {
            let engine = parts.machine.engine();
            tokio::select! {
                () = stop.cancelled() => {}
                loaded = execute::provide_base(&engine, &parts.base, &()) => {
                    // Who needs it tries again, and is told.
                    if let Err(problem) = loaded {
                        tracing::warn!(%problem, "the base image could not be loaded");
                    }
                }
            }
        });
    }

    /// Follows container events, for as long as the engine is there. Never returns.
    async fn follow_containers(&self) {
        loop {
            if let Err(error) = self.follow_events().await {
                tracing::debug!(%error, "the events of containers broke off");
            }
            tokio::time::sleep(EVENTS_PAUSE).await;
        }
    }

    async fn follow_events(&self) -> Result<(), engine::EngineError> {
        // A label that containers of other tools have as well: one of them may have been taken over.
        let label = devcontainer::LOCAL_FOLDER_LABEL.to_owned();
        let mut events = self.inner.parts.machine.engine().events(&[label]).await?;
        // What happened before these events is told to nobody.
        self.wake_all();
        while let Some(event) = events.next().await {
            let event = event?;
            let matters = matches!(
                event.kind,
                ContainerEventKind::Started | ContainerEventKind::Died | ContainerEventKind::Removed
            );
            if !matters {
                continue;
            }
            match event.attributes.get(observe::ENVIRONMENT_LABEL) {
                Some(id) => {
                    let id = EnvironmentId(id.clone());
                    if matches!(self.inner.parts.store.environment(&id), Ok(Some(_))) {
                        self.wake(&id);
                    }
                }
                None => self.wake_all(),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
