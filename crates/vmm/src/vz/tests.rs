//! The driver's decisions, on a framework that does what a test tells it. What a guest does is shown in the rehearsal.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::mpsc;

use super::framework::{Created, Event, Machine, RunState};
use super::host::tests::mac;
use super::*;
use crate::config::tests::sample;
use crate::{Architecture, BootImage, ByteStream, DataDisk, FailureKind, VmState, Wishes};

type Answer = Result<(), FrameworkError>;

/// What the framework was asked, and what it answers to each call: well, unless the script says otherwise.
#[derive(Debug, Default)]
struct Script {
    calls: Mutex<Vec<String>>,
    answers: Mutex<VecDeque<(&'static str, FrameworkError)>>,
    /// Calls of the guest's port that fail before one is taken.
    deaf: AtomicU32,
    events: Mutex<Option<mpsc::UnboundedSender<Event>>>,
}

impl Script {
    fn call(&self, name: &str) -> Answer {
        self.calls.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        match answers.iter().position(|(call, _)| *call == name) {
            Some(at) => Err(answers.remove(at).unwrap().1),
            None => Ok(()),
        }
    }

    fn fails(&self, call: &'static str, code: i64, message: &str) {
        let error = FrameworkError::from_parts(error::FRAMEWORK_DOMAIN, code, message);
        self.answers.lock().unwrap().push_back((call, error));
    }

    /// The calls since the last look, but for those that ask for the agent.
    fn taken(&self) -> Vec<String> {
        let mut calls = std::mem::take(&mut *self.calls.lock().unwrap());
        calls.retain(|call| call != "connect");
        calls
    }

    fn tell(&self, event: Event) {
        self.events.lock().unwrap().as_ref().unwrap().send(event).unwrap();
    }
}

#[derive(Debug)]
pub(super) struct Paper {
    script: Arc<Script>,
    host: HostFacts,
    /// Once it was asked to install it.
    rosetta_after: Rosetta,
}

#[derive(Debug)]
struct Sheet {
    script: Arc<Script>,
    state: Mutex<RunState>,
}

impl Paper {
    /// How often it was asked to install Rosetta.
    pub(super) fn installations(&self) -> usize {
        self.script.taken().iter().filter(|call| *call == "install_rosetta").count()
    }
}

/// A framework that says this of Rosetta before and after an installation, which fails with this number.
pub(super) fn rosetta_of(before: Rosetta, after: Rosetta, code: Option<i64>) -> Paper {
    let script = Arc::new(Script::default());
    if let Some(code) = code {
        script.fails("install_rosetta", code, "x");
    }
    Paper { script, host: HostFacts { rosetta: before, ..mac() }, rosetta_after: after }
}

impl Framework for Paper {
    fn host(&self) -> HostFacts {
        let asked = self.script.calls.lock().unwrap().iter().any(|call| call == "install_rosetta");
        let rosetta = if asked { self.rosetta_after } else { self.host.rosetta };
        HostFacts { rosetta, ..self.host.clone() }
    }

    fn install_rosetta(&self) -> BoxFuture<'_, Answer> {
        let answer = self.script.call("install_rosetta");
        async { answer }.boxed()
    }

    fn new_identity(&self) -> MachineIdentity {
        MachineIdentity { machine_identifier: vec![7; 16], mac: MacAddress::local([7; 6]) }
    }

    fn validate(&self, _: &MachineDescription) -> Answer {
        self.script.call("validate")
    }

    fn validate_save_restore(&self, _: &MachineDescription) -> Answer {
        self.script.call("validate_save_restore")
    }

    fn create(&self, _: &MachineDescription) -> Result<Created, FrameworkError> {
        self.script.call("create")?;
        let (tell, events) = mpsc::unbounded_channel();
        *self.script.events.lock().unwrap() = Some(tell);
        let machine = Sheet { script: Arc::clone(&self.script), state: Mutex::new(RunState::Stopped) };
        Ok(Created { machine: Box::new(machine), events, frames: None })
    }
}

impl Sheet {
    fn becomes(&self, call: &str, state: RunState) -> BoxFuture<'_, Answer> {
        let answer = self.script.call(call);
        if answer.is_ok() {
            *self.state.lock().unwrap() = state;
        }
        async { answer }.boxed()
    }
}

impl Machine for Sheet {
    fn state(&self) -> RunState {
        *self.state.lock().unwrap()
    }

    fn start(&self) -> BoxFuture<'_, Answer> {
        self.becomes("start", RunState::Running)
    }

    fn pause(&self) -> BoxFuture<'_, Answer> {
        self.becomes("pause", RunState::Paused)
    }

    fn resume(&self) -> BoxFuture<'_, Answer> {
        self.becomes("resume", RunState::Running)
    }

    fn request_stop(&self) -> BoxFuture<'_, Answer> {
        let state = self.state();
        self.becomes("request_stop", state)
    }

    fn stop(&self) -> BoxFuture<'_, Answer> {
        self.becomes("stop", RunState::Stopped)
    }

    fn save<'a>(&'a self, file: &'a Utf8Path) -> BoxFuture<'a, Answer> {
        fs::write(file, "state").unwrap();
        self.becomes("save", RunState::Paused)
    }

    fn restore<'a>(&'a self, _: &'a Utf8Path) -> BoxFuture<'a, Answer> {
        self.becomes("restore", RunState::Paused)
    }

    fn connect(&self, _: u32) -> BoxFuture<'_, Result<ByteStream, FrameworkError>> {
        let answer = self.script.call("connect");
        let deaf = self.script.deaf.load(Ordering::SeqCst);
        async move {
            answer?;
            if deaf > 0 {
                self.script.deaf.store(deaf - 1, Ordering::SeqCst);
                return Err(FrameworkError::from_parts(error::POSIX_DOMAIN, 54, "Connection reset by peer"));
            }
            let stream: ByteStream = Box::new(tokio::io::duplex(64).0);
            Ok(stream)
        }
        .boxed()
    }

    fn listen(&self, _: u32) -> BoxFuture<'_, Result<mpsc::Receiver<ByteStream>, FrameworkError>> {
        async { Ok(mpsc::channel(1).1) }.boxed()
    }

    fn set_shares<'a>(&'a self, shares: &'a [description::SharedFolder]) -> BoxFuture<'a, Answer> {
        let state = self.state();
        self.becomes(&format!("set_shares {}", shares.len()), state)
    }

    fn set_balloon_target(&self, bytes: u64) -> BoxFuture<'_, Answer> {
        let state = self.state();
        self.becomes(&format!("balloon {}", bytes >> 20), state)
    }

    fn reattach_network(&self) -> BoxFuture<'_, Answer> {
        let state = self.state();
        self.becomes("reattach_network", state)
    }

    fn host_memory(&self) -> u64 {
        0
    }
}

struct World {
    _dir: tempfile::TempDir,
    script: Arc<Script>,
    vz: Vz,
    config: VmConfig,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let folder = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    let image = BootImage { manifest: None, ..BootImage::in_folder(&folder) };
    for file in [&image.initramfs, &image.root] {
        fs::write(file, "").unwrap();
    }
    let mut kernel = [0; 64];
    kernel[56..60].copy_from_slice(b"ARM\x64");
    fs::write(&image.kernel, kernel).unwrap();
    let script = Arc::new(Script::default());
    let vz = Vz::over(Arc::new(Paper {
        script: Arc::clone(&script),
        host: mac(),
        rosetta_after: Rosetta::Installed,
    }));
    let config = VmConfig {
        architecture: Architecture::Arm64,
        image,
        data_disk: DataDisk { path: folder.join("data.img"), size_gib: 1 },
        shares: Vec::new(),
        console_log: folder.join("console.log"),
        run_dir: folder,
        wishes: Wishes { saving: true, ..Wishes::default() },
        ..sample()
    };
    World { _dir: dir, script, vz, config }
}

impl World {
    async fn boot(&self) -> Result<Box<dyn VmDriver>, Error> {
        self.vz.boot(self.config.clone()).await
    }

    async fn running(&self) -> Box<dyn VmDriver> {
        let machine = self.boot().await.unwrap();
        becomes(&*machine, |state| *state == VmState::Running).await;
        machine
    }
}

async fn becomes(machine: &dyn VmDriver, wanted: impl FnMut(&VmState) -> bool) -> VmState {
    let mut states = machine.watch();
    let waiting = states.wait_for(wanted);
    tokio::time::timeout(Duration::from_mins(10), waiting).await.expect("in time").unwrap().clone()
}

async fn failure(machine: &dyn VmDriver) -> crate::Failure {
    match becomes(machine, VmState::is_final).await {
        VmState::Failed(failure) => failure,
        other => panic!("it is {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_runs_once_its_agent_takes_a_connection() {
    let world = world();
    world.script.deaf.store(3, Ordering::SeqCst);
    let machine = world.boot().await.unwrap();
    assert_eq!(machine.state(), VmState::Starting);
    assert!(matches!(machine.connect(1024).await, Err(Error::NotRunning { .. })));
    becomes(&*machine, |state| *state == VmState::Running).await;
    assert!(machine.facts().agent_after.is_some());
    assert_eq!(world.script.taken(), ["validate", "validate_save_restore", "create", "start"]);
    machine.kill().await.unwrap();
    assert_eq!(machine.state(), VmState::Stopped);
    assert_eq!(world.script.taken(), ["stop"]);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_can_pass_is_tried_again_and_one_that_cannot_is_told() {
    let world = world();
    world.script.fails("start", 1, "Internal Virtualization error.");
    world.script.fails("start", 5, "The disk image is in use.");
    world.running().await.kill().await.unwrap();
    let calls = world.script.taken();
    assert_eq!(calls.iter().filter(|call| *call == "start").count(), 3, "{calls:?}");
    world.script.fails("start", 2, "no \u{201c}com.apple.security.virtualization\u{201d} entitlement.");
    let error = world.boot().await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::HypervisorRefused);
    let failure = crate::Failure::from(&error);
    assert!(failure.message.starts_with("cannot start the machine: no"), "{}", failure.message);
    assert!(failure.message.contains("codesign"), "{}", failure.message);
    world.script.fails("validate", 2, "Invalid virtual machine configuration.");
    assert_eq!(world.boot().await.unwrap_err().kind(), FailureKind::InvalidConfig);
}

#[tokio::test(start_paused = true)]
async fn a_silent_guest_is_given_up_with_the_end_of_its_console() {
    let world = world();
    world.script.deaf.store(u32::MAX, Ordering::SeqCst);
    let machine = world.boot().await.unwrap();
    fs::write(&world.config.console_log, "mounting root\n").unwrap();
    let failure = failure(&*machine).await;
    assert_eq!(failure.kind, FailureKind::BootTimeout);
    assert!(failure.message.contains("within 60 s") && failure.message.ends_with("mounting root"));
    assert_eq!(world.script.taken().last().unwrap(), "stop");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_guest_means_what_was_asked_and_what_its_kernel_said() {
    let world = world();
    let machine = world.running().await;
    world.script.tell(Event::GuestStopped);
    assert_eq!(becomes(&*machine, VmState::is_final).await, VmState::Stopped);

    let machine = world.running().await;
    fs::write(&world.config.console_log, "Kernel panic - not syncing: init died\n").unwrap();
    world.script.tell(Event::GuestStopped);
    assert_eq!(failure(&*machine).await.kind, FailureKind::GuestCrashed);

    let machine = world.running().await;
    machine.request_stop().await.unwrap();
    assert_eq!(becomes(&*machine, |state| *state == VmState::Stopping).await, VmState::Stopping);
    world.script.tell(Event::GuestStopped);
    assert_eq!(becomes(&*machine, VmState::is_final).await, VmState::Stopped, "it was asked");

    let machine = world.running().await;
    let lost = FrameworkError::from_parts(error::FRAMEWORK_DOMAIN, 7, "The network is gone.");
    world.script.taken();
    world.script.fails("reattach_network", 7, "Not yet.");
    world.script.tell(Event::NetworkLost(lost));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.script.taken(), ["reattach_network", "reattach_network"], "until it works");
    world.script.tell(Event::Failed(FrameworkError::from_parts(error::FRAMEWORK_DOMAIN, 8, "No space.")));
    let failure = failure(&*machine).await;
    assert_eq!(failure.kind, FailureKind::NoSpace);
    assert!(failure.message.contains("make room"), "{}", failure.message);
}

#[tokio::test(start_paused = true)]
async fn a_halted_machine_is_told_apart_and_goes_on() {
    let world = world();
    let machine = world.running().await;
    let pause = machine.pause().unwrap();
    pause.pause().await.unwrap();
    pause.pause().await.unwrap();
    assert!(matches!(machine.connect(1024).await, Err(Error::Paused)));
    pause.resume().await.unwrap();
    pause.resume().await.unwrap();
    machine.connect(1024).await.unwrap();
    pause.pause().await.unwrap();
    world.script.taken();
    machine.request_stop().await.unwrap();
    assert_eq!(world.script.taken(), ["resume", "request_stop"], "a halted guest hears no button");
    machine.kill().await.unwrap();
    assert!(matches!(pause.pause().await, Err(Error::NotRunning { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_saved_machine_goes_on_once_and_a_changed_one_starts_anew() {
    let mut world = world();
    let machine = world.running().await;
    machine.snapshot().unwrap().save().await.unwrap();
    assert_eq!(machine.state(), VmState::Stopped);
    drop(machine);
    world.script.taken();

    let machine = world.boot().await.unwrap();
    assert_eq!(machine.state(), VmState::Running, "it has answered already");
    assert_eq!(world.script.taken()[2..], ["create", "restore", "resume"]);
    let saved = Saved::in_folder(&world.config.run_dir);
    assert!(!saved.state().exists(), "used up");
    machine.snapshot().unwrap().save().await.unwrap();
    drop(machine);
    world.script.taken();

    world.config.memory_mib += 1;
    world.running().await;
    assert_eq!(world.script.taken()[2..4], ["create", "start"]);
    assert!(!saved.state().exists(), "useless");
}

#[tokio::test(start_paused = true)]
async fn a_state_that_does_not_work_costs_nothing_but_time() {
    for (call, after) in [
        ("restore", vec!["create", "restore", "create", "start"]),
        ("resume", vec!["create", "restore", "resume", "stop", "create", "start"]),
    ] {
        let world = world();
        world.running().await.snapshot().unwrap().save().await.unwrap();
        world.script.taken();
        world.script.fails(call, 12, "Invalid argument.");
        world.running().await;
        assert_eq!(world.script.taken()[2..2 + after.len()], after, "{call}");
    }
    let world = world();
    world.running().await.snapshot().unwrap().save().await.unwrap();
    world.script.taken();
    // More calls than a restored guest is given time for, fewer than one that boots.
    world.script.deaf.store(400, Ordering::SeqCst);
    world.running().await;
    let calls = world.script.taken();
    assert_eq!(calls[2..], ["create", "restore", "resume", "stop", "create", "start"]);
}

#[tokio::test(start_paused = true)]
async fn a_save_that_fails_leaves_the_machine_running_and_nothing_on_the_disk() {
    let world = world();
    let machine = world.running().await;
    world.script.fails("save", 11, "The machine could not be saved.");
    let error = machine.snapshot().unwrap().save().await.unwrap_err();
    assert!(crate::Failure::from(&error).message.contains("could not be saved"));
    assert_eq!(machine.state(), VmState::Running);
    machine.connect(1024).await.unwrap();
    assert!(!Saved::in_folder(&world.config.run_dir).state().exists());
}

#[tokio::test(start_paused = true)]
async fn abilities_are_there_or_not() {
    let mut world = world();
    world.script.fails("validate_save_restore", 10, "Unsupported directory sharing device.");
    let machine = world.running().await;
    assert!(machine.snapshot().is_none());
    machine.balloon().unwrap().set_target(1).await.unwrap();
    machine.balloon().unwrap().set_target(u64::MAX).await.unwrap();
    let calls = world.script.taken();
    assert_eq!(calls[calls.len() - 2..], ["balloon 256", "balloon 2048"]);
    drop(machine);
    world.config.wishes.saving = true;
    let machine = world.running().await;
    assert!(machine.snapshot().is_some() && machine.balloon().is_none());
}

#[tokio::test(start_paused = true)]
async fn shares_change_and_a_saved_machine_has_those_it_had_last() {
    let mut world = world();
    let machine = world.running().await;
    let share = Share { tag: "work".into(), host_path: world.config.run_dir.clone(), read_only: true };
    let changing = machine.change_shares().unwrap();
    let absent = Share { host_path: "/no/such/folder".into(), ..share.clone() };
    let error = changing.set(&[absent]).await.unwrap_err();
    assert!(error.to_string().contains("`/no/such/folder` is not a folder"), "{error}");
    changing.set(std::slice::from_ref(&share)).await.unwrap();
    assert_eq!(world.script.taken().last().unwrap(), "set_shares 1");
    machine.snapshot().unwrap().save().await.unwrap();
    drop(machine);
    world.script.taken();
    world.config.shares = vec![share];
    world.boot().await.unwrap();
    assert_eq!(world.script.taken()[3], "restore");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_nobody_holds_ends() {
    let world = world();
    let machine = world.running().await;
    let mut states = machine.watch();
    drop(machine);
    let last = states.wait_for(VmState::is_final).await.unwrap().clone();
    assert_eq!(last, VmState::Stopped);
    assert_eq!(world.script.taken().last().unwrap(), "stop");
}
