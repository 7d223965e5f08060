//! From "off" to "the engine answers": find the shim that lives, or start one, and wait.

use std::sync::Arc;
use std::time::Duration;

use api::{
    DEFAULT_MACHINE, EngineState, EventKind, LogStream, MachinePhase, Problem, ProblemCode, StepKind, Unit,
};
use protocol::shim::State;
use tokio::process::Child;
use tokio::time::{Instant, sleep, sleep_until};

use super::description::{describe, differences, shared_roots, usable_roots};
use super::session::{Outcome, Session, attach};
use super::shim_client::{ShimClient, ShimError, ShimWatch};
use super::{Inner, MachineState, disk_copy, lock, millis, problems, process};
use crate::paths::MachinePaths;

/// How long a shim may take until it answers on its socket. It answers before it boots anything.
const SHIM_TIME: Duration = Duration::from_secs(20);

/// Pause between two looks for the shim's socket.
const SHIM_PAUSE: Duration = Duration::from_millis(10);

/// How long Linux may take. The shim gives up earlier and says why; this is for a shim that hangs.
const LINUX_TIME: Duration = Duration::from_mins(5);

/// How long the engine may take after Linux, on an emulated processor that is busy with other things.
const ENGINE_TIME: Duration = Duration::from_mins(4);

/// Lines of the guest's log that go into a problem.
const TAIL_LINES: usize = 15;

/// Brings the machine up, and tells how it goes.
pub(super) async fn start(inner: &Arc<Inner>) -> Result<(), Problem> {
    let _lifecycle = inner.lifecycle.lock().await;
    if inner.state.borrow().is_ready() {
        return Ok(());
    }
    let step = StepKind::StartMachine;
    let began = Instant::now();
    inner.emit(EventKind::StepStarted { step, detail: DEFAULT_MACHINE.to_owned() });
    let outcome = bring_up(inner, began).await;
    match &outcome {
        Ok(()) => inner.emit(EventKind::StepFinished { step, millis: millis(began) }),
        Err(problem) => {
            inner.update(|machine| machine.problem = Some(problem.clone()));
            inner.emit(EventKind::StepFailed { step, problem: problem.clone() });
        }
    }
    outcome
}

async fn bring_up(inner: &Arc<Inner>, began: Instant) -> Result<(), Problem> {
    if let Some(session) = inner.session() {
        if !session.is_stopping() {
            return wait_until_ready(inner, &session, began).await;
        }
        session.ended().await;
    }
    let session = match find_living(inner).await? {
        Some(session) => session,
        None => boot(inner).await?,
    };
    wait_until_ready(inner, &session, began).await
}

/// Connects to a shim that lives already; cleans up after one that does not.
pub(super) async fn find_living(inner: &Arc<Inner>) -> Result<Option<Arc<Session>>, Problem> {
    let paths = &inner.machine_paths;
    let Some(identity) = process::living(paths)? else {
        note_failure(inner);
        process::remove_stale(paths)?;
        return Ok(None);
    };
    let shim = ShimClient::new(&paths.shim_socket());
    let deadline = Instant::now() + SHIM_TIME;
    loop {
        match shim.watch().await {
            Ok(watch) => match shim.status().await.map(|status| status.state) {
                // It only stays a while to tell how its machine ended.
                Ok(State::Stopped | State::Failed { .. }) => {
                    note_failure(inner);
                    dismiss(&shim, paths).await?;
                    return Ok(None);
                }
                state => {
                    remember_booted_shares(inner);
                    let halted = matches!(state, Ok(State::Paused));
                    inner.update(|machine| {
                        machine.phase = if halted { MachinePhase::Paused } else { MachinePhase::Starting };
                    });
                    return Ok(Some(attach(inner, shim, watch)));
                }
            },
            Err(error) if Instant::now() > deadline => {
                let problem = Problem::from(error).with_command(
                    format!("end the machine's process {} and start again", identity.pid),
                    "cove machine stop",
                );
                return Err(problem);
            }
            Err(_) => sleep(SHIM_PAUSE).await,
        }
        // It may be about to open its socket, or about to end.
        if process::living(paths)?.is_none() {
            process::remove_stale(paths)?;
            return Ok(None);
        }
    }
}

/// Ends a shim whose machine has ended, and waits until it has gone.
async fn dismiss(shim: &ShimClient, paths: &MachinePaths) -> Result<(), Problem> {
    // It may be gone before it answers, which is as good.
    if let Err(error) = shim.kill().await {
        tracing::debug!(%error, "a shim without a machine did not answer");
    }
    let deadline = Instant::now() + SHIM_TIME;
    while process::living(paths)?.is_some() && Instant::now() < deadline {
        sleep(SHIM_PAUSE).await;
    }
    process::remove_stale(paths)?;
    Ok(())
}

/// Tells why the machine ended while no daemon was there to see it.
fn note_failure(inner: &Inner) {
    if let Some(State::Failed { reason, message }) = process::kept_failure(&inner.machine_paths) {
        let problem = problems::from_failure(&reason, &message, &inner.machine_paths);
        inner.update(|machine| machine.problem = Some(problem));
    }
}

async fn boot(inner: &Arc<Inner>) -> Result<Arc<Session>, Problem> {
    let machine = inner.store.machine().map_err(|error| problems::store_failed(&error))?;
    let image = inner.parts.image.as_deref().filter(|folder| folder.join(vmm::image::MANIFEST).is_file());
    let image = image.ok_or_else(|| problems::image_missing(inner.parts.image.as_deref()))?;
    let shares = shared_roots(&machine.spec)?;
    let paths = &inner.machine_paths;
    let config = describe(&machine.spec, &shares, paths, image)?;
    let text = serde_json::to_vec_pretty(&config).expect("a machine's description has only string keys");
    process::write_atomically(&paths.config(), &text)?;
    if let Err(error) = disk_copy::keep_before_update(paths, image) {
        tracing::warn!(%error, "the data disk could not be kept as it was before an update");
    }
    inner.set_shares(shares);
    inner.update(|status| {
        status.phase = MachinePhase::Starting;
        status.engine = EngineState::Down;
        status.problem = None;
        status.observed_generation = machine.metadata.generation;
        status.restart = machine.spec.restart.clone();
        status.restart_needed_for.clear();
        status.boot.clear();
        status.components.clear();
        status.usage = None;
    });
    let started = connect_new(inner).await;
    if started.is_err() {
        inner.update(|status| status.phase = MachinePhase::Stopped);
    }
    let (shim, watch) = started?;
    Ok(attach(inner, shim, watch))
}

/// Starts a shim and waits until it answers.
async fn connect_new(inner: &Inner) -> Result<(ShimClient, ShimWatch), Problem> {
    let paths = &inner.machine_paths;
    let mut child = process::spawn(&inner.parts.shim, paths, &inner.accelerator_file)?;
    let shim = ShimClient::new(&paths.shim_socket());
    let deadline = Instant::now() + SHIM_TIME;
    loop {
        match shim.watch().await {
            Ok(watch) => {
                reap(child);
                return Ok((shim, watch));
            }
            Err(ShimError::Unreachable { .. }) if Instant::now() < deadline => {}
            Err(error) => {
                reap(child);
                return Err(error.into());
            }
        }
        tokio::select! {
            status = child.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                return Err(problems::shim_ended_early(&status, paths));
            }
            () = sleep(SHIM_PAUSE) => {}
        }
    }
}

/// Waits for the end of the shim in the background, so that no zombie is left. It does not end with this process.
fn reap(mut child: Child) {
    tokio::spawn(async move {
        match child.wait().await {
            Ok(status) => tracing::info!(%status, "the machine's process ended"),
            Err(error) => tracing::warn!(%error, "the machine's process was not waited for"),
        }
    });
}

/// Waits for the engine, telling the stages as they come.
async fn wait_until_ready(inner: &Inner, session: &Session, began: Instant) -> Result<(), Problem> {
    let mut state = inner.state.subscribe();
    let mut outcome = session.outcome.subscribe();
    let mut deadline = Instant::now() + LINUX_TIME;
    let mut told = None;
    loop {
        let now = *state.borrow_and_update();
        match &*outcome.borrow_and_update() {
            Outcome::Open => {}
            Outcome::Trouble(problem) => return Err((**problem).clone()),
            Outcome::Ended(Some(problem)) => return Err((**problem).clone()),
            Outcome::Ended(None) => {
                return Err(Problem::new(
                    ProblemCode::MachineFailed,
                    "the machine was stopped while it started",
                ));
            }
        }
        if now.is_ready() {
            tell(inner, began, "Docker Engine answers");
            return Ok(());
        }
        let item = item(now);
        // Whoever halted it knows, and it goes on with what it was at.
        if now.phase == MachinePhase::Paused {
            deadline = Instant::now() + ENGINE_TIME;
        } else if told != Some(item) {
            if told.is_some() {
                tell(inner, began, "Linux answers");
                deadline = Instant::now() + ENGINE_TIME;
            }
            told = Some(item);
            inner.emit(EventKind::Progress {
                step: StepKind::StartMachine,
                item: item.to_owned(),
                current: u64::from(now.phase == MachinePhase::Running),
                total: Some(2),
                unit: Unit::Items,
            });
        }
        // Both senders live as long as what was borrowed here, so a change is all that can end the waits.
        tokio::select! {
            _ = state.changed() => {}
            _ = outcome.changed() => {}
            () = sleep_until(deadline) => return Err(too_slow(inner, now)),
        }
    }
}

fn item(state: MachineState) -> &'static str {
    match state.phase {
        MachinePhase::Running => "starting the engine",
        MachinePhase::Paused => "waiting until the machine goes on",
        MachinePhase::Stopped | MachinePhase::Starting | MachinePhase::Stopping => "booting Linux",
    }
}

fn tell(inner: &Inner, began: Instant, what: &str) {
    let line = format!("{what} after {} ms", millis(began));
    inner.emit(EventKind::Log { step: StepKind::StartMachine, stream: LogStream::Output, line });
}

fn too_slow(inner: &Inner, state: MachineState) -> Problem {
    let known = lock(&inner.status).problem.clone();
    known.unwrap_or_else(|| {
        let (code, title, waited) = match state.phase {
            MachinePhase::Running => {
                (ProblemCode::EngineDown, "the Docker Engine in the machine does not answer", ENGINE_TIME)
            }
            MachinePhase::Paused => (ProblemCode::MachinePaused, "the machine is paused", ENGINE_TIME),
            MachinePhase::Stopped | MachinePhase::Starting | MachinePhase::Stopping => {
                (ProblemCode::MachineFailed, "Linux in the machine does not come up", LINUX_TIME)
            }
        };
        let mut problem = Problem::new(code, title);
        problem.causes.push(format!("waited for {} s", waited.as_secs()));
        let mut tail = inner.journal.tail(TAIL_LINES);
        if tail.is_empty() {
            tail = process::tail_of(&inner.machine_paths.console_log());
        }
        problem.with_log(tail)
    })
}

/// What the running machine was booted with, by the file the shim read.
fn booted(inner: &Inner) -> Option<vmm::VmConfig> {
    let text = fs_err::read(inner.machine_paths.config()).ok()?;
    serde_json::from_slice(&text).ok()
}

/// After an adoption, the shares are those of the boot; one that was taken out of the spec since has no path that
/// anybody may use.
fn remember_booted_shares(inner: &Inner) {
    let (Some(booted), Ok(machine)) = (booted(inner), inner.store.machine()) else { return };
    let mut roots = usable_roots(&machine.spec);
    roots.retain_mut(|root| {
        let share = booted.shares.iter().find(|share| share.host_path == root.real_path);
        root.tag = share.map(|share| share.tag.clone()).unwrap_or_default();
        share.is_some()
    });
    inner.set_shares(roots);
}

/// The settings of the spec that the running machine was not booted with.
pub(super) fn restart_needed_for(inner: &Inner) -> Vec<String> {
    if inner.session().is_none() {
        return Vec::new();
    }
    let wanted = || {
        let machine = inner.store.machine().ok()?;
        let shares = shared_roots(&machine.spec).ok()?;
        describe(&machine.spec, &shares, &inner.machine_paths, inner.parts.image.as_deref()?).ok()
    };
    match (booted(inner), wanted()) {
        (Some(booted), Some(wanted)) => differences(&booted, &wanted),
        _ => Vec::new(),
    }
}
