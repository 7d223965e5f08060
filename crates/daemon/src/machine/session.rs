//! One life of a machine, from the shim's first word to its end.
//!
//! ```text
//! shim's watch:   Starting ----> Running ----> Stopping ----> Stopped | Failed | (stream cut)
//! guest's watch:                 hello, clock, configuration, then logs, components and stages;
//!                                cut while the shim still runs: greeted again
//! ```
//! What both tell goes into the machine's status. The end of the shim's stream is the end of the session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::{
    AcceleratorStatus, BootStage, ComponentStatus, EmulationStatus, EngineState, EventKind, MachinePhase,
    MachineUse, ObjectKind, Pressure, Problem, ProblemCode,
};
use protocol::agent::{AgentHello, Component, ComponentState, Configuration, Event, Level, Metrics, Stall};
use protocol::shim::{State, Status};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::clock::{ClockWatch, LOOK_EVERY};
use super::shim_client::{ShimClient, ShimWatch};
use super::{Inner, configuration, lock, problems, process, shares};
use crate::agent_client::{AgentClient, AgentWatch};

/// Name of the component that is the Docker Engine.
const ENGINE: &str = "dockerd";

/// Parts and stages a guest may tell of; more is not credible.
const MAX_PARTS: usize = 32;

/// Longest name of a part or stage, in bytes.
const MAX_NAME: usize = 64;

/// Longest line or explanation that is kept, in characters.
const MAX_NOTE: usize = 400;

/// First and longest pause before an agent that does not answer is greeted again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// How a session goes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// It goes on.
    Open,
    /// It goes on, but the machine will not become usable.
    Trouble(Box<Problem>),
    /// The shim is gone; with a problem unless that was wanted.
    Ended(Option<Box<Problem>>),
}

/// A live connection to a shim.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) shim: ShimClient,
    pub(super) outcome: watch::Sender<Outcome>,
    /// Whether the shim says that its machine is halted.
    halted: watch::Sender<bool>,
    stop_asked: AtomicBool,
}

impl Session {
    /// Remembers that the end is wanted.
    pub(super) fn expect_end(&self) {
        self.stop_asked.store(true, Ordering::Relaxed);
    }

    /// Whether the end is wanted.
    pub(super) fn is_stopping(&self) -> bool {
        self.stop_asked.load(Ordering::Relaxed)
    }

    /// Waits until the shim says that its machine is halted, or the session's end.
    pub(super) async fn halted(&self) {
        let mut halted = self.halted.subscribe();
        tokio::select! {
            _ = halted.wait_for(|halted| *halted) => {}
            _ = self.ended() => {}
        }
    }

    /// Waits for the end; the problem if it was not wanted.
    pub(super) async fn ended(&self) -> Option<Problem> {
        let mut outcome = self.outcome.subscribe();
        let ended = outcome.wait_for(|outcome| matches!(outcome, Outcome::Ended(_))).await;
        match ended.as_deref() {
            Ok(Outcome::Ended(problem)) => problem.as_deref().cloned(),
            // The sender lives in `self`.
            Ok(Outcome::Open | Outcome::Trouble(_)) | Err(_) => None,
        }
    }
}

/// A task that ends with its owner.
struct Owned(JoinHandle<()>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts to follow a shim.
pub(super) fn attach(inner: &Arc<Inner>, shim: ShimClient, watch: ShimWatch) -> Arc<Session> {
    let outcome = watch::Sender::new(Outcome::Open);
    let halted = watch::Sender::new(false);
    let session = Arc::new(Session { shim, outcome, halted, stop_asked: AtomicBool::new(false) });
    inner.set_session(Some(Arc::clone(&session)));
    tokio::spawn(follow_shim(Arc::clone(inner), Arc::clone(&session), watch));
    session
}

async fn follow_shim(inner: Arc<Inner>, session: Arc<Session>, mut watch: ShimWatch) {
    let mut guest = None;
    let mut last = None;
    while let Some(status) = watch.next().await {
        note_shim(&inner, &status);
        session.halted.send_replace(status.state == State::Paused);
        match &status.state {
            State::Running if guest.is_none() => {
                let following = follow_guest(Arc::clone(&inner), Arc::clone(&session));
                guest = Some(Owned(tokio::spawn(following)));
            }
            State::Starting | State::Running => {}
            State::Paused => inner.update(|machine| machine.phase = MachinePhase::Paused),
            State::Stopping => inner.update(|machine| machine.phase = MachinePhase::Stopping),
            State::Stopped => guest = None,
            State::Failed { .. } => {
                guest = None;
                // It stays to tell why. We have heard, and a new start needs its place.
                let shim = session.shim.clone();
                tokio::spawn(async move { shim.kill().await });
            }
        }
        last = Some(status.state);
    }
    drop(guest);
    let problem = match last {
        Some(State::Failed { reason, message }) => {
            Some(problems::from_failure(&reason, &message, &inner.machine_paths))
        }
        Some(State::Stopped | State::Stopping) => None,
        _ if session.is_stopping() => None,
        Some(State::Starting | State::Running | State::Paused) | None => {
            Some(problems::lost(&inner.machine_paths))
        }
    };
    if let Some(problem) = &problem {
        tracing::warn!(%problem, "the machine ended by itself");
    }
    inner.forget_session(&session);
    lock(&inner.abilities).clear();
    inner.update(|machine| {
        machine.phase = MachinePhase::Stopped;
        machine.engine = EngineState::Down;
        machine.components.clear();
        machine.usage = None;
        machine.warnings.clear();
        machine.shim_pid = None;
        machine.shares.clear();
        machine.changes_shares = false;
        machine.problem.clone_from(&problem);
    });
    session.outcome.send_replace(Outcome::Ended(problem.map(Box::new)));
}

fn note_shim(inner: &Inner, status: &Status) {
    lock(&inner.abilities).clone_from(&status.abilities);
    let changes_shares = shares::can_change(inner);
    inner.update(|machine| {
        machine.changes_shares = changes_shares;
        machine.shim_pid = Some(status.pid);
        machine.driver = Some(shortened(&status.driver));
        let name = shortened(&status.accelerator);
        let note = process::accelerator_note(&inner.accelerator_file, &name);
        // Before the machine is powered on, the shim has not decided.
        let known = !matches!(name.as_str(), "" | "unknown");
        machine.accelerator = known.then_some(AcceleratorStatus { name, note });
        if let Some(usage) = &mut machine.usage {
            usage.host_memory = status.host_memory;
        }
    });
}

/// Keeps the guest greeted and listens to it, until aborted.
async fn follow_guest(inner: Arc<Inner>, session: Arc<Session>) {
    let agent = AgentClient::new(session.shim.clone());
    let mut pause = PAUSE.0;
    let mut state = inner.state.subscribe();
    loop {
        // A halted guest answers nobody, and is not to blame. The sender lives in `inner`.
        let _ = state.wait_for(|state| state.phase != MachinePhase::Paused).await;
        match greet(&inner, &agent).await {
            Ok(greeted) => {
                pause = PAUSE.0;
                session.outcome.send_if_modified(|outcome| {
                    let troubled = matches!(outcome, Outcome::Trouble(_));
                    if troubled {
                        *outcome = Outcome::Open;
                    }
                    troubled
                });
                listen(&inner, &session, &agent, greeted).await;
                tracing::info!("the connection to the guest was cut");
                inner.update(|machine| machine.engine = EngineState::Down);
            }
            // Words of refusal are final for whoever waits; an agent that is silent gets more time: it may be about
            // to come, or the machine about to go.
            Err(problem) if problem.code == ProblemCode::GuestVersion || pause > PAUSE.0 * 8 => {
                tracing::warn!(%problem, causes = ?problem.causes, "the guest cannot be worked with");
                inner.update(|machine| machine.problem = Some(problem.clone()));
                session.outcome.send_if_modified(|outcome| {
                    let open = *outcome == Outcome::Open;
                    if open {
                        *outcome = Outcome::Trouble(Box::new(problem));
                    }
                    open
                });
            }
            Err(problem) => tracing::debug!(%problem, causes = ?problem.causes, "the guest was not greeted"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// A guest that knows what it must.
struct Greeted {
    watch: AgentWatch,
    /// What it was told.
    told: Told,
    /// What happened since.
    changes: broadcast::Receiver<api::Event>,
}

/// What a guest was told of this computer.
struct Told {
    /// All of it.
    configuration: Configuration,
    /// Whether this computer's network was trusted then.
    trusted: bool,
}

/// Introduces the host, sets the clock, tells the configuration, and starts to watch.
async fn greet(inner: &Inner, agent: &AgentClient) -> Result<Greeted, Problem> {
    let hello = agent.hello().await?;
    check_version(&hello)?;
    inner.journal.begin(&hello.boot_id);
    agent.set_clock().await?;
    let changes = inner.store.subscribe();
    let told = configure(inner, agent, None).await?;
    shares::mount_all(inner, agent).await?;
    let watch = agent.watch().await?;
    inner.update(|machine| {
        machine.phase = MachinePhase::Running;
        machine.idle_stop = None;
        machine.kernel = Some(shortened(&hello.kernel));
        machine.problem = None;
        machine.emulation = None;
        machine.components.clear();
        machine.boot.clear();
    });
    Ok(Greeted { watch, told, changes })
}

fn check_version(hello: &AgentHello) -> Result<(), Problem> {
    if protocol::VERSION.understands(hello.protocol) {
        return Ok(());
    }
    let mut problem =
        Problem::new(ProblemCode::GuestVersion, "the guest in the machine is of another version");
    let (guest, host) = (hello.protocol, protocol::VERSION);
    problem.causes.push(format!("it speaks protocol {guest}, this version of Cove speaks {host}"));
    Err(problem.with_command("restart the machine", "cove machine restart"))
}

async fn listen(inner: &Inner, session: &Session, agent: &AgentClient, greeted: Greeted) {
    let Greeted { mut watch, mut told, mut changes } = greeted;
    let mut network = inner.network.subscribe();
    let mut refused = None;
    shares::follow_spec(inner, session, agent, &mut refused).await;
    let mut clock = ClockWatch::start();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = watch.next() => match event {
                Some(event) => hear(inner, event),
                None => return,
            },
            // Whoever lets a halted one go on sets its clock.
            _ = look.tick() => if is_running(inner) && clock.jumped() {
                tracing::info!("this computer slept or its clock was set: the guest's clock follows");
                if let Err(error) = agent.set_clock().await {
                    tracing::warn!(%error, "the guest's clock was not set");
                    return;
                }
            },
            () = spec_may_differ(&mut changes) => if is_running(inner) {
                if wants_trust(inner) == Some(!told.trusted) {
                    match configure(inner, agent, Some(&told)).await {
                        Ok(now) => told = now,
                        Err(problem) => {
                            tracing::warn!(%problem, "the guest was not told of the changed setting");
                            return;
                        }
                    }
                }
                shares::follow_spec(inner, session, agent, &mut refused).await;
            },
            // The sender lives in `inner`.
            _ = network.changed(), if is_running(inner) => {
                tracing::info!("the network of this computer changed");
                match configure(inner, agent, Some(&told)).await {
                    Ok(now) => told = now,
                    Err(problem) => tracing::warn!(%problem, "the guest was not told of the network"),
                }
            }
        }
    }
}

fn is_running(inner: &Inner) -> bool {
    inner.state.borrow().phase == MachinePhase::Running
}

/// Returns when something happened to the machine's resource: any event may be a changed spec, and so may those that
/// were missed.
pub(super) async fn spec_may_differ(changes: &mut broadcast::Receiver<api::Event>) {
    loop {
        match changes.recv().await {
            Ok(event) if event.object.kind != ObjectKind::Machine || event.kind != EventKind::Changed => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            // The store is gone with its process.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn wants_trust(inner: &Inner) -> Option<bool> {
    inner.store.machine().ok().map(|machine| machine.spec.trust_host_network)
}

/// Tells the guest the configuration by the present spec and this computer's network, unless it knows just that.
async fn configure(inner: &Inner, agent: &AgentClient, known: Option<&Told>) -> Result<Told, Problem> {
    let machine = inner.store.machine().map_err(|error| problems::store_failed(&error))?;
    let configuration = configuration::for_guest(&machine.spec, &inner.shares());
    if known.is_none_or(|known| known.configuration != configuration) {
        agent.configure(configuration.clone()).await?;
    }
    Ok(Told { configuration, trusted: machine.spec.trust_host_network })
}

fn hear(inner: &Inner, event: Event) {
    match event {
        Event::Log(line) => {
            // The kernel warns of hardware that it misses in any virtual machine.
            let least = if line.source == "kernel" { Level::Error } else { Level::Warn };
            let serious = line.level >= least;
            let told = format!("{}: {}", line.source, line.message);
            if inner.journal.add(line) && serious {
                inner.tell_starting(&told);
            }
        }
        Event::Component(component) => note_component(inner, &component),
        Event::Stage { name, uptime_ms } => inner.update(|machine| {
            let name = shortened(&name);
            if machine.boot.len() < MAX_PARTS && machine.boot.iter().all(|stage| stage.name != name) {
                machine.boot.push(BootStage { name, uptime_ms });
            }
        }),
        Event::Emulation(told) => inner.update(|machine| {
            machine.emulation = Some(EmulationStatus {
                architecture: shortened(&told.architecture),
                by: told.by.as_deref().map(shortened),
                note: told.note.map(|note| note.chars().take(MAX_NOTE).collect()),
            });
        }),
        Event::Unknown => {}
    }
}

fn note_component(inner: &Inner, component: &Component) {
    let state = match component.state {
        ComponentState::Starting | ComponentState::Unknown => EngineState::Starting,
        ComponentState::Ready => EngineState::Ready,
        ComponentState::Failed => EngineState::Failed,
        ComponentState::Stopped => EngineState::Down,
    };
    let status = ComponentStatus { name: shortened(&component.name), state, restarts: component.restarts };
    inner.update(|machine| {
        if status.name == ENGINE {
            machine.engine = state;
        }
        match state {
            EngineState::Failed => machine.problem = Some(engine_down(component)),
            // The engine answers only when everything below it does.
            EngineState::Ready if status.name == ENGINE => machine.problem = None,
            EngineState::Ready | EngineState::Starting | EngineState::Down => {}
        }
        match machine.components.iter().position(|known| known.name == status.name) {
            Some(at) => machine.components[at] = status,
            None if machine.components.len() < MAX_PARTS => machine.components.push(status),
            None => {}
        }
    });
}

fn engine_down(component: &Component) -> Problem {
    let name = shortened(&component.name);
    let tail = component.log_tail.iter().rev().take(20).rev();
    Problem::new(ProblemCode::EngineDown, format!("`{name}` in the machine ended"))
        .with_hint("it is started again by itself; `cove machine logs` shows more")
        .with_log(tail.map(|line| line.chars().take(MAX_NOTE).collect()).collect())
}

/// Names from the guest and the shim go into the store: they are short or cut.
fn shortened(name: &str) -> String {
    name[..name.floor_char_boundary(MAX_NAME)].to_owned()
}

/// What the guest tells of itself now, and its shim of it.
pub(super) async fn figures(session: &Session) -> Result<(Metrics, Status), Problem> {
    let agent = AgentClient::new(session.shim.clone());
    tokio::try_join!(async { agent.metrics().await.map_err(Problem::from) }, async {
        session.shim.status().await.map_err(Problem::from)
    })
}

/// What a running machine uses, asked for now.
pub(super) async fn usage(inner: &Inner, session: &Session) -> Result<MachineUse, Problem> {
    let (metrics, shim) = figures(session).await?;
    Ok(MachineUse {
        memory_total: metrics.memory_total,
        memory_used: metrics.memory_total.saturating_sub(metrics.memory_available),
        memory_cached: metrics.memory_cached,
        host_memory: shim.host_memory,
        disk_total: metrics.disk_total,
        disk_used: metrics.disk_used,
        host_disk: host_disk(inner),
        uptime_ms: metrics.uptime_ms,
        pressure: metrics.pressure.map(|pressure| Pressure {
            cpu: percent(pressure.cpu),
            io: percent(pressure.io),
            memory: percent(pressure.memory),
        }),
    })
}

/// The share of the last minute, which the guest may say wrongly.
fn percent(stall: Stall) -> u8 {
    u8::try_from(stall.minute / 100).unwrap_or(100).min(100)
}

/// What the sparse data disk takes on this computer, in bytes.
pub(super) fn host_disk(inner: &Inner) -> u64 {
    use std::os::unix::fs::MetadataExt;
    // The unit of `st_blocks` is 512 bytes on every system we run on.
    fs_err::metadata(inner.machine_paths.data_disk()).map_or(0, |metadata| metadata.blocks() * 512)
}
