//! `cove up`, from its first line to its last.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use api::{Environment, EventKind, HookStage, HostCommand, LogStream, Problem, ProblemCode, StepKind, Unit};

use crate::fake::{Act, Fake, running};

fn started(step: StepKind, detail: &str) -> EventKind {
    EventKind::StepStarted { step, detail: detail.to_owned() }
}

fn logged(step: StepKind, line: &str) -> EventKind {
    EventKind::Log { step, stream: LogStream::Output, line: line.to_owned() }
}

fn is_up(environment: &mut Environment) {
    environment.status = running("web", "/srv/web").status;
}

fn failed(code: ProblemCode) -> Problem {
    Problem::new(code, "could not build the image of `web`")
        .caused_by(&std::io::Error::other("step 3 exited with 100"))
        .with_log(vec!["E: no such package".to_owned()])
        .with_hint("correct the Dockerfile and run `cove up` again")
}

fn has_failed(environment: &mut Environment) {
    environment.status.problem = Some(failed(ProblemCode::BuildFailed));
    environment.status.observed_generation = 1;
}

/// Durations differ from run to run.
fn without_times(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once("s] ") {
        Some((_, rest)) if line.starts_with('[') => format!("[time] {rest}"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_way_up_is_told_and_ends_with_what_to_do_next() {
    let image = StepKind::PrepareImage;
    let fake = Fake::start(
        Vec::new(),
        vec![
            Act::Tell(started(StepKind::StartMachine, "")),
            Act::TellOfMachine(started(StepKind::StartMachine, "booting")),
            Act::TellOfMachine(EventKind::StepFinished { step: StepKind::StartMachine, millis: 8400 }),
            Act::Tell(EventKind::StepFinished { step: StepKind::StartMachine, millis: 8500 }),
            Act::Tell(started(image, "python:3.13")),
            Act::Tell(EventKind::Progress {
                step: image,
                item: "layer".to_owned(),
                current: 1,
                total: Some(2),
                unit: Unit::Items,
            }),
            Act::Tell(logged(image, "\u{1b}[32mStep 1/4\u{1b}[0m")),
            Act::Tell(EventKind::StepFinished { step: image, millis: 61_000 }),
            Act::Tell(started(StepKind::RunHook(HookStage::PostCreate), "pip install")),
            Act::Change(is_up),
        ],
    );
    std::fs::create_dir(fake.home.path().join("web")).unwrap();
    let ran = fake.run(&["up", "web", "--config", "web.json"]);
    insta::assert_snapshot!(without_times(&ran.all()), @r"
    web is running
      app (5000)  http://localhost:5000
      db:5432     http://localhost:15432
      9000        not open

      cove shell web        a shell in it
      cove exec web -- CMD  a command in it
      cove stop web         ends it; what it made is kept
    --- stderr
    [time] Starting the machine
    [time] Starting the machine: done in 8.4 s
    [time] Preparing the image: python:3.13
    [time]   | Step 1/4
    [time] Preparing the image: done in 1 min 01 s
    [time] Running postCreateCommand: pip install
    --- status 0
    ");
    insta::assert_snapshot!(fake.requests().join("\n").replace(fake.home.path().to_str().unwrap(), "HOME"), @r#"UP {"folder":"HOME/web","config":"web.json","rebuild":false}"#);
}

#[test]
fn results_alone_are_printed_when_quiet_or_as_json() {
    let fake =
        Fake::start(Vec::new(), vec![Act::Tell(started(StepKind::ReadConfig, "")), Act::Change(is_up)]);
    let ran = fake.run(&["up", "--quiet", "--json"]);
    assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""));
    let environment: Environment = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(environment.status.phase, api::Phase::Running);
}

#[test]
fn a_failure_is_told_in_full_with_status_1() {
    let step = StepKind::PrepareImage;
    let problem = failed(ProblemCode::BuildFailed);
    let fake = Fake::start(
        Vec::new(),
        vec![
            Act::Tell(started(step, "Dockerfile")),
            Act::Tell(EventKind::StepFailed { step, problem }),
            Act::Change(has_failed),
        ],
    );
    insta::assert_snapshot!(without_times(&fake.run(&["up"]).all()), @r"
    --- stderr
    [time] Preparing the image: Dockerfile
    [time] Preparing the image: failed: could not build the image of `web` [E0204]
    error[E0204]: could not build the image of `web`
      caused by: step 3 exited with 100
      | E: no such package
    hint: correct the Dockerfile and run `cove up` again
    see: cove explain E0204
    --- status 1
    ");
}

#[test]
fn what_is_tried_again_is_told_and_waited_out_until_the_daemon_gives_up() {
    fn gave_up(environment: &mut Environment) {
        environment.status.problem = Some(Problem::new(ProblemCode::MachineLost, "the machine went away"));
        environment.status.observed_generation = 1;
    }
    let warning = Act::Tell(EventKind::Warning {
        problem: Problem::new(ProblemCode::MachineLost, "the machine went away"),
    });
    let ran = Fake::start(Vec::new(), vec![warning, Act::Change(is_up)]).run(&["up"]);
    assert_eq!(ran.status, Some(0));
    assert!(ran.err.contains("s] warning: the machine went away [E0309]"), "{}", ran.err);
    let ran = Fake::start(Vec::new(), vec![Act::Change(gave_up)]).run(&["up"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.err.contains("error[E0309]: the machine went away"), "{}", ran.err);
}

#[test]
fn a_host_command_runs_only_with_consent() {
    fn waits_or_runs(environment: &mut Environment) {
        environment.status.observed_generation = 1;
        if environment.spec.trusted_commands == ["d1"] {
            is_up(environment);
        } else {
            let command = HostCommand { text: "make deps".to_owned(), digest: "d1".to_owned() };
            environment.status.problem = Some(
                Problem::new(ProblemCode::ConsentNeeded, "`web` wants to run a command on this computer")
                    .asking_consent(command),
            );
        }
    }
    let fake = || Fake::start(Vec::new(), vec![Act::Change(waits_or_runs)]);
    insta::assert_snapshot!(fake().run(&["up"]).all(), @r"
    --- stderr
    error[E0108]: `web` wants to run a command on this computer
      command: make deps
    see: cove explain E0108
    --- status 1
    ");
    let ran = fake().run(&["up", "--trust"]);
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert!(ran.err.contains("Runs on this computer, as agreed: make deps"), "{}", ran.err);
}

#[test]
fn ctrl_c_leaves_the_work_going_on() {
    let fake = Fake::start(Vec::new(), vec![Act::Tell(started(StepKind::PrepareImage, "")), Act::Hang]);
    let mut child = fake.cove(&["up"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.ends_with("Preparing the image"), "{first}");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    insta::assert_snapshot!(lines.next().unwrap().unwrap(), @"The work goes on without this command. `cove up` watches it again, `cove stop web` ends it.");
    assert_eq!(child.wait().unwrap().code(), Some(128 + 2));
}

#[test]
fn a_folder_that_is_not_there_or_a_name_that_is_none_is_refused_at_once() {
    let fake = Fake::start(Vec::new(), Vec::new());
    insta::assert_snapshot!(fake.run(&["up", "nowhere"]).all(), @r"
    --- stderr
    error[E0101]: the folder `nowhere` cannot be opened
      caused by: No such file or directory (os error 2)
    see: cove explain E0101
    --- status 1
    ");
    insta::assert_snapshot!(fake.run(&["up", "--name", "My App"]).all(), @r"
    --- stderr
    error[E0002]: `My App` is not a name: use 1 to 48 lower-case letters, digits and inner dashes
    see: cove explain E0002
    --- status 1
    ");
    assert!(fake.requests().is_empty());
}
