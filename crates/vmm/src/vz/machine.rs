//! One machine of the framework, and the task that watches over it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::description::{MachineDescription, SharedFolder};
use super::framework::{Created, Event, Machine, RunState};
use super::saved::{Fingerprint, Saved};
use super::start::{self, Plan, within};
use super::{Cause, FrameworkError};
use crate::config::check_shares;
use crate::console::console_tail;
use crate::{
    Accelerator, Balloon, ByteStream, ChangeShares, Error, Failure, MuxError, Pause, Share, Snapshot,
    VmConfig, VmDriver, VmFacts, VmState,
};

/// How long the framework may take for one of its calls.
const CALL: Duration = Duration::from_secs(30);

/// How long it may take to write the machine's memory to the disk.
const SAVE: Duration = Duration::from_mins(2);

/// How long a guest that refuses a connection is asked again: its queue of unaccepted ones may be full.
const CONNECT: Duration = Duration::from_secs(2);
const CONNECT_PAUSE: Duration = Duration::from_millis(20);

/// Pause before a network that was lost is attached again.
const REATTACH_PAUSE: Duration = Duration::from_secs(2);

/// Bytes in a MiB.
const MIB: u64 = 1 << 20;

/// Least memory that a balloon leaves the guest, in bytes.
const LEAST_MEMORY: u64 = 256 * MIB;

/// What a kernel says as its last words. The framework does not tell a crash from a guest that switches itself off.
const PANIC: &str = "Kernel panic";

/// How a machine came up.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// From the beginning: its agent has this long to answer.
    PowerOn {
        /// When it was powered on.
        at: Instant,
        /// How long it may take.
        deadline: Duration,
    },
    /// From a saved state: its agent has answered.
    Restored {
        /// How long that took.
        after: Duration,
    },
}

/// What the watching task can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// A stop is under way: an end is no failure any more.
    ExpectEnd,
    /// End it now.
    End,
}

/// A machine that runs on the framework.
#[derive(Debug)]
pub(super) struct VzMachine {
    body: Arc<Body>,
    state: watch::Receiver<VmState>,
    orders: mpsc::Sender<Order>,
    /// Held while the machine is halted, saved or let go on: one of these at a time.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Body {
    machine: Box<dyn Machine>,
    description: MachineDescription,
    /// With the shares it has now.
    config: Mutex<VmConfig>,
    fingerprint: Fingerprint,
    saved: Saved,
    agent_after: OnceLock<Duration>,
}

impl Body {
    fn config(&self) -> std::sync::MutexGuard<'_, VmConfig> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn crashed(&self, what: &'static str) -> Error {
        Error::GuestCrashed { what, console_tail: console_tail(&self.description.console) }
    }
}

impl VzMachine {
    /// Takes charge of a machine that was started.
    pub(super) fn watch_over(created: Created, origin: Origin, plan: Plan<'_>) -> Self {
        // No network that takes frames is asked for yet.
        let Created { machine, events, frames: _ } = created;
        let body = Arc::new(Body {
            machine,
            description: plan.description,
            config: Mutex::new(plan.config),
            fingerprint: plan.fingerprint,
            saved: plan.saved,
            agent_after: OnceLock::new(),
        });
        let begin = match origin {
            Origin::PowerOn { .. } => VmState::Starting,
            Origin::Restored { after } => {
                // Nobody else sets it before the task begins.
                let _ = body.agent_after.set(after);
                VmState::Running
            }
        };
        let (tell, state) = watch::channel(begin);
        let (orders, inbox) = mpsc::channel(8);
        let guard =
            Guard { body: Arc::clone(&body), state: tell, origin, end_expected: false, reattach: None };
        tokio::spawn(guard.watch_over(events, inbox));
        Self { body, state, orders, changing: tokio::sync::Mutex::default() }
    }

    /// The end of a machine that is to end now.
    async fn end(&self) {
        let _ = self.orders.send(Order::End).await;
        // The sender is gone only after the last state was told.
        let _ = self.state.clone().wait_for(VmState::is_final).await;
    }

    /// Halts the machine unless it is halted. Gives whether it ran.
    async fn halt(&self) -> Result<bool, Error> {
        match self.body.machine.state() {
            RunState::Paused => Ok(false),
            RunState::Running => {
                let halted = within(CALL, self.body.machine.pause()).await;
                halted.map_err(|source| Error::Framework { doing: "pause", source })?;
                Ok(true)
            }
            _ => Err(Error::NotRunning { state: self.state() }),
        }
    }

    async fn go_on(&self) -> Result<(), Error> {
        match self.body.machine.state() {
            RunState::Running => Ok(()),
            RunState::Paused => {
                let resumed = within(CALL, self.body.machine.resume()).await;
                resumed.map_err(|source| Error::Framework { doing: "resume", source })
            }
            _ => Err(Error::NotRunning { state: self.state() }),
        }
    }

    async fn keep_state(&self) -> Result<(), Error> {
        let _alone = self.changing.lock().await;
        let ran = self.halt().await?;
        let Body { machine, saved, .. } = &*self.body;
        // The framework does not write over a file that is there.
        saved.remove();
        if let Err(source) = within(SAVE, machine.save(saved.state())).await {
            saved.remove();
            if ran {
                self.go_on().await?;
            }
            return Err(Error::Framework { doing: "save", source });
        }
        self.end().await;
        // Only now are the disks as the state knows them.
        let config = self.body.config().clone();
        let fingerprint = Fingerprint { config_digest: config.digest(), ..self.body.fingerprint.clone() };
        saved.vouch(fingerprint, &config).map_err(|source| {
            saved.remove();
            Error::File { doing: "write what belongs to", path: saved.state().to_owned(), source }
        })
    }

    async fn reach(&self, port: u32) -> Result<ByteStream, Error> {
        let state = self.state();
        if state != VmState::Running && state != VmState::Stopping {
            return Err(Error::NotRunning { state });
        }
        let begun = Instant::now();
        loop {
            // Asked each time: somebody may halt it while this waits.
            if self.body.machine.state() == RunState::Paused {
                return Err(Error::Paused);
            }
            match within(CALL, self.body.machine.connect(port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) if error.is_passing() && begun.elapsed() < CONNECT => {
                    tokio::time::sleep(CONNECT_PAUSE).await;
                }
                Err(error) => {
                    return Err(Error::Connect { port, source: MuxError::Socket(error.into()) });
                }
            }
        }
    }

    async fn replace_shares(&self, shares: Vec<Share>) -> Result<(), Error> {
        check_shares(&shares)?;
        super::check_folders(&shares)?;
        let folders: Vec<_> = shares.iter().map(SharedFolder::from).collect();
        let changed = within(CALL, self.body.machine.set_shares(&folders)).await;
        changed.map_err(|source| Error::Framework { doing: "change the shares of", source })?;
        self.body.config().shares = shares;
        Ok(())
    }
}

impl VmDriver for VzMachine {
    fn state(&self) -> VmState {
        self.state.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<VmState> {
        self.state.clone()
    }

    fn facts(&self) -> VmFacts {
        let host_memory = if self.state().is_final() { 0 } else { self.body.machine.host_memory() };
        VmFacts {
            accelerator: Accelerator::Hvf,
            agent_after: self.body.agent_after.get().copied(),
            host_memory,
        }
    }

    fn request_stop(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            // A machine that has ended already needs no order, and a halted one hears none.
            if self.orders.send(Order::ExpectEnd).await.is_err() || self.state().is_final() {
                return Ok(());
            }
            if self.body.machine.state() == RunState::Paused {
                self.resume().await?;
            }
            match within(CALL, self.body.machine.request_stop()).await {
                Err(_) if self.body.machine.state() == RunState::Stopped => Ok(()),
                asked => asked.map_err(|source| Error::Framework { doing: "switch off", source }),
            }
        }
        .boxed()
    }

    fn kill(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            self.end().await;
            Ok(())
        }
        .boxed()
    }

    fn connect(&self, port: u32) -> BoxFuture<'_, Result<ByteStream, Error>> {
        self.reach(port).boxed()
    }

    fn pause(&self) -> Option<&dyn Pause> {
        Some(self)
    }

    fn snapshot(&self) -> Option<&dyn Snapshot> {
        self.body.description.saving.is_ok().then_some(self)
    }

    fn balloon(&self) -> Option<&dyn Balloon> {
        self.body.description.balloon.is_ok().then_some(self)
    }

    fn change_shares(&self) -> Option<&dyn ChangeShares> {
        Some(self)
    }
}

impl Pause for VzMachine {
    fn pause(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            let _alone = self.changing.lock().await;
            self.halt().await.map(drop)
        }
        .boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            let _alone = self.changing.lock().await;
            self.go_on().await
        }
        .boxed()
    }
}

impl Snapshot for VzMachine {
    fn save(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.keep_state().boxed()
    }
}

impl Balloon for VzMachine {
    fn set_target(&self, memory_mib: u64) -> BoxFuture<'_, Result<(), Error>> {
        let most = self.body.description.memory;
        let bytes = memory_mib.saturating_mul(MIB).clamp(LEAST_MEMORY.min(most), most);
        async move {
            let set = within(CALL, self.body.machine.set_balloon_target(bytes)).await;
            set.map_err(|source| Error::Framework { doing: "take memory back from", source })
        }
        .boxed()
    }
}

impl ChangeShares for VzMachine {
    fn set(&self, shares: &[Share]) -> BoxFuture<'_, Result<(), Error>> {
        self.replace_shares(shares.to_vec()).boxed()
    }
}

/// Watches over a machine and tells its state.
struct Guard {
    body: Arc<Body>,
    state: watch::Sender<VmState>,
    origin: Origin,
    /// Whether somebody asked for the end.
    end_expected: bool,
    /// When a network that was lost is attached again.
    reattach: Option<Instant>,
}

impl Guard {
    async fn watch_over(
        mut self,
        mut events: mpsc::UnboundedReceiver<Event>,
        mut orders: mpsc::Receiver<Order>,
    ) {
        let body = Arc::clone(&self.body);
        let (mut greeting, overdue) = match self.origin {
            Origin::PowerOn { at, deadline } => {
                (start::reach_agent(&*body.machine).boxed().fuse(), Some(at + deadline))
            }
            Origin::Restored { .. } => (std::future::pending().boxed().fuse(), None),
        };
        let outcome = loop {
            let waiting = *self.state.borrow() == VmState::Starting;
            let reattach = self.reattach;
            let due = overdue.unwrap_or_else(Instant::now);
            tokio::select! {
                event = events.recv() => if let Some(outcome) = self.judge(event) {
                    break outcome;
                },
                order = orders.recv() => match order {
                    Some(Order::ExpectEnd) => {
                        self.end_expected = true;
                        self.state.send_replace(VmState::Stopping);
                    }
                    Some(Order::End) | None => break Ok(()),
                },
                _ = &mut greeting, if waiting => self.greeted(),
                () = tokio::time::sleep_until(reattach.unwrap_or_else(Instant::now)), if reattach.is_some() => {
                    self.reattach_network().await;
                }
                () = tokio::time::sleep_until(due), if waiting && overdue.is_some() => {
                    break Err(self.silent());
                }
            }
        };
        start::end(&*body.machine).await;
        let state = match outcome {
            Ok(()) => VmState::Stopped,
            Err(error) => VmState::Failed(Failure::from(&error)),
        };
        tracing::info!(%state, "the machine has ended");
        self.state.send_replace(state);
    }

    fn greeted(&self) {
        if let Origin::PowerOn { at, .. } = self.origin {
            let after = at.elapsed();
            tracing::info!(after_ms = after.as_millis() as u64, "the agent answers");
            // It answers for the first time once.
            let _ = self.body.agent_after.set(after);
        }
        self.state.send_replace(VmState::Running);
    }

    async fn reattach_network(&mut self) {
        self.reattach = match within(CALL, self.body.machine.reattach_network()).await {
            Ok(()) => {
                tracing::info!("the machine has its network again");
                None
            }
            Err(error) => {
                tracing::debug!(%error, "no network yet");
                Some(Instant::now() + REATTACH_PAUSE)
            }
        };
    }

    /// What an event means for the machine: its end, or nothing.
    fn judge(&mut self, event: Option<Event>) -> Option<Result<(), Error>> {
        match event {
            Some(Event::NetworkLost(error)) => {
                tracing::warn!(%error, "the machine lost its network");
                self.reattach = Some(Instant::now() + REATTACH_PAUSE);
                None
            }
            // Whatever else is told of the end: it was wanted.
            Some(Event::GuestStopped | Event::Failed(_)) | None if self.end_expected => Some(Ok(())),
            Some(Event::GuestStopped) if self.body.agent_after.get().is_none() => {
                Some(Err(self.body.crashed("switched itself off before its agent answered")))
            }
            Some(Event::GuestStopped) => {
                let panicked = console_tail(&self.body.description.console).contains(PANIC);
                Some(if panicked { Err(self.body.crashed("crashed")) } else { Ok(()) })
            }
            Some(Event::Failed(source)) => Some(Err(Error::Framework { doing: "go on with", source })),
            None => {
                let source = FrameworkError::new(Cause::Internal, "the framework let go of it");
                Some(Err(Error::Framework { doing: "go on with", source }))
            }
        }
    }

    fn silent(&self) -> Error {
        let Origin::PowerOn { deadline, .. } = self.origin else {
            return self.body.crashed("does not answer");
        };
        let console_tail = console_tail(&self.body.description.console);
        Error::BootTimeout { after: deadline, console_tail }
    }
}
