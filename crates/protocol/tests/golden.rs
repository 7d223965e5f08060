//! The exact bytes of every message, and old bytes that must keep their meaning.
//!
//! A machine runs on with the agent and the shim it was started with while the daemon is updated. So a changed
//! line in `golden/*.jsonl` is a changed wire: additions belong at the end of a message, with a default, and the
//! line before the change moves to `golden/old.jsonl`. Nothing ever leaves that file.

use std::collections::BTreeMap;
use std::fmt::Debug;

use protocol::agent::{
    AgentHello, Component, ComponentState, Configuration, Emulation, Event, Exec, ExecControl, ExecEnd,
    Failure, FailureKind, Level, Listener, LogLine, Metrics, Mount, Pressure, Reclaimed, Reply, Request,
    Stall, Target, TerminalSize, Traffic,
};
use protocol::files::{FileBatch, FileChange, FileChangeKind, FileReceipt};
use protocol::{Frame, FrameDecoder, FrameKind, Version, encode_json, shim};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Compares messages, in order, with the lines of a file.
struct Golden<'a> {
    file: &'static str,
    lines: std::str::Lines<'a>,
}

impl<'a> Golden<'a> {
    fn new(file: &'static str, text: &'a str) -> Self {
        Self { file, lines: text.lines() }
    }

    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(&mut self, message: &T) {
        let line = self.lines.next().unwrap_or_else(|| panic!("{} has no line for {message:?}", self.file));
        let wire = encode_json(message);
        let mut expected = vec![0];
        expected.extend_from_slice(&u32::try_from(line.len()).expect("golden lines are short").to_be_bytes());
        expected.extend_from_slice(line.as_bytes());
        assert_eq!(wire, expected, "{}: the bytes of {message:?} are now\n{}", self.file, text(&wire));
        assert_eq!(&decode::<T>(&wire), message, "{}", self.file);
    }

    fn end(mut self) {
        assert_eq!(self.lines.next(), None, "{} has a line that no message is checked against", self.file);
    }
}

fn text(wire: &[u8]) -> String {
    String::from_utf8_lossy(&wire[protocol::HEADER_BYTES..]).into_owned()
}

fn decode<T: DeserializeOwned>(wire: &[u8]) -> T {
    let mut decoder = FrameDecoder::new();
    decoder.push(wire);
    let frame = decoder.next().expect("a frame of legal length").expect("a whole frame");
    assert_eq!(frame.kind, FrameKind::Message);
    frame.message().expect("a message of this type")
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn mount() -> Mount {
    Mount { tag: "share0".into(), path: "/home/ada".into(), read_only: false }
}

fn tcp(network_of: Option<i32>) -> Target {
    Target::Tcp { host: "127.0.0.1".into(), port: 8000, network_of }
}

#[test]
fn requests_to_the_agent() {
    let mut golden = Golden::new("agent_requests.jsonl", include_str!("golden/agent_requests.jsonl"));
    golden.check(&Request::Hello { protocol: Version { major: 1, minor: 0 }, version: "0.1.0".into() });
    golden.check(&Request::Configure(Configuration {
        hostname: "cove".into(),
        extra_certificates: "-----BEGIN CERTIFICATE-----\n".into(),
        proxy: map(&[("http_proxy", "http://proxy:3128")]),
        shares: vec![mount()],
        names: map(&[("host.docker.internal", "10.0.2.2")]),
        host_names: vec!["host.docker.internal".into()],
    }));
    golden.check(&Request::SetClock { unix_nanos: 1_795_000_000_123_456_789 });
    golden.check(&Request::Mount(mount()));
    golden.check(&Request::Unmount { path: "/home/ada".into() });
    golden.check(&Request::Exec(Exec {
        argv: vec!["docker".into(), "buildx".into(), "ls".into()],
        env: map(&[("DOCKER_HOST", "unix:///run/docker.sock")]),
        cwd: Some("/home/ada".into()),
        terminal: Some(TerminalSize { rows: 24, columns: 80 }),
        input: true,
    }));
    golden.check(&Request::Connect(Target::Unix { path: "/run/docker.sock".into() }));
    golden.check(&Request::Connect(tcp(None)));
    golden.check(&Request::Connect(tcp(Some(812))));
    golden.check(&Request::Connect(Target::Udp { host: "::1".into(), port: 5353, network_of: Some(812) }));
    golden.check(&Request::Watch);
    golden.check(&Request::Metrics);
    golden.check(&Request::Listeners);
    golden.check(&Request::FollowListeners);
    golden.check(&Request::PutFile { path: "/var/lib/cove/x".into(), mode: 0o644 });
    golden.check(&Request::Sync);
    golden.check(&Request::PowerOff);
    golden.check(&Request::Files);
    golden.check(&Request::Reclaim);
    golden.check(&ExecControl::Resize(TerminalSize { rows: 50, columns: 132 }));
    golden.check(&ExecControl::Signal { number: 2 });
    golden.end();
}

#[test]
fn changes_of_files() {
    let mut golden = Golden::new("agent_files.jsonl", include_str!("golden/agent_files.jsonl"));
    let change = FileChange {
        kind: FileChangeKind::Moved,
        path: "/home/ada/app/a".into(),
        to: Some("/home/ada/app/b".into()),
        folder: false,
        last_link: true,
        inode: 812,
        changed_unix_nanos: 1_795_000_000_123_456_789,
        parent_inode: 7,
    };
    for kind in [
        FileChangeKind::Created,
        FileChangeKind::Replaced,
        FileChangeKind::Modified,
        FileChangeKind::Attributes,
        FileChangeKind::Deleted,
        FileChangeKind::Overflow,
    ] {
        golden.check(&FileChange { kind, to: None, ..change.clone() });
    }
    golden.check(&FileBatch {
        generation: 7,
        sent_unix_nanos: 1_795_000_000_000_000_000,
        changes: vec![change],
    });
    golden.check(&FileReceipt {
        generation: 7,
        told: 1,
        own: 2,
        unwatched: 3,
        gone: 4,
        failed: 5,
        reason: Some("why".into()),
    });
    golden.end();
}

#[test]
fn replies_of_the_agent() {
    let mut golden = Golden::new("agent_replies.jsonl", include_str!("golden/agent_replies.jsonl"));
    golden.check(&Reply::Done);
    golden.check(&Reply::Hello(AgentHello {
        protocol: Version { major: 1, minor: 0 },
        version: "0.1.0".into(),
        kernel: "6.12.0-cloud-amd64".into(),
        machine: "x86_64".into(),
        boot_id: "5f0c".into(),
        configured: true,
    }));
    golden.check(&Reply::Started { pid: 812 });
    golden.check(&Reply::Metrics(Metrics {
        uptime_ms: 1,
        memory_total: 2,
        memory_available: 3,
        memory_cached: 4,
        swap_used: 5,
        disk_total: 6,
        disk_used: 7,
        load_centi: 8,
        busy_ms: 9,
        pressure: Some(Pressure {
            cpu: Stall { minute: 10, five_minutes: 11 },
            io: Stall { minute: 12, five_minutes: 13 },
            memory: Stall { minute: 14, five_minutes: 15 },
        }),
        processors: Some(16),
        network: Some(Traffic { came: 17, went: 18 }),
        disks: Some(Traffic { came: 19, went: 20 }),
    }));
    golden.check(&Reply::Reclaimed(Reclaimed { memory: 1, disk: Some(2), notes: vec!["why".into()] }));
    golden.check(&Reply::Listeners {
        listeners: vec![Listener {
            protocol: "tcp".into(),
            address: "127.0.0.1".into(),
            port: 5432,
            network_of: Some(812),
            container: Some("a1b2".into()),
            command: Some("node server.js".into()),
        }],
    });
    for kind in [
        FailureKind::Invalid,
        FailureKind::NotFound,
        FailureKind::ConnectionRefused,
        FailureKind::NoSpace,
        FailureKind::TooMany,
        FailureKind::Other,
    ] {
        golden.check(&Reply::Failed(Failure { kind, message: "why".into() }));
    }
    golden.check(&ExecEnd::Exited { code: 3 });
    golden.check(&ExecEnd::Signaled { number: 9 });
    golden.end();
}

#[test]
fn events_of_the_agent() {
    let mut golden = Golden::new("agent_events.jsonl", include_str!("golden/agent_events.jsonl"));
    for (level, source) in [
        (Level::Debug, "agent"),
        (Level::Info, "kernel"),
        (Level::Warn, "containerd"),
        (Level::Error, "dockerd"),
    ] {
        golden.check(&Event::Log(LogLine {
            sequence: 7,
            uptime_ms: 1500,
            level,
            source: source.into(),
            message: "a \"line\"".into(),
        }));
    }
    for state in
        [ComponentState::Starting, ComponentState::Ready, ComponentState::Failed, ComponentState::Stopped]
    {
        golden.check(&Event::Component(Component {
            name: "dockerd".into(),
            state,
            restarts: 2,
            log_tail: vec!["last words".into()],
        }));
    }
    golden.check(&Event::Stage { name: "engine".into(), uptime_ms: 9400 });
    golden.check(&Event::Emulation(Emulation {
        architecture: "amd64".into(),
        by: Some("qemu-user".into()),
        note: Some("why not by another".into()),
    }));
    golden.end();
}

#[test]
fn messages_of_the_shim() {
    let mut golden = Golden::new("shim.jsonl", include_str!("golden/shim.jsonl"));
    golden.check(&shim::Request::Status);
    golden.check(&shim::Request::Dial { port: protocol::AGENT_PORT });
    golden.check(&shim::Request::Watch);
    golden.check(&shim::Request::Stop { grace_ms: 20_000 });
    golden.check(&shim::Request::Kill);
    golden.check(&shim::Request::Pause);
    golden.check(&shim::Request::Resume);
    golden.check(&shim::Request::Save);
    let share = shim::Share { tag: "share0".into(), host_path: "/home/ada".into(), read_only: false };
    golden.check(&shim::Request::ChangeShares { shares: vec![share] });
    golden.check(&shim::Request::Squeeze { keep_mib: 1024 });
    golden.check(&shim::Reply::Done);
    golden.check(&shim::Reply::Failed { message: "why".into() });
    for state in [
        shim::State::Starting,
        shim::State::Running,
        shim::State::Paused,
        shim::State::Stopping,
        shim::State::Stopped,
        shim::State::Failed { reason: "no_space".into(), message: "why".into() },
    ] {
        golden.check(&shim::Reply::Status(shim::Status {
            protocol: Version { major: 1, minor: 0 },
            version: "0.1.0".into(),
            pid: 4711,
            state,
            driver: "qemu".into(),
            accelerator: "tcg".into(),
            config_digest: "ab12".into(),
            agent_after_ms: Some(2600),
            host_memory: 640,
            abilities: vec![
                shim::Ability::Pause,
                shim::Ability::Save,
                shim::Ability::ChangeShares,
                shim::Ability::Squeeze,
            ],
        }));
    }
    golden.check(&shim::Identity { pid: 4711, started: 998_877, host_boot: "b00t".into() });
    golden.end();
}

/// What versions before may send: optional fields are not there, unknown ones are.
#[test]
fn old_and_newer_bytes_keep_their_meaning() {
    let old = include_str!("golden/old.jsonl");
    let mut lines = old.lines().map(|line| Frame::new(FrameKind::Message, line).encode());
    let mut next = || lines.next().expect("one line for each check");

    assert_eq!(decode::<Request>(&next()), Request::Configure(Configuration::default()));
    let Request::Mount(share) = decode(&next()) else { panic!("a mount") };
    assert!(!share.read_only);
    let Request::Exec(exec) = decode(&next()) else { panic!("an exec") };
    assert_eq!((exec.argv, exec.input, exec.terminal), (vec!["true".to_owned()], false, None));
    assert_eq!(decode::<Request>(&next()), Request::Connect(tcp(None)));
    assert_eq!(decode::<Reply>(&next()), Reply::Metrics(Metrics { uptime_ms: 5, ..Metrics::default() }));
    let Reply::Listeners { listeners } = decode(&next()) else { panic!("listeners") };
    assert_eq!((listeners[0].port, listeners[0].network_of), (80, None));
    let Reply::Failed(failure) = decode(&next()) else { panic!("a failure") };
    assert_eq!(failure.kind, FailureKind::Other, "a kind of a newer agent");
    let Event::Component(component) = decode(&next()) else { panic!("a component") };
    assert_eq!((component.state, component.log_tail.len()), (ComponentState::Unknown, 0));
    assert_eq!(decode::<Event>(&next()), Event::Unknown);
    let shim::Reply::Status(status) = decode(&next()) else { panic!("a status") };
    assert_eq!((status.agent_after_ms, status.host_memory, status.abilities), (None, 0, Vec::new()));
    let Request::Configure(configuration) = decode(&next()) else { panic!("a configuration") };
    assert_eq!((configuration.names.len(), configuration.host_names.len()), (1, 0));
    let Reply::Metrics(metrics) = decode(&next()) else { panic!("metrics") };
    assert_eq!((metrics.busy_ms, metrics.processors, metrics.network, metrics.disks), (9, None, None, None));
    assert!(lines.next().is_none(), "a line of old.jsonl is not checked");
}
