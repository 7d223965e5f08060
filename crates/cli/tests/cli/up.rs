//! `cove up`, from its first line to its last.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use api::{
    Consent, ConsentKind, Environment, EventKind, HookStage, LogStream, Problem, ProblemCode, StepKind,
    Unasked, Unit,
};

use crate::fake::{Act, Fake, Ran, running};

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
    insta::assert_snapshot!(fake.requests().join("\n").replace(fake.home.path().to_str().unwrap(), "HOME"), @r#"UP {"folder":"HOME/web","config":"web.json","rebuild":false,"unasked":"leave_out"}"#);
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
        if environment.spec.consents == ["d1", "d2"] || environment.spec.unasked == Unasked::LeaveOut {
            is_up(environment);
        } else {
            let wanted =
                [(ConsentKind::HostCommand, "make deps", "d1"), (ConsentKind::HostMount, "/etc:/e", "d2")];
            let wanted = wanted.map(|(kind, text, digest)| Consent {
                kind,
                text: text.to_owned(),
                digest: digest.to_owned(),
            });
            environment.status.problem = Some(
                Problem::new(ProblemCode::ConsentNeeded, "`web` wants things of this computer")
                    .asking_consent(wanted.to_vec()),
            );
        }
    }
    let fake = || Fake::start(Vec::new(), vec![Act::Change(waits_or_runs)]);
    // Nobody is there to be asked: it comes up without them.
    assert_eq!(fake().run(&["up"]).status, Some(0));
    let ran = fake().run(&["up", "--trust"]);
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    insta::assert_snapshot!(ran.err, @r"
    On this computer, as agreed:
      run, outside of any container: make deps
      show files to the container: /etc:/e
    ");
}

#[test]
fn the_persons_variables_secrets_and_dotfiles_go_over() {
    let fake = Fake::start(Vec::new(), vec![Act::Change(is_up)]);
    let folder = fake.folder("web");
    std::fs::write(folder.join(".devcontainer.json"), r#"{"image": "${localEnv:WHO}"}"#).unwrap();
    std::fs::write(fake.home.path().join("secrets.json"), r#"{"TOKEN": "s3cret"}"#).unwrap();
    let mut command =
        fake.cove(&["up", "web", "--secrets-file", "secrets.json", "--dotfiles-repository", "ada/dots"]);
    let ran = Ran::of(
        {
            command.env("WHO", "ada");
            command
        },
        fake.home.path(),
    );
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let request = fake.requests().join("\n");
    for part in
        [r#""variables":{"WHO":"ada"}"#, r#""secrets":{"TOKEN":"s3cret"}"#, r#""repository":"ada/dots""#]
    {
        assert!(request.contains(part), "{part} is not in {request}");
    }
}

#[test]
fn that_it_can_be_worked_in_is_told_once() {
    fn usable(environment: &mut Environment) {
        environment.status.observed_generation = 1;
        environment.status.phase = api::Phase::Starting;
        environment.status.step = Some(StepKind::RunHook(HookStage::PostCreate));
        let since = "2026-01-01T00:00:00Z".parse().unwrap();
        let kind = api::ConditionKind::Usable;
        environment.status.conditions = vec![api::Condition { kind, holds: true, since, problem: None }];
    }
    let fake = Fake::start(Vec::new(), vec![Act::Change(usable), Act::Change(usable), Act::Hang]);
    let mut child = fake.cove(&["up"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    insta::assert_snapshot!(lines.next().unwrap().unwrap(), @"You can work in it now; postCreateCommand goes on.");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let next = lines.next().unwrap().unwrap();
    assert!(next.starts_with("The work goes on without this command."), "{next}");
    child.wait().unwrap();
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

#[test]
fn when_it_stops_by_itself_is_asked_for_as_it_was_said() {
    let fake = Fake::start(Vec::new(), vec![Act::Change(is_up)]);
    fake.folder("web");
    for (words, stop_after) in
        [(&[][..], None), (&["--idle", "1h30m"], Some(Some(5400))), (&["--idle", "never"], Some(None))]
    {
        let ran = fake.run(&[&["up", "web"], words].concat());
        assert_eq!(ran.status, Some(0), "{}", ran.all());
        let requests = fake.requests();
        let asked = requests.last().unwrap().strip_prefix("UP ").unwrap();
        let asked: api::UpRequest = serde_json::from_str(asked).unwrap();
        assert_eq!(asked.idle.map(|policy| policy.stop_after), stop_after, "{words:?}");
    }
}
