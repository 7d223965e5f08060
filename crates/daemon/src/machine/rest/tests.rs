use std::time::Duration;

use api::{EngineState, EventKind, MachinePhase, ProblemCode, StepKind};
use host::power::{Acknowledgement, PowerEvent, PowerEvents};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::super::MachineHost;
use super::super::testing::{Fixture, soon, until};
use crate::power;

/// The machine runs, and is kept at rest or awake by what stands for a daemon. Dropping the set is its `kill -9`.
async fn kept(fixture: &Fixture) -> JoinSet<()> {
    fixture.run().await.unwrap();
    keeper(&fixture.machine)
}

fn keeper(machine: &MachineHost) -> JoinSet<()> {
    let mut keeper = JoinSet::new();
    let machine = machine.clone();
    keeper.spawn(async move { machine.keep_rest().await });
    keeper
}

fn wish_pause(fixture: &Fixture, paused: bool) {
    fixture.store.change_machine_spec(None, |spec| spec.paused = paused).unwrap();
}

/// Waits until the shim was asked to halt the processors, after all else.
async fn until_halted(fixture: &Fixture) {
    let halts = |asked: &Vec<String>| asked.last().is_some_and(|last| last == "pause");
    soon("the halt", fixture.shim.guest().asked().wait_for(halts)).await.unwrap();
}

async fn until_phase(machine: &MachineHost, phase: MachinePhase) {
    until(machine, "the phase", |state| state.phase == phase).await;
}

/// What was asked of machine and guest since `from`, waited for until it ends with that.
async fn asked_until(fixture: &Fixture, from: usize, last: &str) -> Vec<String> {
    let mut asked = fixture.shim.guest().asked();
    let seen = asked.wait_for(|asked| asked[from..].last().is_some_and(|word| word == last));
    soon(last, seen).await.unwrap()[from..].to_vec()
}

#[tokio::test]
async fn a_person_pauses_and_resumes_and_the_clock_is_set_before_anything_is_served() {
    let fixture = Fixture::new();
    let _daemon = kept(&fixture).await;
    let from = fixture.shim.guest().asked().borrow().len();
    wish_pause(&fixture, true);
    until_phase(&fixture.machine, MachinePhase::Paused).await;
    assert_eq!(asked_until(&fixture, from, "pause").await, ["sync", "pause"]);
    assert_eq!(fixture.machine.agent().err().unwrap().code, ProblemCode::MachinePaused);
    let engine = fixture.store.machine().unwrap().status.engine;
    assert_eq!((engine, fixture.machine.engine_starts()), (EngineState::Ready, 1));

    wish_pause(&fixture, false);
    until_phase(&fixture.machine, MachinePhase::Running).await;
    let words = asked_until(&fixture, from + 2, "set_clock").await;
    assert_eq!(words, ["resume", "hello", "set_clock"]);
    assert!(fixture.machine.state().is_ready());
    assert_eq!(fixture.machine.engine_starts(), 1, "the engine was never another one");
    assert_eq!(fixture.shim.starts(), 1);
}

#[tokio::test]
async fn whoever_uses_a_paused_machine_takes_the_pause_back() {
    let fixture = Fixture::new();
    let _daemon = kept(&fixture).await;
    wish_pause(&fixture, true);
    until_phase(&fixture.machine, MachinePhase::Paused).await;
    let mut events = fixture.store.subscribe();
    fixture.run().await.unwrap();
    assert!(!fixture.store.machine().unwrap().spec.paused);
    assert!(fixture.machine.state().is_ready());
    let told = std::iter::from_fn(|| events.try_recv().ok())
        .any(|event| matches!(event.kind, EventKind::StepStarted { step: StepKind::ResumeMachine, .. }));
    assert!(told, "it is said that it goes on");
    // What runs in it is worked with, which starts nothing that is off.
    wish_pause(&fixture, true);
    until_phase(&fixture.machine, MachinePhase::Paused).await;
    soon("the waking", fixture.machine.awake()).await.unwrap();
    assert!(fixture.machine.agent().is_ok());
    soon("the stop", fixture.machine.stop()).await.unwrap();
    fixture.machine.awake().await.unwrap();
    assert_eq!(fixture.machine.state().phase, MachinePhase::Stopped);
}

#[tokio::test]
async fn a_sleep_waits_for_the_machine_and_waking_keeps_its_order() {
    let fixture = Fixture::new();
    let mut daemon = kept(&fixture).await;
    let (computer, events) = PowerEvents::made_up();
    daemon.spawn(power::follow_sleep(fixture.machine.clone(), events));
    let from = fixture.shim.guest().asked().borrow().len();
    let (given, mut word) = oneshot::channel();
    let halted = fixture.shim.guest().asked();
    let acknowledgement = Acknowledgement::new(move || {
        let was_halted = halted.borrow().last().is_some_and(|last| last == "pause");
        given.send(was_halted).unwrap();
    });
    computer.send(PowerEvent::WillSleep(acknowledgement)).unwrap();
    assert!(soon("the word", &mut word).await.unwrap(), "the sleep begins when the machine is at rest");

    // Asked for in the sleep: answered after it, with the right time.
    let caller = tokio::spawn({
        let machine = fixture.machine.clone();
        async move { machine.ensure_running().await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(fixture.machine.state().phase, MachinePhase::Paused);
    computer.send(PowerEvent::DidWake).unwrap();
    soon("the answer", caller).await.unwrap().unwrap();
    let words = fixture.shim.guest().asked().borrow()[from..].to_vec();
    assert_eq!(words, ["sync", "pause", "resume", "hello", "set_clock"]);
}

#[tokio::test]
async fn a_computer_that_slept_without_a_word_has_the_clock_set_at_once() {
    let fixture = Fixture::new();
    let mut daemon = kept(&fixture).await;
    let (computer, events) = PowerEvents::made_up();
    daemon.spawn(power::follow_sleep(fixture.machine.clone(), events));
    // A first look, so that the waking is not taken for one from before.
    tokio::task::yield_now().await;
    let from = fixture.shim.guest().asked().borrow().len();
    computer.send(PowerEvent::DidWake).unwrap();
    assert_eq!(asked_until(&fixture, from, "set_clock").await, ["hello", "set_clock"]);
    until_phase(&fixture.machine, MachinePhase::Running).await;
}

#[tokio::test]
async fn a_daemon_killed_between_pause_and_resume_is_made_good_by_the_next() {
    let fixture = Fixture::new();
    let mut daemon = kept(&fixture).await;
    let (computer, events) = PowerEvents::made_up();
    daemon.spawn(power::follow_sleep(fixture.machine.clone(), events));
    computer.send(PowerEvent::WillSleep(Acknowledgement::new(|| {}))).unwrap();
    until_phase(&fixture.machine, MachinePhase::Paused).await;
    until_halted(&fixture).await;
    daemon.shutdown().await;

    let later = fixture.restarted();
    soon("the adoption", later.adopt()).await;
    assert_eq!(later.state().phase, MachinePhase::Paused);
    let _daemon = keeper(&later);
    until(&later, "its going on", |state| state.is_ready()).await;
    assert_eq!(fixture.shim.starts(), 1);
}

#[tokio::test]
async fn a_pause_that_a_person_wants_outlives_the_daemon() {
    let fixture = Fixture::new();
    let mut daemon = kept(&fixture).await;
    wish_pause(&fixture, true);
    until_phase(&fixture.machine, MachinePhase::Paused).await;
    until_halted(&fixture).await;
    daemon.shutdown().await;

    let later = fixture.restarted();
    soon("the adoption", later.adopt()).await;
    let _daemon = keeper(&later);
    let moved = tokio::time::timeout(Duration::from_millis(200), async {
        later.changed().wait_for(|state| state.phase != MachinePhase::Paused).await.map(|state| *state)
    });
    assert!(moved.await.is_err(), "nobody asked for anything");
    soon("a start", later.ensure_running()).await.unwrap();
    // Stopping one that is halted is a stop in order.
    fixture.store.change_machine_spec(None, |spec| spec.paused = true).unwrap();
    until_phase(&later, MachinePhase::Paused).await;
    let from = fixture.shim.guest().asked().borrow().len();
    soon("the stop", later.stop()).await.unwrap();
    let words = fixture.shim.guest().asked().borrow()[from..].to_vec();
    assert!(
        words.iter().any(|word| word == "resume") && words.last().is_some_and(|word| word == "sync"),
        "{words:?}"
    );
}

#[tokio::test]
async fn a_driver_that_cannot_pause_is_told_of_and_the_machine_runs_on() {
    let fixture = Fixture::new();
    fixture.shim.refuse_pause();
    let _daemon = kept(&fixture).await;
    let mut events = fixture.store.subscribe();
    wish_pause(&fixture, true);
    let failed = async {
        loop {
            if let EventKind::StepFailed { step: StepKind::PauseMachine, problem } =
                events.recv().await.unwrap().kind
            {
                return problem;
            }
        }
    };
    let problem = soon("the failure", failed).await;
    assert!(problem.title.contains("could not be paused"), "{problem:?}");
    assert!(!fixture.store.machine().unwrap().spec.paused);
    until(&fixture.machine, "its service", |state| state.is_ready()).await;
}

#[tokio::test]
async fn shares_change_while_the_machine_runs_where_its_driver_can() {
    let fixture = Fixture::new();
    fixture.shim.allow_changed_shares();
    let other = fixture.share().with_file_name("other");
    fs_err::create_dir(&other).unwrap();
    fixture.run().await.unwrap();
    let from = fixture.shim.guest().asked().borrow().len();
    let (share, wanted) = (fixture.share(), vec![other.clone()]);
    fixture.store.change_machine_spec(None, |spec| spec.shares = wanted).unwrap();
    let mounted = format!("mount {other}");
    let words = asked_until(&fixture, from, &mounted).await;
    assert_eq!(words, [format!("unmount {share}"), "change_shares".to_owned(), mounted]);
    let status = fixture.store.machine().unwrap().status;
    assert!(status.changes_shares);
    assert_eq!(status.shares, std::slice::from_ref(&other));
    fixture.machine.refresh_usage().await;
    assert!(fixture.store.machine().unwrap().status.restart_needed_for.is_empty());
    assert!(
        fixture.machine.shared_root_of(&other).is_some() && fixture.machine.shared_root_of(&share).is_none()
    );
    // A new daemon knows them from the description, and makes the mounts good.
    let later = fixture.restarted();
    let from = fixture.shim.guest().asked().borrow().len();
    soon("the adoption", later.adopt()).await;
    until(&later, "the adoption", |state| state.is_ready()).await;
    assert!(later.shared_root_of(&other).is_some());
    assert!(fixture.shim.guest().asked().borrow()[from..].contains(&format!("mount {other}")));
}

#[tokio::test]
async fn elsewhere_shares_wait_for_a_restart() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let other = fixture.share().with_file_name("other");
    fs_err::create_dir(&other).unwrap();
    let from = fixture.shim.guest().asked().borrow().len();
    fixture.store.change_machine_spec(None, |spec| spec.shares.push(other)).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    fixture.machine.refresh_usage().await;
    let status = fixture.store.machine().unwrap().status;
    assert!(!status.changes_shares);
    assert_eq!(
        (status.restart_needed_for, status.shares),
        (vec!["shares".to_owned()], vec![fixture.share()])
    );
    assert_eq!(fixture.shim.guest().asked().borrow().len(), from);
}
