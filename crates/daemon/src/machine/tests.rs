use api::{EngineState, Event, EventKind, LogLevel, MachinePhase, ProblemCode, StepKind};
use camino::Utf8Path;
use protocol::agent::{ComponentState, Exec};
use tokio::sync::broadcast;

use super::testing::{Fixture, soon, until};
use crate::agent_client::ExecPiece;

/// The steps of the machine that were told so far.
fn steps(events: &mut broadcast::Receiver<Event>) -> Vec<(&'static str, StepKind)> {
    std::iter::from_fn(|| events.try_recv().ok())
        .filter_map(|event| match event.kind {
            EventKind::StepStarted { step, .. } => Some(("started", step)),
            EventKind::StepFinished { step, .. } => Some(("finished", step)),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn callers_share_one_start_and_are_told_of_it() {
    let fixture = Fixture::new();
    let mut events = fixture.store.subscribe();
    let starts = (0..20).map(|_| fixture.machine.ensure_running());
    for outcome in soon("the starts", futures::future::join_all(starts)).await {
        outcome.unwrap();
    }
    assert_eq!(fixture.shim.starts(), 1);
    let steps = steps(&mut events);
    assert_eq!(steps, [("started", StepKind::StartMachine), ("finished", StepKind::StartMachine)]);
    let configuration = fixture.shim.guest().configuration().unwrap();
    assert_eq!(configuration.shares[0].path, fixture.share());
    assert_eq!(configuration.names["host.docker.internal"], "10.0.2.2");
    assert!(fixture.shim.guest().clocks_set() > 0);
    let status = fixture.store.machine().unwrap().status;
    assert_eq!((status.phase, status.engine), (MachinePhase::Running, EngineState::Ready));
    assert_eq!(status.kernel.as_deref(), Some("6.12.0-fake"));
}

#[tokio::test]
async fn a_start_waits_for_the_engine_and_outlives_a_caller() {
    let fixture = Fixture::new();
    fixture.shim.guest().set_engine(ComponentState::Starting);
    let impatient = tokio::spawn({
        let machine = fixture.machine.clone();
        async move { machine.ensure_running().await }
    });
    until(&fixture.machine, "Linux", |state| state.phase == MachinePhase::Running).await;
    impatient.abort();
    assert!(!fixture.machine.state().is_ready());
    fixture.shim.guest().set_engine(ComponentState::Ready);
    fixture.run().await.unwrap();
    assert_eq!(fixture.shim.starts(), 1);
}

#[tokio::test]
async fn a_machine_that_runs_on_is_not_taken_to_be_off_before_it_was_heard() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let later = fixture.restarted();
    soon("the adoption", later.adopt()).await;
    soon("the guest's word", later.heard()).await;
    assert!(later.state().is_ready());
    // One that is off is known to be at once.
    let fixture = Fixture::new();
    soon("nothing", fixture.machine.heard()).await;
}

#[tokio::test]
async fn a_restarted_daemon_finds_the_machine_and_does_not_start_another() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let later = fixture.restarted();
    soon("the adoption", later.adopt()).await;
    until(&later, "the adoption", |state| state.is_ready()).await;
    soon("a start", later.ensure_running()).await.unwrap();
    assert_eq!(fixture.shim.starts(), 1);
    assert!(later.shared_root_of(&fixture.share()).is_some());
    let (lines, _) = later.logs();
    assert_eq!((lines[0].level, lines[0].message.as_str()), (LogLevel::Warn, "a fake guest"));
}

#[tokio::test]
async fn a_share_that_is_missing_hides_no_other() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    fixture.store.change_machine_spec(None, |spec| spec.shares.push("/no/such/folder".into())).unwrap();
    let later = fixture.restarted();
    soon("the adoption", later.adopt()).await;
    until(&later, "the adoption", |state| state.is_ready()).await;
    assert!(later.shared_root_of(&fixture.share()).is_some(), "the running machine has it");
    soon("the stop", later.stop()).await.unwrap();
    assert!(later.shared_root_of(&fixture.share()).is_some(), "the next one will have it");
    // That one is the trouble, and not the folder that somebody works in.
    let problem = soon("a start", later.ensure_running()).await.unwrap_err();
    assert!(problem.title.contains("/no/such/folder"), "{}", problem.title);
}

#[tokio::test]
async fn a_killed_machine_is_noticed_and_started_again_on_demand() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    fixture.shim.kill();
    until(&fixture.machine, "the end", |state| state.phase == MachinePhase::Stopped).await;
    let problem = fixture.store.machine().unwrap().status.problem.unwrap();
    assert_eq!(problem.code, ProblemCode::MachineLost);
    // What the dead one left is there, and names nobody.
    assert!(fixture.paths.default_machine().shim_identity().exists());
    assert_eq!(fixture.machine.engine_starts(), 1);
    fixture.run().await.unwrap();
    assert_eq!((fixture.shim.starts(), fixture.machine.engine_starts()), (2, 2));
    assert_eq!(fixture.store.machine().unwrap().status.problem, None);
}

#[tokio::test]
async fn what_a_dead_shim_left_does_not_mislead_a_new_daemon() {
    let fixture = Fixture::new();
    let paths = fixture.paths.default_machine();
    // This process lives, but it started at another time than that.
    let stranger = format!(r#"{{"pid":{},"started":1,"host_boot":"another"}}"#, std::process::id());
    fs_err::write(paths.shim_identity(), stranger).unwrap();
    drop(std::os::unix::net::UnixListener::bind(paths.shim_socket()).unwrap());
    soon("the adoption", fixture.machine.adopt()).await;
    assert_eq!(fixture.machine.state().phase, MachinePhase::Stopped);
    assert!(!paths.shim_socket().exists());
    fixture.run().await.unwrap();
}

#[tokio::test]
async fn failures_have_the_code_of_their_cause() {
    let fixture = Fixture::new();
    for (reason, code) in [
        ("hypervisor_missing", ProblemCode::HypervisorMissing),
        ("virtiofsd_missing", ProblemCode::VirtiofsdMissing),
        ("image_damaged", ProblemCode::GuestImageDamaged),
        ("no_space", ProblemCode::HostDiskFull),
        ("boot_timeout", ProblemCode::MachineFailed),
    ] {
        fixture.shim.fail_next_start(reason, "the cause\nthe end of its log");
        let problem = fixture.run().await.unwrap_err();
        assert_eq!(problem.code, code);
        assert_eq!(problem.causes, ["the cause"]);
        assert_eq!(problem.log_tail, ["the end of its log"]);
    }
    fs_err::write(fixture.paths.default_machine().console_log(), "no root\r\n").unwrap();
    assert_eq!(fixture.machine.logs().0[0].message, "no root");
    fs_err::write(fixture.paths.default_machine().dir().join("fail-early"), "").unwrap();
    let problem = fixture.run().await.unwrap_err();
    assert!(problem.causes[0].contains("exit status: 3"), "{problem:?}");
    assert!(problem.log_tail.iter().any(|line| line == "cannot go on"), "{problem:?}");
    fs_err::remove_file(fixture.paths.default_machine().dir().join("fail-early")).unwrap();
    let problem = soon("a start", fixture.without_image().ensure_running()).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::GuestImageMissing);
    fixture.run().await.unwrap();
}

#[tokio::test]
async fn a_guest_of_another_version_is_told_and_not_waited_for() {
    let fixture = Fixture::new();
    fixture.shim.guest().speak(protocol::Version { major: 99, minor: 0 });
    assert_eq!(fixture.run().await.unwrap_err().code, ProblemCode::GuestVersion);
}

#[tokio::test]
async fn stopping_is_no_failure_and_a_start_may_follow_at_once() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let mut events = fixture.store.subscribe();
    soon("the stop", fixture.machine.stop()).await.unwrap();
    assert_eq!(fixture.machine.state().phase, MachinePhase::Stopped);
    assert_eq!(fixture.store.machine().unwrap().status.problem, None);
    let steps = steps(&mut events);
    assert_eq!(steps, [("started", StepKind::StopMachine), ("finished", StepKind::StopMachine)]);
    assert!(fixture.machine.agent().is_err());
    fixture.run().await.unwrap();
    soon("the kill", fixture.machine.kill()).await;
    assert_eq!(fixture.machine.state().phase, MachinePhase::Stopped);
}

#[tokio::test]
async fn an_engine_that_ends_is_told_and_the_machine_stays() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    fixture.shim.guest().set_engine(ComponentState::Failed);
    until(&fixture.machine, "the failure", |state| state.engine == EngineState::Failed).await;
    let problem = fixture.store.machine().unwrap().status.problem.unwrap();
    assert_eq!(problem.code, ProblemCode::EngineDown);
    fixture.shim.guest().set_engine(ComponentState::Ready);
    fixture.run().await.unwrap();
    assert_eq!(fixture.shim.starts(), 1);
}

#[tokio::test]
async fn numbers_are_there_when_asked_for_and_gone_with_the_machine() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    assert_eq!(fixture.store.machine().unwrap().status.usage, None);
    fixture.machine.refresh_usage().await;
    let status = fixture.store.machine().unwrap().status;
    let usage = status.usage.unwrap();
    assert!(usage.memory_used > 0 && usage.memory_used < usage.memory_total);
    assert!(status.daemon_memory > 0);
    fixture.store.change_machine_spec(None, |spec| spec.cpus += 1).unwrap();
    fixture.shim.crash("guest_crashed", "panic");
    until(&fixture.machine, "the end", |state| state.phase == MachinePhase::Stopped).await;
    assert_eq!(fixture.store.machine().unwrap().status.usage, None);
}

#[tokio::test]
async fn processes_and_files_pass_whole() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let agent = fixture.machine.agent().unwrap();
    let content = vec![b'x'; 300_000];
    agent.put_file(Utf8Path::new("/run/big"), 0o600, &content).await.unwrap();
    assert_eq!(fixture.shim.guest().file("/run/big").unwrap(), content);

    let exec = Exec { argv: vec!["cat".into()], env: [].into(), cwd: None, terminal: None, input: true };
    let mut session = agent.exec(exec.clone()).await.unwrap();
    session.input.write(b"hello").await.unwrap();
    session.input.end().await.unwrap();
    assert_eq!(session.output.next().await.unwrap(), ExecPiece::Output(b"hello".to_vec()));
    assert!(matches!(session.output.next().await.unwrap(), ExecPiece::Ended(end) if end.status() == 0));

    let missing = agent.exec(Exec { argv: vec!["nothing".into()], ..exec }).await.unwrap_err();
    assert_eq!(missing.refusal(), Some(protocol::agent::FailureKind::NotFound));
}

#[tokio::test]
async fn tools_run_in_the_guest() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let tools = crate::tools::GuestTools::new(fixture.machine.agent().unwrap());
    let mut command = engine::ToolCommand::new(["cat", "-"]);
    command.stdin = Some(b"input".to_vec());
    let mut running = engine::Tools::run(&tools, command).await.unwrap();
    assert_eq!(running.next_output().await.unwrap().unwrap().1.as_ref(), b"input");
    assert!(running.next_output().await.unwrap().is_none());
    assert_eq!(running.wait().await.unwrap(), 1);
    let Err(error) = engine::Tools::run(&tools, engine::ToolCommand::new(["nothing"])).await else {
        panic!("an unknown program started");
    };
    assert_eq!(error.to_string(), "could not start `nothing`");
}

#[tokio::test]
async fn the_setting_about_trust_reaches_a_running_guest_at_once() {
    let fixture = Fixture::new();
    fixture.run().await.unwrap();
    let mut configurations = fixture.shim.guest().configurations();
    assert_eq!(*configurations.borrow(), 1);
    fixture.store.change_machine_spec(None, |spec| spec.trust_host_network = false).unwrap();
    soon("the configuration", configurations.wait_for(|count| *count == 2)).await.unwrap();
    let told = fixture.shim.guest().configuration().unwrap();
    assert!(told.extra_certificates.is_empty() && told.proxy.is_empty());
    assert_eq!(told.shares[0].path, fixture.share());
}
