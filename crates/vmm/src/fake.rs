//! Machines in memory, for tests of everything above this crate.
//!
//! A [`FakeHypervisor`] follows a script: each boot takes the next [`FakeBoot`] and does what that says. Time is
//! steps that the test takes with [`FakeHypervisor::tick`], so nothing here waits for a clock. Streams into the
//! guest go to a handler of the test's, which plays the agent.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::DuplexStream;
use tokio::sync::watch;

use crate::{
    Accelerator, ByteStream, Error, Failure, FailureKind, Hypervisor, MuxError, VmConfig, VmDriver, VmFacts,
    VmState,
};

/// Bytes on their way between a test's agent and its host.
const PIPE_BYTES: usize = 64 * 1024;

/// What a fake machine claims to cost the host, in bytes.
const HOST_MEMORY: u64 = 512 << 20;

/// What one boot does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeBoot {
    /// Steps until the agent speaks; 0 is at once.
    pub steps: u32,
    /// How it fails instead, if it does.
    pub outcome: FakeOutcome,
    /// Steps from the agent's first word to an end that nobody asked for.
    pub dies_after: Option<(u32, Failure)>,
    /// Whether the guest heeds the power button.
    pub heeds_stop: bool,
    /// Steps it takes to switch itself off.
    pub stop_steps: u32,
    /// Whether streams can be opened.
    pub connects: bool,
}

/// How a boot ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FakeOutcome {
    /// The agent speaks.
    Runs,
    /// The hypervisor refuses: there is no machine at all.
    Refused,
    /// The machine is powered on, and fails when its steps are over.
    Fails(Failure),
}

impl Default for FakeBoot {
    /// A machine that runs at once, stops when asked, and never dies.
    fn default() -> Self {
        Self {
            steps: 0,
            outcome: FakeOutcome::Runs,
            dies_after: None,
            heeds_stop: true,
            stop_steps: 0,
            connects: true,
        }
    }
}

impl FakeBoot {
    /// A boot that fails with these words when `steps` are over.
    pub fn failing(steps: u32, kind: FailureKind, message: &str) -> Self {
        let failure = Failure { kind, message: message.to_owned() };
        Self { steps, outcome: FakeOutcome::Fails(failure), ..Self::default() }
    }
}

/// How often each thing was asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FakeCounts {
    /// Boots, refused ones included.
    pub boots: u32,
    /// Presses of a power button.
    pub stops: u32,
    /// Kills, those by dropping a machine included.
    pub kills: u32,
    /// Streams asked for, refused ones included.
    pub connects: u32,
}

/// Plays the guest's end of a stream to a port.
pub type FakeGuest = Arc<dyn Fn(u32, DuplexStream) + Send + Sync>;

/// A hypervisor that does what a test tells it. Clones are the same one.
#[derive(Clone, Default)]
pub struct FakeHypervisor {
    world: Arc<Mutex<World>>,
}

#[derive(Default)]
struct World {
    script: VecDeque<FakeBoot>,
    counts: FakeCounts,
    guest: Option<FakeGuest>,
    machines: BTreeMap<u64, FakeMachine>,
    booted: u64,
}

struct FakeMachine {
    boot: FakeBoot,
    state: watch::Sender<VmState>,
    /// Steps since the present state began.
    age: u32,
}

impl FakeHypervisor {
    /// One whose boots all go well.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what the next boot without a script does. Boots beyond the script go well.
    pub fn then(&self, boot: FakeBoot) -> &Self {
        self.world().script.push_back(boot);
        self
    }

    /// Gives every later stream to this handler. Without one a stream ends at once.
    pub fn on_connect(&self, guest: impl Fn(u32, DuplexStream) + Send + Sync + 'static) -> &Self {
        self.world().guest = Some(Arc::new(guest));
        self
    }

    /// Takes one step in the life of every machine.
    pub fn tick(&self) {
        for machine in self.world().machines.values_mut() {
            machine.age += 1;
            machine.settle();
        }
    }

    /// Ends every machine as a crash would.
    pub fn crash(&self, kind: FailureKind, message: &str) {
        for machine in self.world().machines.values_mut() {
            machine.enter(VmState::Failed(Failure { kind, message: message.to_owned() }));
        }
    }

    /// What was asked for until now.
    pub fn counts(&self) -> FakeCounts {
        self.world().counts
    }

    /// Machines that have not ended.
    pub fn living(&self) -> usize {
        self.world().machines.values().filter(|machine| !machine.state.borrow().is_final()).count()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FakeHypervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeHypervisor").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Hypervisor for FakeHypervisor {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn validate(&self, config: &VmConfig) -> Result<(), Error> {
        config.check()
    }

    fn boot(&self, config: VmConfig) -> BoxFuture<'_, Result<Box<dyn VmDriver>, Error>> {
        async move {
            self.validate(&config)?;
            let mut world = self.world();
            world.counts.boots += 1;
            let boot = world.script.pop_front().unwrap_or_default();
            if boot.outcome == FakeOutcome::Refused {
                return Err(Error::HypervisorMissing { program: "fake".to_owned() });
            }
            let (state, watcher) = watch::channel(VmState::Starting);
            let mut machine = FakeMachine { boot, state, age: 0 };
            machine.settle();
            world.booted += 1;
            let id = world.booted;
            world.machines.insert(id, machine);
            let driver: Box<dyn VmDriver> =
                Box::new(FakeDriver { hypervisor: self.clone(), id, state: watcher });
            Ok(driver)
        }
        .boxed()
    }
}

impl FakeMachine {
    /// Takes the states that are due.
    fn settle(&mut self) {
        let state = self.state.borrow().clone();
        match (state, &self.boot.outcome, &self.boot.dies_after) {
            (VmState::Starting, FakeOutcome::Fails(failure), _) if self.age >= self.boot.steps => {
                self.enter(VmState::Failed(failure.clone()));
            }
            (VmState::Starting, _, _) if self.age >= self.boot.steps => self.enter(VmState::Running),
            (VmState::Running, _, Some((steps, failure))) if self.age >= *steps => {
                self.enter(VmState::Failed(failure.clone()));
            }
            (VmState::Stopping, _, _) if self.boot.heeds_stop && self.age >= self.boot.stop_steps => {
                self.enter(VmState::Stopped);
            }
            _ => {}
        }
    }

    fn enter(&mut self, state: VmState) {
        if !self.state.borrow().is_final() {
            self.age = 0;
            self.state.send_replace(state);
        }
    }
}

struct FakeDriver {
    hypervisor: FakeHypervisor,
    id: u64,
    state: watch::Receiver<VmState>,
}

impl FakeDriver {
    /// Does something with the machine and counts it.
    fn with<T>(&self, act: impl FnOnce(&mut FakeMachine, &mut FakeCounts) -> T) -> T {
        let mut world = self.hypervisor.world();
        let World { machines, counts, .. } = &mut *world;
        let machine = machines.get_mut(&self.id).expect("a machine stays listed until its driver is dropped");
        act(machine, counts)
    }
}

impl fmt::Debug for FakeDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeDriver")
            .field("id", &self.id)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl VmDriver for FakeDriver {
    fn state(&self) -> VmState {
        self.state.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<VmState> {
        self.state.clone()
    }

    fn facts(&self) -> VmFacts {
        let state = self.state();
        VmFacts {
            accelerator: Accelerator::Tcg,
            agent_after: (state == VmState::Running).then_some(Duration::from_secs(1)),
            host_memory: if state.is_final() { 0 } else { HOST_MEMORY },
        }
    }

    fn request_stop(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            self.with(|machine, counts| {
                counts.stops += 1;
                machine.enter(VmState::Stopping);
                machine.settle();
            });
            Ok(())
        }
        .boxed()
    }

    fn kill(&self) -> BoxFuture<'_, Result<(), Error>> {
        async {
            self.with(|machine, counts| {
                counts.kills += 1;
                machine.enter(VmState::Stopped);
            });
            Ok(())
        }
        .boxed()
    }

    fn connect(&self, port: u32) -> BoxFuture<'_, Result<ByteStream, Error>> {
        async move {
            let connects = self.with(|machine, counts| {
                counts.connects += 1;
                machine.boot.connects
            });
            let state = self.state();
            if state != VmState::Running {
                return Err(Error::NotRunning { state });
            }
            if !connects {
                return Err(Error::Connect { port, source: MuxError::Busy });
            }
            let (host, guest) = tokio::io::duplex(PIPE_BYTES);
            let handler = self.hypervisor.world().guest.clone();
            if let Some(handler) = handler {
                handler(port, guest);
            }
            let stream: ByteStream = Box::new(host);
            Ok(stream)
        }
        .boxed()
    }
}

impl Drop for FakeDriver {
    fn drop(&mut self) {
        let mut world = self.hypervisor.world();
        let Some(mut machine) = world.machines.remove(&self.id) else { return };
        if !machine.state.borrow().is_final() {
            world.counts.kills += 1;
            machine.enter(VmState::Stopped);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::config::tests::sample;

    #[tokio::test]
    async fn boots_follow_the_script_step_by_step() {
        let hypervisor = FakeHypervisor::new();
        let death = Failure { kind: FailureKind::GuestCrashed, message: "panic".to_owned() };
        hypervisor
            .then(FakeBoot::failing(1, FailureKind::BootTimeout, "silent"))
            .then(FakeBoot { steps: 2, dies_after: Some((1, death.clone())), ..FakeBoot::default() })
            .then(FakeBoot { outcome: FakeOutcome::Refused, ..FakeBoot::default() });
        let first = hypervisor.boot(sample()).await.unwrap();
        assert_eq!(first.state(), VmState::Starting);
        hypervisor.tick();
        assert!(
            matches!(first.state(), VmState::Failed(failure) if failure.kind == FailureKind::BootTimeout)
        );
        let second = hypervisor.boot(sample()).await.unwrap();
        let states = [VmState::Starting, VmState::Running, VmState::Failed(death)];
        for expected in states {
            hypervisor.tick();
            assert_eq!(second.state(), expected);
        }
        assert!(hypervisor.boot(sample()).await.is_err());
        assert_eq!(hypervisor.boot(sample()).await.unwrap().state(), VmState::Running);
        assert_eq!(hypervisor.counts(), FakeCounts { boots: 4, kills: 1, ..FakeCounts::default() });
        assert_eq!(hypervisor.living(), 0);
    }

    #[tokio::test]
    async fn a_deaf_guest_ends_only_when_killed() {
        let hypervisor = FakeHypervisor::new();
        hypervisor.then(FakeBoot { heeds_stop: false, ..FakeBoot::default() });
        let machine = hypervisor.boot(sample()).await.unwrap();
        machine.request_stop().await.unwrap();
        hypervisor.tick();
        assert_eq!(machine.state(), VmState::Stopping);
        machine.kill().await.unwrap();
        assert_eq!(machine.state(), VmState::Stopped);
    }

    #[tokio::test]
    async fn a_test_can_play_the_agent() {
        let hypervisor = FakeHypervisor::new();
        hypervisor.on_connect(|port, mut stream| {
            tokio::spawn(async move { stream.write_u32(port).await.unwrap() });
        });
        let machine = hypervisor.boot(sample()).await.unwrap();
        let mut stream = machine.connect(1024).await.unwrap();
        assert_eq!(stream.read_u32().await.unwrap(), 1024);
        hypervisor.crash(FailureKind::GuestCrashed, "panic");
        assert!(matches!(machine.connect(1024).await, Err(Error::NotRunning { .. })));
    }
}
