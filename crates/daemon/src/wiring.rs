//! Puts the parts of the daemon together, runs them, and ends them in order.
//!
//! ```text
//! lock -> store -> settings -> machine adopted -> sockets -> reconciler -> API ... asked to end
//!                                                  API answered -> reconciler stopped -> sockets closed -> lock
//! ```
//!
//! Ending never touches the machine: it runs on with all its containers, and the next daemon adopts it.

mod environments;
mod keeper;
mod machine;
mod process;
mod upkeep;

use std::sync::Arc;

use api::Problem;
use camino::Utf8PathBuf;
use futures::FutureExt;
use host::network::NetworkChanges;
use host::power::PowerEvents;
use oci::{OciError, Options, Registry};
use provision::workplace::ProbeCache;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::control::{ControlPlane, JoinWish};
use crate::diagnostics::Diagnostics;
use crate::docker::{DockerSocketError, DockerSockets};
use crate::doctor;
use crate::inventory::Inventory;
use crate::lock::{DaemonLock, LockError};
use crate::machine::MachineHost;
use crate::page::Sessions;
use crate::paths::{Paths, PathsError};
use crate::ports::{AuthorityPlace, Names, Ports};
use crate::power;
use crate::reconcile::{Reconciler, Surroundings};
use crate::secrets::KeptSecrets;
use crate::server::{self, Api, BindError, Door, PeerListener};
use crate::settings::{RegistrySettings, SecretSettings, Settings, SettingsBook, SettingsError};
use crate::store::{Store, StoreError};
use crate::sync::{self, SyncHandle};

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no usable place for the state.
    #[error(transparent)]
    Paths(#[from] PathsError),
    /// Another daemon serves it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// `config.toml` is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The API's socket cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The Docker sockets cannot be opened.
    #[error(transparent)]
    Docker(#[from] DockerSocketError),
    /// Registries cannot be spoken to.
    #[error(transparent)]
    Registry(#[from] OciError),
    /// The reconciler cannot begin.
    #[error("could not take up the environments of the store `{store}`")]
    Reconcile {
        /// The store.
        store: Utf8PathBuf,
        /// Why not.
        #[source]
        source: api::Problem,
    },
    /// The system refused signals or the socket.
    #[error("the system refused what a daemon needs")]
    System(#[from] std::io::Error),
}

/// Who sits at this computer.
#[derive(Debug)]
pub enum Sits {
    /// A person, who has a keyring and can be asked.
    Somebody,
    /// Nobody: it is a host in a rack or a cloud, which may become a runner by itself.
    Nobody(Option<JoinWish>),
}

/// Serves a state folder until a signal or a client says to end.
///
/// # Errors
/// [`ServeError`], nearly always before the first request is answered.
pub async fn serve(paths: &Paths, sits: Sits) -> Result<(), ServeError> {
    let shutdown = CancellationToken::new();
    end_on_signals(shutdown.clone())?;
    paths.prepare()?;
    let lock = DaemonLock::acquire(&paths.lock_file())?;
    upkeep::at_start(paths);
    let settings_file = paths.settings_file();
    let mut settings = Settings::read(&settings_file)?;
    if matches!(sits, Sits::Nobody(_)) {
        settings.secrets.desktop_keyring = false;
    }
    upkeep::set_backups(paths, settings.back_up_machines);
    let store = Store::open(&paths.store_file())?;
    store.apply_settings(&settings)?;
    let audit = Audit::open(&paths.audit_dir())?;
    // Bound early: a client that just started this process waits for it, and is served when all is there.
    let listener = PeerListener::bind(&paths.api_socket(), &lock)?;

    let machine = MachineHost::new(paths, store.clone());
    machine.adopt().await;
    let sockets =
        DockerSockets::open(&machine, &paths.docker_socket(), &paths.default_machine().engine_socket())?;
    let ports = {
        let place = AuthorityPlace::new(paths.secrets_dir(), paths.https_dir());
        Ports::new(machine.clone(), store.clone(), Names::new(settings.names.clone(), place))
    };
    let kept_secrets = secrets(paths, &store, settings.secrets);
    let surroundings = Surroundings {
        secrets: kept_secrets.clone(),
        policy: settings.consent,
        registry: registry(paths, &settings.registries)?,
        probes: ProbeCache::new(paths.shell_cache_dir()),
        ssh: paths.ssh_dir(),
        audit: audit.clone(),
    };
    let reconciler = Reconciler::new(store.clone(), machine.clone(), ports, surroundings);
    reconciler.start().map_err(|source| ServeError::Reconcile { store: store.path().to_owned(), source })?;
    let keeper = tokio::spawn(keeper::keep(machine.clone(), store.clone()));
    let followers = follow_host(&machine);
    tracing::info!(home = %paths.root(), pid = std::process::id(), version = env!("CARGO_PKG_VERSION"), "serving");

    let control = ControlPlane::new(paths.secrets_dir(), paths.control_file());
    let certified = tokio::spawn(control.clone().keep_certified());
    if let Sits::Nobody(Some(wish)) = sits {
        tokio::spawn(control.clone().join_by_itself(wish));
    }
    let sync = SyncHandle::begin(sync::Surroundings {
        control: control.clone(),
        store: store.clone(),
        reconciler: reconciler.clone(),
        audit: audit.clone(),
        clones: paths.clones_dir(),
        shutdown: shutdown.clone(),
    });

    let examined = doctor::Examined { paths: paths.clone(), machine: machine.clone(), store: store.clone() };
    let docker = Inventory::new(machine.clone(), store.clone());
    let api = Api {
        environments: Arc::new(environments::LiveEnvironments::new(reconciler.clone())),
        machine: Arc::new(machine::LiveMachine::new(
            machine.clone(),
            store.clone(),
            reconciler.clone(),
            docker.clone(),
        )),
        docker,
        diagnostics: Arc::new(Diagnostics::new(examined.clone(), kept_secrets)),
        diagnose: Arc::new(move || doctor::diagnose(examined.clone()).boxed()),
        settings: {
            let paths = paths.clone();
            let backups = Arc::new(move |back_up| upkeep::set_backups(&paths, back_up));
            SettingsBook::new(settings_file, store.clone(), settings, backups)
        },
        editor_file: paths.editor_file(),
        control,
        sync,
        audit,
        clones: paths.clones_dir(),
        door: Door::new(Sessions::open(paths.page_file())),
        store,
        shutdown,
    };
    let served = server::serve(listener, api).await;

    tracing::info!("ending; machines and environments run on");
    certified.abort();
    keeper.abort();
    drop(followers);
    reconciler.stop().await;
    drop(sockets);
    // A client that finds no socket starts a daemon; one that finds a dead socket does too, so failing is harmless.
    let _ = fs_err::remove_file(paths.api_socket());
    drop(lock);
    Ok(served?)
}

/// What must go on for as long as the daemon does: rest and waking of the machine, and what this computer tells.
fn follow_host(machine: &MachineHost) -> JoinSet<()> {
    let mut followers = JoinSet::new();
    let resting = machine.clone();
    followers.spawn(async move { resting.keep_rest().await });
    match PowerEvents::watch() {
        Ok(events) => drop(followers.spawn(power::follow_sleep(machine.clone(), events))),
        // The clock is looked at now and then as well.
        Err(error) => tracing::warn!(%error, "sleep of this computer is noticed late"),
    }
    match NetworkChanges::watch() {
        Ok(changes) => drop(followers.spawn(power::follow_network(machine.clone(), changes))),
        Err(error) => tracing::warn!(%error, "changes of the network are not noticed"),
    }
    followers
}

/// The secrets of this state folder, with what earlier versions kept.
fn secrets(paths: &Paths, store: &Store, settings: SecretSettings) -> KeptSecrets {
    let secrets = KeptSecrets::new(paths.secrets_dir(), settings.desktop_keyring);
    let (adopting, store) = (secrets.clone(), store.clone());
    // A keyring may take its time, and the daemon serves meanwhile.
    tokio::task::spawn_blocking(move || {
        if let Err(problem) = adopting.adopt(|| store.environments().map_err(Problem::from)) {
            tracing::warn!(%problem, "secrets of an earlier version stay as they are");
        }
    });
    secrets
}

/// Registries, with the person's own docker credentials and this computer's certificates.
fn registry(paths: &Paths, settings: &RegistrySettings) -> Result<Registry, ServeError> {
    let options = Options {
        plain_http: settings.plain_http.clone(),
        offline: settings.offline,
        ..Options::new(paths.registry_cache_dir())
    };
    Ok(Registry::new(options)?)
}

fn end_on_signals(shutdown: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to end by a signal");
        shutdown.cancel();
    });
    Ok(())
}
