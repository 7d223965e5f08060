//! The virtual machine, as the daemon sees it: started on demand, found again after a restart, stopped on request.
//!
//! The machine itself belongs to its shim, a process of its own that outlives this one. Here lives what is known
//! about it, the one start that all callers share, and the connection to the guest's agent. Nothing here decides
//! *whether* a machine should run.

mod boot;
mod clock;
mod configuration;
pub mod description;
mod disk_copy;
mod journal;
mod metrics;
pub mod problems;
mod process;
mod reclaim;
mod rest;
mod session;
mod shares;
pub mod shim_client;
pub mod splice;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod wire;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{
    DEFAULT_MACHINE, EngineState, EventKind, LogStream, MachineLogLine, MachinePhase, MachineStatus,
    ObjectReference, Problem, ProblemCode, StepKind,
};
use camino::{Utf8Path, Utf8PathBuf};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use protocol::shim::Ability;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use self::description::SharedRoot;
use self::journal::Journal;
use self::rest::HostSleep;
use self::session::{Outcome, Session};
use self::shim_client::ShimClient;
use crate::agent_client::AgentClient;
use crate::idle::Uses;
use crate::paths::{self, MachinePaths, Paths};
use crate::store::Store;
use crate::tools::GuestTools;

/// How long the guest may take to switch itself off: containers get ten seconds of it.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// How long the disks may take before that.
const SYNC_TIME: Duration = Duration::from_secs(10);

/// How long a guest that runs is waited for before it counts as out of reach.
const HEARING: Duration = Duration::from_secs(5);

/// Numbers younger than this are not asked for again.
const USAGE_AGE: Duration = Duration::from_secs(2);

/// Where a machine is on its way, and its engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MachineState {
    /// The machine.
    pub phase: MachinePhase,
    /// The Docker Engine in it.
    pub engine: EngineState,
}

impl MachineState {
    /// Whether containers can be worked with.
    pub fn is_ready(self) -> bool {
        self.phase == MachinePhase::Running && self.engine == EngineState::Ready
    }

    /// Whether it is on and answers nobody for now, because somebody wanted that.
    fn is_out_of_use(self) -> bool {
        matches!(self.phase, MachinePhase::Stopping | MachinePhase::Paused)
    }
}

/// The programs and files a machine is made of.
#[derive(Clone)]
pub struct MachineParts {
    /// The shim's program.
    pub shim: Utf8PathBuf,
    /// The folder of the guest image; `None` when no variable says where it is.
    pub image: Option<Utf8PathBuf>,
    /// Who runs the engine's own commands; the agent in the machine if absent.
    pub tools: Option<Arc<dyn engine::Tools>>,
}

impl MachineParts {
    /// Those that belong to this installation and user.
    pub fn installed() -> Self {
        Self { shim: process::shim_program(), image: paths::image_dir(), tools: None }
    }
}

/// The default machine. Clones share it.
#[derive(Clone)]
pub struct MachineHost {
    inner: Arc<Inner>,
}

type SharedStart = Shared<BoxFuture<'static, Result<(), Problem>>>;

struct Inner {
    parts: MachineParts,
    machine_paths: MachinePaths,
    accelerator_file: Utf8PathBuf,
    store: Store,
    /// The status as it was last written; the store has the same.
    status: Mutex<MachineStatus>,
    state: watch::Sender<MachineState>,
    journal: Journal,
    /// Held while a machine is looked for or started, so that there is never a second.
    lifecycle: tokio::sync::Mutex<()>,
    start: Mutex<Option<SharedStart>>,
    session: Mutex<Option<Arc<Session>>>,
    /// What the present machine was booted with.
    shares: Mutex<Vec<SharedRoot>>,
    /// What the present machine's driver can do with it.
    abilities: Mutex<Vec<Ability>>,
    /// Sleep of this computer.
    host: watch::Sender<HostSleep>,
    /// Counts changes of this computer's network.
    network: watch::Sender<u64>,
    usage_asked: tokio::sync::Mutex<Option<Instant>>,
    gauge: Mutex<metrics::Gauge>,
    engine_starts: AtomicU64,
    /// What is open to it and to what runs in it.
    uses: Uses,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these mutexes guard is replaced whole, so a panic leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MachineHost {
    /// The machine of a state folder. Nothing is started or connected; see [`adopt`](Self::adopt).
    pub fn new(paths: &Paths, store: Store) -> Self {
        Self::with_parts(paths, store, MachineParts::installed())
    }

    /// Like [`new`](Self::new), made of other parts.
    pub fn with_parts(paths: &Paths, store: Store, parts: MachineParts) -> Self {
        // What an earlier daemon saw may have changed since; only what it acted on is still true.
        let earlier = store.machine().map(|machine| machine.status).unwrap_or_default();
        let status = MachineStatus {
            restart: earlier.restart,
            observed_generation: earlier.observed_generation,
            ..MachineStatus::default()
        };
        let inner = Inner {
            parts,
            machine_paths: paths.default_machine(),
            accelerator_file: paths.accelerator_file(),
            store,
            status: Mutex::new(status),
            state: watch::Sender::new(MachineState::default()),
            journal: Journal::new(),
            lifecycle: tokio::sync::Mutex::new(()),
            start: Mutex::new(None),
            session: Mutex::new(None),
            shares: Mutex::new(Vec::new()),
            abilities: Mutex::new(Vec::new()),
            host: watch::Sender::default(),
            network: watch::Sender::default(),
            usage_asked: tokio::sync::Mutex::new(None),
            gauge: Mutex::default(),
            engine_starts: AtomicU64::new(0),
            uses: Uses::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Looks for a machine that an earlier daemon left running and connects to it, or cleans up after one that
    /// died. Called once, before anything else.
    pub async fn adopt(&self) {
        let _lifecycle = self.inner.lifecycle.lock().await;
        match boot::find_living(&self.inner).await {
            Ok(Some(_)) => tracing::info!("the machine of an earlier daemon runs on"),
            Ok(None) => self.inner.update(|_| {}),
            Err(problem) => {
                tracing::warn!(%problem, causes = ?problem.causes, "could not look for a running machine");
                self.inner.update(|machine| machine.problem = Some(problem));
            }
        }
    }

    /// Returns once it is known how a machine stands that an earlier daemon left running: at once, unless its guest was
    /// not heard yet. One that is being started or that does not answer soon is not waited for.
    pub(crate) async fn heard(&self) {
        let Some(session) = self.inner.session() else { return };
        if lock(&self.inner.start).as_ref().is_some_and(|start| start.peek().is_none()) {
            return;
        }
        let mut changed = self.changed();
        let mut outcome = session.outcome.subscribe();
        let heard = async {
            tokio::select! {
                _ = changed.wait_for(|state| state.is_ready() || state.is_out_of_use()) => {}
                _ = outcome.wait_for(|outcome| *outcome != Outcome::Open) => {}
            }
        };
        if tokio::time::timeout(HEARING, heard).await.is_err() {
            tracing::info!("the guest of a machine that runs does not answer");
        }
    }

    /// Returns once the engine answers; starts the machine if it is off, and lets it go on if it is paused. Callers at the same time share one start,
    /// which goes on when they give up. What happens is told as events of the machine.
    ///
    /// # Errors
    /// Why it cannot run; asking again tries again.
    pub async fn ensure_running(&self) -> Result<(), Problem> {
        if self.state().is_ready() {
            return Ok(());
        }
        rest::awaken(&self.inner).await?;
        if self.state().is_ready() {
            return Ok(());
        }
        let start = {
            let mut slot = lock(&self.inner.start);
            match slot.as_ref().filter(|start| start.peek().is_none()) {
                Some(start) => start.clone(),
                None => slot.insert(self.begin_start()).clone(),
            }
        };
        start.await
    }

    fn begin_start(&self) -> SharedStart {
        let inner = Arc::clone(&self.inner);
        let task = tokio::spawn(async move { boot::start(&inner).await });
        let start = async move {
            task.await.unwrap_or_else(|error| {
                Err(Problem::new(ProblemCode::Internal, "the start of the machine broke off")
                    .caused_by(&error))
            })
        };
        start.boxed().shared()
    }

    /// Switches the machine off, in order, and returns when it has ended. Off already: done.
    ///
    /// # Errors
    /// When the shim does not do as asked; [`kill`](Self::kill) is left.
    pub async fn stop(&self) -> Result<(), Problem> {
        let Some(session) = self.inner.session() else {
            // A start may be about to make one; its end is waited for, then there is something to stop.
            let _lifecycle = self.inner.lifecycle.lock().await;
            return match self.inner.session() {
                Some(session) => self.stop_session(&session).await,
                None => Ok(()),
            };
        };
        self.stop_session(&session).await
    }

    async fn stop_session(&self, session: &Session) -> Result<(), Problem> {
        let began = Instant::now();
        let step = StepKind::StopMachine;
        session.expect_end();
        self.inner.emit(EventKind::StepStarted { step, detail: DEFAULT_MACHINE.to_owned() });
        let halted = self.state().phase == MachinePhase::Paused;
        self.inner.update(|machine| machine.phase = MachinePhase::Stopping);
        if halted && let Err(error) = session.shim.resume().await {
            tracing::warn!(%error, "the machine does not go on to be stopped");
        }
        // The shim ends a guest that overstays its grace as a power cut would: what is on the disk then is safe.
        let agent = AgentClient::new(session.shim.clone());
        if !matches!(tokio::time::timeout(SYNC_TIME, agent.sync()).await, Ok(Ok(()))) {
            tracing::warn!("the guest did not write its data to the disk before it was stopped");
        }
        // The answer and the end of the watch race; the end alone is enough.
        let stopped = tokio::select! {
            stopped = session.shim.stop(STOP_GRACE) => stopped,
            _ = session.ended() => Ok(()),
        };
        if let Err(error) = stopped {
            let problem = Problem::from(error);
            self.inner.emit(EventKind::StepFailed { step, problem: problem.clone() });
            return Err(problem);
        }
        session.ended().await;
        self.inner.emit(EventKind::StepFinished { step, millis: millis(began) });
        Ok(())
    }

    /// Ends the machine at once, as a power cut would.
    pub async fn kill(&self) {
        if let Some(session) = self.inner.session() {
            session.expect_end();
            match session.shim.kill().await {
                Ok(()) => {
                    session.ended().await;
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "the machine's process does not do as asked; it is killed");
                }
            }
        }
        if let Err(error) = process::kill(&self.inner.machine_paths) {
            tracing::warn!(%error, "the machine's process was not killed");
        }
    }

    /// Where the machine is on its way.
    pub fn state(&self) -> MachineState {
        *self.inner.state.borrow()
    }

    /// Whether no machine was ever started here: there is no disk of one.
    pub fn was_never_started(&self) -> bool {
        self.inner.session().is_none() && !self.inner.machine_paths.data_disk().exists()
    }

    /// Follows [`state`](Self::state).
    pub fn changed(&self) -> watch::Receiver<MachineState> {
        self.inner.state.subscribe()
    }

    /// How often the engine came to answer in the life of this process. As long as it stays the same, a container
    /// that ended did so by itself or because somebody ended it, and not with the engine.
    pub fn engine_starts(&self) -> u64 {
        self.inner.engine_starts.load(Ordering::Acquire)
    }

    /// The agent of the running machine.
    ///
    /// # Errors
    /// When the machine does not run; it is not started.
    pub fn agent(&self) -> Result<AgentClient, Problem> {
        let session = self.inner.session().ok_or_else(problems::not_running)?;
        match self.state().phase {
            MachinePhase::Running => Ok(AgentClient::new(session.shim.clone())),
            MachinePhase::Paused => Err(problems::paused()),
            MachinePhase::Stopped | MachinePhase::Starting | MachinePhase::Stopping => {
                Err(problems::not_running())
            }
        }
    }

    /// The Docker Engine in the machine, by a way that does not wake it: its calls fail while the machine is off.
    pub fn engine(&self) -> engine::Engine {
        let in_guest = || Arc::new(GuestTools::new(AgentClient::new(self.shim())));
        let tools = self.inner.parts.tools.clone().unwrap_or_else(|| in_guest());
        engine::Engine::new(&self.inner.machine_paths.engine_socket(), tools)
    }

    /// The shared folder that a folder of this computer lies in; `None` if the machine cannot see it. While the
    /// machine is off, by the shares it will have.
    pub fn shared_root_of(&self, path: &Utf8Path) -> Option<Utf8PathBuf> {
        let real = path.canonicalize_utf8().ok()?;
        let sees = |root: &&SharedRoot| root.has(path, &real);
        let booted = self.inner.shares();
        if self.inner.session().is_some() {
            return booted.iter().find(sees).map(|root| root.path.clone());
        }
        let machine = self.inner.store.machine().ok()?;
        description::usable_roots(&machine.spec).iter().find(sees).map(|root| root.path.clone())
    }

    /// Whether a path of this computer, which is there, cannot be seen in the machine. Paths that the machine has itself
    /// are those of the machine.
    pub(crate) fn cannot_see(&self, path: &Utf8Path) -> bool {
        path.is_absolute()
            && !description::hides_guest(path)
            && path.exists()
            && self.shared_root_of(path).is_none()
    }

    /// What the guest wrote so far, and what it will write, without a gap in between. The end of the console, if
    /// nothing came by another way: a guest that did not come up says why there.
    pub fn logs(&self) -> (Vec<MachineLogLine>, broadcast::Receiver<MachineLogLine>) {
        let (mut lines, receiver) = self.inner.journal.follow();
        if lines.is_empty() {
            let console = process::tail_of(&self.inner.machine_paths.console_log());
            lines.extend(console.into_iter().map(journal::console_line));
        }
        (lines, receiver)
    }

    /// Brings what the machine and the daemon use into the status. Nobody asks for that by itself, so an idle
    /// machine stays idle; numbers of the last two seconds are kept.
    pub async fn refresh_usage(&self) {
        let mut asked = self.inner.usage_asked.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < USAGE_AGE) {
            return;
        }
        let usage = match self.inner.session().filter(|_| self.state().phase == MachinePhase::Running) {
            Some(session) => match session::usage(&self.inner, &session).await {
                Ok(usage) => Some(usage),
                Err(problem) => {
                    tracing::debug!(%problem, "the machine did not tell what it uses");
                    return;
                }
            },
            None => None,
        };
        *asked = Some(Instant::now());
        let restart_needed_for = boot::restart_needed_for(&self.inner);
        self.inner.update(|machine| {
            machine.usage = usage.filter(|_| machine.phase == MachinePhase::Running);
            machine.daemon_memory = vmm::memory::of_processes(&[std::process::id()]);
            machine.restart_needed_for = restart_needed_for;
        });
    }

    /// Tells which host ports are open for published container ports.
    pub(crate) fn set_published_ports(&self, ports: BTreeMap<u16, String>) {
        self.inner.update(|machine| machine.published_ports = ports);
    }

    /// What is open to the machine and to what runs in it.
    pub(crate) fn uses(&self) -> &Uses {
        &self.inner.uses
    }

    /// Tells what is scarce in it, given what was told before.
    pub(crate) fn set_pressure_warnings(&self, tell: impl FnOnce(&[Problem]) -> Vec<Problem>) {
        let before = lock(&self.inner.status).warnings.clone();
        let now = tell(&before);
        if now == before {
            return;
        }
        for problem in now.iter().filter(|problem| !before.contains(problem)) {
            self.inner.emit(EventKind::Warning { problem: problem.clone() });
        }
        self.inner.update(|machine| machine.warnings = now);
    }

    /// It is about to be stopped because nobody uses it.
    pub(crate) fn note_idle_stop(&self) {
        self.inner.update(|machine| machine.idle_stop = Some(jiff::Timestamp::now()));
    }

    fn shim(&self) -> ShimClient {
        ShimClient::new(&self.inner.machine_paths.shim_socket())
    }
}

impl Inner {
    /// Changes the status; the store and those who follow the state learn it in the same order.
    fn update(&self, change: impl FnOnce(&mut MachineStatus)) {
        let mut status = lock(&self.status);
        change(&mut status);
        if let Err(error) = self.store.write_machine_status(status.clone()) {
            tracing::error!(%error, "the machine's status was not written");
        }
        let state = MachineState { phase: status.phase, engine: status.engine };
        let before = *self.state.borrow();
        // An engine that was only halted is the same one.
        let halted = before.phase == MachinePhase::Paused && before.engine == EngineState::Ready;
        if state.is_ready() && !before.is_ready() && !halted {
            self.engine_starts.fetch_add(1, Ordering::AcqRel);
        }
        self.state.send_if_modified(|known| std::mem::replace(known, state) != state);
    }

    fn emit(&self, kind: EventKind) {
        self.store.emit(ObjectReference::machine(DEFAULT_MACHINE), kind);
    }

    /// Tells a line of output to those who watch a start; nothing while none is under way.
    fn tell_starting(&self, line: &str) {
        let starting = lock(&self.start).as_ref().is_some_and(|start| start.peek().is_none());
        if starting {
            let line = line.chars().take(1000).collect();
            self.emit(EventKind::Log { step: StepKind::StartMachine, stream: LogStream::Error, line });
        }
    }

    fn session(&self) -> Option<Arc<Session>> {
        lock(&self.session).clone()
    }

    fn set_session(&self, session: Option<Arc<Session>>) {
        *lock(&self.session) = session;
    }

    fn forget_session(&self, ended: &Arc<Session>) {
        let mut slot = lock(&self.session);
        if slot.as_ref().is_some_and(|session| Arc::ptr_eq(session, ended)) {
            *slot = None;
        }
    }

    fn shares(&self) -> Vec<SharedRoot> {
        lock(&self.shares).clone()
    }

    /// The running machine has these shares.
    fn set_shares(&self, shares: Vec<SharedRoot>) {
        let paths = shares.iter().map(|root| root.path.clone()).collect();
        *lock(&self.shares) = shares;
        self.update(|machine| machine.shares = paths);
    }
}

/// Time since then, in milliseconds.
fn millis(since: Instant) -> u64 {
    since.elapsed().as_millis() as u64
}
