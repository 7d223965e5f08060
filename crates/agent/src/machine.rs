//! The machine from its root file system on: what is started, in which order, and what everybody shares.
//!
//! ```text
//!  mounts, cgroups --+-- modules (thread): overlay ---- transport, network ---- engine's
//!                    +-- data disk ---- containerd (needs overlay) ----.
//!                    +-- host transport ---- configuration ------------+---- dockerd
//!                    +-- translator of foreign programs ---------------+
//!                    `-- network, resolver (need the card's driver) ---'
//! ```
//! Whatever fails is reported as a component and the rest goes on: the host can only help a machine it hears.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use fs_err as fs;
use protocol::agent::ComponentState;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cmdline::{Addresses, CommandLine};
use crate::configuration::Environment;
use crate::console::{self, chain};
use crate::dns::{self, Names};
use crate::journal::{self, Journal};
use crate::modules::{self, Modules};
use crate::supervisor;
use crate::{
    data_disk, emulation, engine, initramfs, kernel_log, mounts, network, power, reaper, swap, transport,
};

/// What all parts of the agent share.
pub(crate) struct Machine {
    /// The log, the components and the stages.
    pub(crate) journal: Journal,
    /// Names the resolver answers by itself.
    pub(crate) names: Names,
    /// Variables for programs.
    pub(crate) environment: Environment,
    /// Whether the host has configured the machine.
    pub(crate) configured: watch::Sender<bool>,
    /// Cancelled when the machine is to be switched off.
    pub(crate) switch_off: CancellationToken,
    /// Random, made by the kernel at boot.
    pub(crate) boot_id: String,
    /// The program that begins a session for a process; see [`crate::session`].
    pub(crate) session: PathBuf,
}

impl Machine {
    /// A machine that nobody has told anything.
    pub(crate) fn new(boot_id: String, session: PathBuf) -> Self {
        Self {
            journal: Journal::new(),
            names: Names::default(),
            environment: Environment::default(),
            configured: watch::Sender::new(false),
            switch_off: CancellationToken::new(),
            boot_id,
            session,
        }
    }

    /// Whether the host has configured it.
    pub(crate) fn is_configured(&self) -> bool {
        *self.configured.borrow()
    }
}

/// Drivers that the modules' thread has been through so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Loaded {
    Nothing,
    Overlay,
    Network,
    Engine,
}

/// Runs as PID 1 of the root file system; ends by switching the machine off.
pub(crate) fn main() -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run()),
        Err(error) => console::say(&format!("cove: the agent cannot start: {error}")),
    }
    power::switch_off();
    ExitCode::FAILURE
}

async fn run() {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    let session = PathBuf::from(initramfs::BIN).join("cove-session");
    let machine = Arc::new(Machine::new(boot_id, session));
    let journal = machine.journal.clone();
    note_early_stages(&journal);
    if let Err(error) = mounts::mount_fixed() {
        journal.error(chain(&error));
        return;
    }
    tokio::spawn(reap(journal.clone()));
    let loaded = load_modules(journal.clone());
    mounts::delegate_cgroups(&journal);
    mounts::apply_settings(&journal);
    if let Err(error) = fs::create_dir_all("/run/cove") {
        journal.error(chain(&error));
    }
    let parameters = parameters(&journal);
    tokio::spawn(transport::run(Arc::clone(&machine), parameters.sockets));
    tokio::spawn(kernel_log::follow(journal.clone()));
    let emulating = {
        let journal = journal.clone();
        tokio::spawn(async move { emulation::start(&journal).await })
    };

    let (network_up, network) = watch::channel(None);
    tokio::spawn(start_network(Arc::clone(&machine), parameters, loaded.clone(), network_up));
    let (answers, containerd) = watch::channel(false);
    let stop_containerd = CancellationToken::new();
    let first =
        tokio::spawn(start_containerd(journal.clone(), loaded.clone(), answers, stop_containerd.clone()));
    let stop_engine = CancellationToken::new();
    let second = tokio::spawn(start_engine(
        Arc::clone(&machine),
        loaded,
        network,
        emulating,
        containerd,
        stop_engine.clone(),
    ));

    machine.switch_off.cancelled().await;
    journal.info("the machine is being switched off");
    end(stop_engine, second).await;
    end(stop_containerd, first).await;
    power::end_everything(&journal).await;
}

async fn end(stop: CancellationToken, part: JoinHandle<()>) {
    stop.cancel();
    // A part that panicked has ended too.
    let _ = part.await;
}

fn note_early_stages(journal: &Journal) {
    let stages = std::env::var(initramfs::STAGES).unwrap_or_default();
    for (name, at) in stages.split(',').filter_map(|stage| stage.split_once('=')) {
        if let Ok(at) = at.parse() {
            journal.stage(name, Some(at));
        }
    }
    journal.stage("root", None);
}

fn parameters(journal: &Journal) -> CommandLine {
    CommandLine::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default()).unwrap_or_else(|error| {
        journal.error(chain(&error));
        CommandLine::default()
    })
}

/// Where the guest stands in its network: `None` until that is known, then nowhere or somewhere.
type Place = Option<Option<Addresses>>;

async fn reap(journal: Journal) {
    if let Err(error) = reaper::run().await {
        journal.error(format!("ended processes cannot be collected: {error}"));
    }
}

/// Loads the boot's modules on a thread of their own: each waits for its device, not for the processor.
fn load_modules(journal: Journal) -> watch::Receiver<Loaded> {
    let (tell, loaded) = watch::channel(Loaded::Nothing);
    tokio::task::spawn_blocking(move || {
        let mut modules = match Modules::of_running_kernel() {
            Ok(modules) => modules,
            Err(error) => {
                journal.error(chain(&error));
                Modules::default()
            }
        };
        let groups = [
            (modules::FIRST, Loaded::Overlay),
            (modules::TRANSPORT, Loaded::Network),
            (modules::ENGINE, Loaded::Engine),
        ];
        for (names, reached) in groups {
            for error in modules.load_all(names) {
                journal.warn(chain(&error));
            }
            tell.send_replace(reached);
        }
    });
    loaded
}

async fn reached(mut loaded: watch::Receiver<Loaded>, wanted: Loaded) {
    // The thread that tells cannot end before it has told the last group.
    let _ = loaded.wait_for(|now| *now >= wanted).await;
}

async fn start_network(
    machine: Arc<Machine>,
    parameters: CommandLine,
    loaded: watch::Receiver<Loaded>,
    up: watch::Sender<Place>,
) {
    let journal = &machine.journal;
    reached(loaded, Loaded::Network).await;
    let addresses = match network::bring_up(parameters.network).await {
        Ok(addresses) => {
            journal.stage("network", None);
            addresses
        }
        Err(error) => {
            let error = chain(&error);
            journal.error(format!("the machine has no network: {error}"));
            journal.component("network", ComponentState::Failed, 0, vec![error]);
            None
        }
    };
    if let Some(addresses) = &addresses {
        machine.names.set_host(addresses.gateway.into());
    }
    // The engine is of use without a network too.
    up.send_replace(Some(addresses.clone()));
    if let Some(addresses) = addresses
        && let Err(error) = dns::serve(addresses.address, addresses.resolver, machine.names.clone()).await
    {
        journal.error(format!("the resolver has ended: {error}"));
        journal.component("resolver", ComponentState::Failed, 0, vec![error.to_string()]);
    }
}

async fn start_containerd(
    journal: Journal,
    loaded: watch::Receiver<Loaded>,
    answers: watch::Sender<bool>,
    stop: CancellationToken,
) {
    if let Err(error) = data_disk::prepare(&journal).await {
        let error = chain(&error);
        journal.error(error.clone());
        journal.component("data_disk", ComponentState::Failed, 0, vec![error]);
        return;
    }
    journal.stage("data_disk", None);
    reached(loaded, Loaded::Overlay).await;
    let mark = mark_stage(journal.clone(), "containerd", answers.subscribe());
    tokio::join!(supervisor::keep(engine::containerd(), journal, answers, stop), mark);
}

async fn start_engine(
    machine: Arc<Machine>,
    loaded: watch::Receiver<Loaded>,
    mut network: watch::Receiver<Place>,
    emulating: JoinHandle<()>,
    mut containerd: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let mut configured = machine.configured.subscribe();
    let needs = async {
        reached(loaded, Loaded::Engine).await;
        // One that panicked has ended too; the engine is of use without foreign programs.
        let _ = emulating.await;
        // An error says that the sender has gone: containerd cannot run without a data disk.
        configured.wait_for(|is| *is).await.is_ok()
            && network.wait_for(Option::is_some).await.is_ok()
            && containerd.wait_for(|is| *is).await.is_ok()
    };
    let can_start = tokio::select! {
        can = needs => can,
        () = stop.cancelled() => false,
    };
    if !can_start {
        return;
    }
    let journal = machine.journal.clone();
    let (answers, answering) = watch::channel(false);
    let addresses = network.borrow().clone().flatten();
    let part = engine::dockerd(addresses, machine.environment.clone());
    let mark = async {
        mark_stage(journal.clone(), "engine", answering).await;
        // Memory is not short before that, and the boot is what people wait for.
        swap::start(&journal).await;
    };
    tokio::join!(supervisor::keep(part, journal.clone(), answers, stop), mark);
}

async fn mark_stage(journal: Journal, name: &'static str, mut answering: watch::Receiver<bool>) {
    if answering.wait_for(|is| *is).await.is_ok() {
        journal.stage(name, None);
        if name == "engine" {
            journal.info(format!("the engine answers {} ms after the kernel's start", journal::uptime_ms()));
        }
    }
}
