use std::fmt::Write as _;

use api::{
    ContainerStatus, Environment, Machine, MachinePhase, MachineUse, Phase, PortProtocol, PortStatus,
    Problem, ProblemCode, StepKind,
};
use serde_json::json;

use super::*;
use crate::snapshot::Reading;

fn environment(name: &str, phase: Phase) -> Environment {
    let wanted = if phase == Phase::Stopped { "stopped" } else { "running" };
    let mut environment: Environment = serde_json::from_value(json!({
        "id": format!("id-{name}"),
        "metadata": {
            "name": name, "generation": 1, "resource_version": 1,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "desired_phase": wanted,
            "source": { "type": "folder", "path": format!("/home/ada/src/{name}") },
            "machine": "default",
        },
        "status": {},
    }))
    .unwrap();
    environment.status.phase = phase;
    environment.status.container = (phase != Phase::Creating).then(|| ContainerStatus {
        id: "7".to_owned(),
        name: name.to_owned(),
        image: "debian".to_owned(),
        running: phase == Phase::Running,
        remote_user: "root".to_owned(),
        workspace_folder: "/w".to_owned(),
        config_digest: String::new(),
        started_at: None,
    });
    environment
}

fn machine(phase: MachinePhase) -> Reading {
    let mut machine: Machine = serde_json::from_value(json!({
        "metadata": {
            "name": "default", "generation": 1, "resource_version": 1,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "keep_running": true, "cpus": 2, "memory_mib": 4096, "disk_gib": 64, "shares": [],
            "trust_host_network": true,
        },
        "status": {},
    }))
    .unwrap();
    machine.status.phase = phase;
    // What the guest has of its own is told to nobody.
    machine.status.usage = (phase == MachinePhase::Running).then(|| MachineUse {
        memory_total: 4 << 30,
        memory_used: 3 << 30,
        host_memory: 412 << 20,
        host_disk: 3 << 30,
        ..MachineUse::default()
    });
    Reading { machine, at: jiff::civil::time(14, 3, 59, 0) }
}

fn known(machine: Reading, environments: Vec<Environment>) -> Snapshot {
    let host = Host { terminal: true, starts_at_login: Some(false) };
    Snapshot { daemon: Daemon::Answers, environments, machine: Some(machine), refused: None, host }
}

/// The menu as a person sees it, all of it open.
fn seen(known: &Snapshot) -> String {
    let menu = menu(known);
    let mut out = format!("{:?}\n", menu.face);
    rows(&menu.items, 0, &mut out);
    out
}

fn rows(items: &[Item], depth: usize, out: &mut String) {
    for Item { text, kind, .. } in items {
        let row = match kind {
            Kind::Line => format!("({text})"),
            Kind::Separator => "----".to_owned(),
            Kind::Action(_) => text.clone(),
            Kind::Check(on, _) => format!("[{}] {text}", if *on { "x" } else { " " }),
            Kind::Submenu(_) => format!("{text}  >"),
        };
        writeln!(out, "{:width$}{row}", "", width = depth * 4).unwrap();
        if let Kind::Submenu(inside) = kind {
            rows(inside, depth + 1, out);
        }
    }
}

#[test]
fn an_environment_that_runs_can_be_reached() {
    let mut web = environment("web", Phase::Running);
    let port = |container_port, host_port, label: Option<&str>, protocol| PortStatus {
        host_port,
        label: label.map(str::to_owned),
        protocol,
        ..PortStatus::new(container_port)
    };
    web.status.ports = vec![
        port(3000, Some(3000), Some("the site"), PortProtocol::Http),
        port(443, Some(8443), None, PortProtocol::Https),
        port(5432, None, None, PortProtocol::Tcp),
    ];
    let known = known(machine(MachinePhase::Running), vec![environment("api", Phase::Stopped), web]);
    insta::assert_snapshot!(seen(&known), @r"
    Running
    (Running — 1 environment)
    ----
    api — stopped  >
        Start
        ----
        Show Logs in Terminal
    web — running  >
        Stop
        Restart
        ----
        Open localhost:3000 (the site)
        Open localhost:8443
        Open in Editor
        Open Shell in Terminal
        Show Logs in Terminal
        Copy “cove shell web”
    ----
    (Machine at 14:03: 412.0 MiB of memory, 3.0 GiB of disk)
    Pause Machine
    Stop Machine and 1 Environment
    ----
    Open Cove
    [ ] Start at Login
    Quit and Keep Running
    ");
    let menu = menu(&known);
    assert_eq!(
        menu.action("environment/id-web/port-8443"),
        Some(&Action::Open("https://localhost:8443".to_owned()))
    );
    let stop = Action::Environment(EnvironmentId("id-web".to_owned()), Wish::Stop);
    assert_eq!(menu.action("environment/id-web/stop"), Some(&stop));
    assert_eq!(menu.action("status"), None, "a line does nothing");
}

#[test]
fn a_problem_is_told_with_what_to_do() {
    let mut web = environment("web", Phase::Creating);
    web.spec.desired_phase = api::DesiredPhase::Running;
    web.status.problem = Some(
        Problem::new(ProblemCode::ConsentNeeded, "`web` wants to run a command on this computer")
            .with_command("see it and answer", "cove up /home/ada/src/web"),
    );
    let known = known(machine(MachinePhase::Stopped), vec![web]);
    insta::assert_snapshot!(seen(&known), @r"
    Attention
    (Attention: `web` wants to run a command on this computer)
    ----
    web — creating, E0108  >
        (`web` wants to run a command on this computer)
        (see it and answer: cove up /home/ada/src/web)
        Answer…
        ----
        Try Again
        Stop
    ----
    (Machine: off; it starts when something needs it)
    Start Machine
    ----
    Open Cove
    [ ] Start at Login
    Quit and Keep Running
    ");
}

#[test]
fn what_is_not_there_is_not_offered() {
    let host = Host { terminal: false, starts_at_login: None };
    let known =
        Snapshot { host, ..known(machine(MachinePhase::Stopped), vec![environment("web", Phase::Stopped)]) };
    insta::assert_snapshot!(seen(&known), @r"
    Stopped
    (Stopped)
    ----
    web — stopped  >
        Start
    ----
    (Machine: off; it starts when something needs it)
    Start Machine
    ----
    Open Cove
    Quit and Keep Running
    ");
}

#[test]
fn without_a_daemon_nothing_is_claimed() {
    insta::assert_snapshot!(seen(&Snapshot::default()), @r"
    Starting
    (Cove is starting…)
    ----
    Open Cove
    Quit and Keep Running
    ");
    let ended = Snapshot { daemon: Daemon::Ended, ..Snapshot::default() };
    insta::assert_snapshot!(seen(&ended), @r"
    Stopped
    (Stopped: the daemon was ended)
    Start Cove
    ----
    Open Cove
    Quit and Keep Running
    ");
    let skew = Problem::new(
        ProblemCode::VersionSkew,
        "the daemon (pid 7) is version 0.0.9, this program is version 0.1.0",
    )
    .with_command("stop the other daemon", "cove daemon stop");
    let failed = Snapshot { daemon: Daemon::Failed(skew), ..Snapshot::default() };
    insta::assert_snapshot!(seen(&failed), @r"
    Attention
    (Attention: the daemon (pid 7) is version 0.0.9, this program is version…)
    (stop the other daemon: cove daemon stop)
    Try Again
    ----
    Open Cove
    Quit and Keep Running
    ");
}

#[test]
fn what_was_refused_is_said() {
    let refused = Some(Problem::new(ProblemCode::Conflict, "`web` is being removed"));
    let known = Snapshot { refused, ..known(machine(MachinePhase::Running), Vec::new()) };
    insta::assert_snapshot!(seen(&known), @r"
    Running
    (Running — no environments)
    (Not done: `web` is being removed)
    ----
    (No environments: open a folder to make one)
    ----
    (Machine at 14:03: 412.0 MiB of memory, 3.0 GiB of disk)
    Pause Machine
    Stop Machine
    ----
    Open Cove
    [ ] Start at Login
    Quit and Keep Running
    ");
}

#[test]
fn a_machine_that_is_paused_can_go_on() {
    let menu = menu(&known(machine(MachinePhase::Paused), Vec::new()));
    assert_eq!(menu.action("machine/resume"), Some(&Action::PauseMachine(false)));
    assert_eq!(menu.action("machine/pause"), None);
    assert_eq!(menu.action("machine/stop"), Some(&Action::StopMachine));
}

#[test]
fn the_icon_says_what_matters_most() {
    let with = |name, phase, change: fn(&mut Environment)| {
        let mut environment = environment(name, phase);
        change(&mut environment);
        environment
    };
    let failing = |name| {
        with(name, Phase::Running, |each| {
            each.status.problem = Some(Problem::new(ProblemCode::Internal, "it broke"));
        })
    };
    let trying_again = |name| {
        with(name, Phase::Starting, |each| {
            each.status.problem = Some(Problem::new(ProblemCode::Internal, "it broke"));
            each.status.step = Some(StepKind::StartMachine);
        })
    };
    let running = |name| environment(name, Phase::Running);
    let starting = |name| environment(name, Phase::Starting);
    // Never asked for: a folder that was only looked at.
    let unwanted =
        |name| with(name, Phase::Creating, |each| each.spec.desired_phase = api::DesiredPhase::Stopped);
    let mut broken_machine = machine(MachinePhase::Stopped);
    broken_machine.machine.status.problem = Some(Problem::new(ProblemCode::MachineFailed, "no memory left"));
    let on = || machine(MachinePhase::Running);
    let off = || machine(MachinePhase::Stopped);
    for (reading, environments, face, text) in [
        (off(), vec![], Face::Stopped, "Stopped"),
        (off(), vec![environment("a", Phase::Stopped)], Face::Stopped, "Stopped"),
        (off(), vec![unwanted("a")], Face::Stopped, "Stopped"),
        (on(), vec![], Face::Running, "Running — no environments"),
        (on(), vec![running("a")], Face::Running, "Running — 1 environment"),
        (on(), vec![running("a"), running("b")], Face::Running, "Running — 2 environments"),
        (on(), vec![running("a"), starting("b")], Face::Starting, "b is starting…"),
        (on(), vec![starting("a"), starting("b")], Face::Starting, "2 environments are starting…"),
        (on(), vec![trying_again("a")], Face::Starting, "a is starting…"),
        (machine(MachinePhase::Starting), vec![starting("a")], Face::Starting, "Machine is starting…"),
        (machine(MachinePhase::Stopping), vec![], Face::Running, "Machine is stopping…"),
        (machine(MachinePhase::Paused), vec![running("a")], Face::Stopped, "Machine is paused"),
        (on(), vec![failing("a"), starting("b")], Face::Attention, "Attention: it broke"),
        (on(), vec![failing("a"), failing("b")], Face::Attention, "Attention: 2 environments have problems"),
        (broken_machine, vec![failing("a")], Face::Attention, "Attention: no memory left"),
    ] {
        let menu = menu(&known(reading, environments));
        assert_eq!((menu.face, menu.items[0].text.as_str()), (face, text));
    }
}

#[test]
fn every_row_has_a_name_of_its_own() {
    fn keys<'a>(items: &'a [Item], all: &mut Vec<&'a str>) {
        for item in items {
            all.push(&item.key);
            if let Kind::Submenu(inside) = &item.kind {
                keys(inside, all);
            }
        }
    }
    let mut web = environment("web", Phase::Running);
    web.status.problem = Some(
        Problem::new(ProblemCode::PortTaken, "port 3000 is taken")
            .with_hint("end the other")
            .with_hint("or wait"),
    );
    let known = known(machine(MachinePhase::Running), vec![environment("api", Phase::Running), web]);
    let menu = menu(&known);
    let mut all = Vec::new();
    keys(&menu.items, &mut all);
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "{all:?}");
}

#[test]
fn texts_of_others_cannot_spoil_the_menu() {
    assert_eq!(fit("a\nb\u{1b}[31mc"), "ab[31mc");
    let long = fit(&"ü".repeat(500));
    assert_eq!(long.chars().count(), MOST_CHARACTERS);
    assert!(long.ends_with('…'));
    assert_eq!(fit(&"x".repeat(MOST_CHARACTERS)), "x".repeat(MOST_CHARACTERS));
}
