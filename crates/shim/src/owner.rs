//! The machine's life, from the lock on its folder to the last file taken away.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use protocol::agent;
use protocol::shim::{Ability, State, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use vmm::{Failure, Hypervisor, VmConfig, VmDriver, VmState};

use crate::folder::{self, Folder};
use crate::{hypervisor, log, serve};

/// How long the guest may take when the shim itself is told to end.
const OWN_GRACE: Duration = Duration::from_secs(30);

/// How long a guest that has no agent yet may take: nobody is there to hear the request.
const UNHEARD_GRACE: Duration = Duration::from_secs(3);

/// How long a shim still tells why its machine failed.
const EPILOGUE: Duration = Duration::from_secs(10);

/// Why the shim could not do its work. A machine that fails is no such error: it is told to those who ask.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// No log, no runtime, no signals.
    #[error("cannot {doing}")]
    Process {
        /// What was tried.
        doing: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What somebody wants of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    /// Switch it off, and kill it after the grace.
    Stop(Duration),
    /// Kill it.
    Kill,
}

/// What everyone may see of the machine.
#[derive(Debug)]
pub(crate) struct Board {
    digest: Mutex<String>,
    driver_name: &'static str,
    state: watch::Sender<State>,
    driver: OnceLock<Arc<dyn VmDriver>>,
    orders: mpsc::Sender<Order>,
    /// Held while the machine is changed, so that what is told of it is in the order of what was done.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl Board {
    /// Every state from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// The machine, once it is powered on.
    pub(crate) fn driver(&self) -> Option<&Arc<dyn VmDriver>> {
        self.driver.get()
    }

    /// A running machine was halted, or a halted one goes on. Anything else it does meanwhile counts for more.
    pub(crate) fn note_halted(&self, halted: bool) {
        let (from, to) =
            if halted { (State::Running, State::Paused) } else { (State::Paused, State::Running) };
        self.state.send_if_modified(|state| {
            let changes = *state == from;
            if changes {
                *state = to;
            }
            changes
        });
    }

    /// The machine is another one than it was started as.
    pub(crate) fn note_digest(&self, digest: String) {
        *self.digest.lock().unwrap_or_else(PoisonError::into_inner) = digest;
    }

    /// What the driver can do with the machine.
    fn abilities(&self) -> Vec<Ability> {
        let Some(driver) = self.driver.get() else { return Vec::new() };
        let abilities = [
            (Ability::Pause, driver.pause().is_some()),
            (Ability::Save, driver.snapshot().is_some()),
            (Ability::ChangeShares, driver.change_shares().is_some()),
            (Ability::Squeeze, driver.balloon().is_some()),
        ];
        abilities.into_iter().filter(|(_, has)| *has).map(|(ability, _)| ability).collect()
    }

    /// Passes an order on. Orders to a machine that has ended change nothing.
    pub(crate) async fn order(&self, order: Order) {
        let _ = self.orders.send(order).await;
    }

    /// How the machine stands now.
    pub(crate) fn status(&self) -> Status {
        let facts = self.driver.get().map(|driver| driver.facts());
        Status {
            protocol: protocol::VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state: self.state.borrow().clone(),
            driver: self.driver_name.to_owned(),
            accelerator: facts.map_or_else(|| "unknown".to_owned(), |facts| facts.accelerator.to_string()),
            config_digest: self.digest.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            agent_after_ms: facts.and_then(|facts| facts.agent_after).map(|after| after.as_millis() as u64),
            host_memory: facts.map_or(0, |facts| facts.host_memory),
            abilities: self.abilities(),
        }
    }
}

/// Whether a state is the last one.
pub(crate) fn is_final(state: &State) -> bool {
    matches!(state, State::Stopped | State::Failed { .. })
}

/// Owns the machine of a folder until it has ended.
pub(crate) fn run(dir: &Utf8Path, accelerator: Option<Utf8PathBuf>) -> Result<(), Error> {
    let folder = Arc::new(Folder::take(dir)?);
    log::start(&folder.file("shim.log"))
        .map_err(|source| Error::Process { doing: "open the log", source })?;
    // One thread: it starts the machine's programs, and they live as long as it does.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Process { doing: "start the runtime", source })?;
    let result = runtime.block_on(own(&folder, accelerator));
    if let Err(error) = &result {
        tracing::error!(error = crate::chain(error), "the shim cannot go on");
    }
    folder.leave();
    result
}

async fn own(folder: &Arc<Folder>, accelerator: Option<Utf8PathBuf>) -> Result<(), Error> {
    let config = folder.description()?;
    folder.sign()?;
    // Every stream of a client takes a descriptor, and the usual limit is half of the streams a machine has.
    if let Err(error) = host::limits::raise_open_files() {
        tracing::warn!(%error, "the limit of open files stays low");
    }
    let signals = |source| Error::Process { doing: "watch for signals", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
    let memory = accelerator.unwrap_or_else(|| folder.file("accelerator.json"));
    let hypervisor = hypervisor::of_this_host(memory);
    let (orders, mut inbox) = mpsc::channel(8);
    let board = Arc::new(Board {
        digest: Mutex::new(config.digest()),
        driver_name: hypervisor.name(),
        state: watch::Sender::new(State::Starting),
        driver: OnceLock::new(),
        orders,
        changing: tokio::sync::Mutex::default(),
    });
    let server = serve::start(folder.listen()?, Arc::clone(&board), Arc::clone(folder))
        .map_err(|source| Error::Process { doing: "serve the machine's socket", source })?;
    tracing::info!(pid = std::process::id(), digest = board.status().config_digest, "machine starting");
    let forward = async {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("told to end by a signal");
            board.order(Order::Stop(OWN_GRACE)).await;
        }
    };
    let live = live(&hypervisor, config, &board, &mut inbox);
    let last = tokio::select! {
        last = live => last,
        () = forward => unreachable!("signals are watched for ever"),
    };
    if let State::Failed { reason, message } = &last {
        tracing::error!(%reason, %message, "machine failed");
        folder.keep_failure(&last)?;
    }
    let failed = !matches!(last, State::Stopped);
    board.state.send_replace(last);
    if failed {
        tokio::select! {
            () = tokio::time::sleep(EPILOGUE) => {}
            _ = inbox.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    server.finish().await;
    Ok(())
}

/// Boots the machine and follows it to its last state.
async fn live(
    hypervisor: &dyn Hypervisor,
    config: VmConfig,
    board: &Board,
    inbox: &mut mpsc::Receiver<Order>,
) -> State {
    let booted = tokio::select! {
        booted = hypervisor.boot(config) => booted,
        // Nothing runs in the guest yet: giving the boot up is the end of it.
        _ = inbox.recv() => return State::Stopped,
    };
    let driver: Arc<dyn VmDriver> = match booted {
        Ok(driver) => Arc::from(driver),
        Err(error) => return failed(Failure::from(&error)),
    };
    // Nobody else sets it, and this is done once.
    let _ = board.driver.set(Arc::clone(&driver));
    let mut states = driver.watch();
    let mut stop = None;
    let mut known = None;
    loop {
        let state = states.borrow_and_update().clone();
        if state.is_final() {
            return tell(state);
        }
        // Only what is new: a machine that is halted runs, for its driver.
        if known.as_ref() != Some(&state) {
            board.state.send_replace(tell(state.clone()));
            known = Some(state);
        }
        let stopping = async {
            match stop.as_mut() {
                Some(stop) => std::pin::Pin::new(stop).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = states.changed() => {
                if changed.is_err() {
                    return tell(driver.state());
                }
            }
            () = stopping => stop = None,
            order = inbox.recv() => match order {
                Some(Order::Stop(grace)) => {
                    let driver = Arc::clone(&driver);
                    stop = Some(Box::pin(async move { switch_off(&*driver, grace).await }));
                }
                Some(Order::Kill) | None => end(&*driver).await,
            },
        }
    }
}

/// Asks the guest to switch itself off; kills it when it does not.
async fn switch_off(driver: &dyn VmDriver, grace: Duration) {
    let heard = driver.state() == VmState::Running;
    let grace = if heard { grace } else { grace.min(UNHEARD_GRACE) };
    let mut states = driver.watch();
    let asking = async {
        if let Err(error) = driver.request_stop().await {
            tracing::warn!(error = crate::chain(&error), "the power button does not work");
        }
        if heard && let Err(error) = ask_agent(driver).await {
            tracing::warn!(%error, "the agent does not switch the machine off");
        }
        let _ = states.wait_for(VmState::is_final).await;
    };
    if tokio::time::timeout(grace, asking).await.is_err() {
        tracing::warn!(grace_ms = grace.as_millis() as u64, "the guest did not end in time");
        end(driver).await;
    }
}

async fn end(driver: &dyn VmDriver) {
    if let Err(error) = driver.kill().await {
        tracing::error!(error = crate::chain(&error), "the machine cannot be ended");
    }
}

async fn ask_agent(driver: &dyn VmDriver) -> std::io::Result<()> {
    let stream = driver.connect(protocol::AGENT_PORT).await;
    let mut stream = stream.map_err(|error| std::io::Error::other(crate::chain(&error)))?;
    stream.write_all(&protocol::encode_json(&agent::Request::PowerOff)).await?;
    stream.flush().await?;
    // The answer, or the end of the machine, whichever is first; the machine's state tells the rest.
    let mut answer = [0; 512];
    let read = stream.read(&mut answer).await?;
    tracing::debug!(bytes = read, "the agent took the request");
    Ok(())
}

fn failed(failure: Failure) -> State {
    State::Failed { reason: failure.kind.as_str().to_owned(), message: failure.message }
}

fn tell(state: VmState) -> State {
    match state {
        VmState::Starting => State::Starting,
        VmState::Running => State::Running,
        VmState::Stopping => State::Stopping,
        VmState::Stopped => State::Stopped,
        VmState::Failed(failure) => failed(failure),
    }
}
