//! What is not used stops and starts again, and what a person waits for has a share of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::cove::{Cove, finish, until};
use crate::ports::{curl, port_of, web};

pub(crate) fn what_is_not_used_stops_and_starts_with_the_next_use(cove: &Cove) {
    let folder = cove.project("idle", &[]);
    let folder = folder.to_str().unwrap();
    cove.ok(&["up", folder, "--idle", "1h"]);

    // A session has a group above all else of its container, and what is no session has not.
    let group = |arguments: &[&str]| cove.ok(&[&["exec", "idle"], arguments].concat());
    let terminal = "script -qec 'cat /proc/self/cgroup' /dev/null";
    assert_eq!(group(&["--", "cat", "/proc/self/cgroup"]).trim(), "0::/");
    let id = cove.docker(&["inspect", "--format", "{{.Id}}", "cove-idle"]).out;
    let said = cove.docker(&["exec", "-t", "cove-idle", "cat", "/proc/self/cgroup"]).out;
    assert!(said.trim().starts_with("0::/interactive/"), "{said}");
    assert_eq!(group(&["--", "sh", "-c", terminal]).trim(), "0::/main", "divided now");
    let weights =
        format!("cd /sys/fs/cgroup/docker/{}; cat main/cpu.weight interactive/cpu.weight", id.trim());
    let weights = cove.ok(&["machine", "shell", "--", "sh", "-c", &weights]);
    assert_eq!(weights.split_whitespace().collect::<Vec<_>>(), ["100", "1000"]);
    let pressure = &cove.json(&["machine", "status"])["status"]["usage"]["pressure"];
    assert!(pressure["cpu"].is_u64(), "{pressure}");
    let sample = sampled(cove);
    assert!(sample["cpu"].is_f64() && sample["processors"].is_u64(), "{sample}");
    assert!(sample["network_in"].is_u64() && sample["disk_written"].is_u64(), "{sample}");
    let given = cove.json(&["machine", "reclaim"]);
    assert!(given["guest_memory"].as_u64().unwrap() > 0 && given["host_disk"]["note"].is_null(), "{given}");
    let note = given["host_memory"]["note"].as_str().unwrap_or_default();
    assert!(note.contains("`qemu` cannot take memory back"), "{given}");

    // A hold of this computer keeps it, also when the time is over.
    let mut held = cove.command(&["keep-alive", "idle", "--", "sleep", "300"]);
    let mut held = held.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it is held", || cove.ok(&["show", "idle"]).contains("cove keep-alive (sleep)"));
    cove.ok(&["up", folder, "--idle", "20s"]);
    std::thread::sleep(std::time::Duration::from_secs(30));
    assert_eq!(cove.json(&["show", "idle"])["status"]["phase"], "running");

    // It ends with the process that holds, however that ends.
    held.kill().unwrap();
    held.wait().unwrap();
    until("it stops", || cove.json(&["show", "idle"])["status"]["phase"] == "stopped");
    assert!(cove.ok(&["show", "idle"]).contains("the next use starts it"));
    assert_eq!(cove.ok(&["exec", "idle", "--", "echo", "awake"]).trim(), "awake");

    // One that a person stopped stays down.
    cove.ok(&["stop", "idle"]);
    let said = cove.run(&["exec", "idle", "--", "true"]);
    assert!(said.status != 0 && said.err.contains("E0006"), "{said:?}");
    cove.ok(&["rm", "-y", "idle"]);
}

/// The first of the machine's numbers that have rates in them.
fn sampled(cove: &Cove) -> serde_json::Value {
    let mut stream = UnixStream::connect(cove.home().join("run/coved.sock")).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_mins(1))).unwrap();
    stream.write_all(b"GET /v1/machines/default/metrics HTTP/1.1\r\nhost: coved\r\n\r\n").unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let mut samples = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    samples.find(|sample| sample["cpu"].is_number()).unwrap()
}

/// A command of Cove that says `ready` and is then told a signal, by itself and not by keys; its exit status.
fn told(cove: &Cove, arguments: &[&str], signal: &str) -> i32 {
    let mut command = cove.command(arguments);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    finish(child, arguments).status
}

pub(crate) fn the_machine_stops_when_nothing_runs_and_a_name_starts_all(cove: &Cove) {
    let config = r#"{
        "image": "cove/base:trixie",
        "forwardPorts": [28096],
        "postStartCommand": "setsid perl web.pl > /dev/null 2>&1 < /dev/null &"
    }"#;
    let web = web("INET", "127.0.0.1", 28_096);
    let folder = cove.project("rests", &[(".devcontainer.json", config), ("web.pl", &web)]);
    let folder = folder.to_str().unwrap();
    // Nobody keeps it running, as somebody who started it by hand would.
    cove.ok(&["machine", "stop"]);
    cove.ok(&["up", folder]);

    // What is kept alive ends as it would by itself, and is told what its keeper is told: on this computer, and inside.
    let script = "trap 'exit 3' TERM; trap 'exit 4' INT; echo ready; while :; do sleep 0.1; done";
    let here = ["keep-alive", "rests", "--"];
    let inside = "/dev/cove/bin/cove-inside keep-alive --";
    assert_eq!(cove.run(&[&here[..], &["sh", "-c", "exit 7"]].concat()).status, 7);
    assert_eq!(cove.run(&[&here[..], &["sh", "-c", "kill -KILL $$"]].concat()).status, 137);
    for (signal, status) in [("-TERM", 3), ("-INT", 4)] {
        assert_eq!(told(cove, &[&here[..], &["sh", "-c", script]].concat(), signal), status, "{signal}");
        // Told inside as well: nothing of this goes through a terminal. With `&` the shell has ctrl-c ignored, and what is
        // ignored at the start stays so.
        let keeper = format!(
            "env --default-signal {inside} sh -c \"$1\" > said & until grep -q ready said; do sleep 0.1; done; kill {signal} $!; wait $!"
        );
        let said = cove.run(&["exec", "rests", "--", "sh", "-c", &keeper, "sh", script]);
        assert_eq!(said.status, status, "{signal} inside: {said:?}");
    }
    let said = cove.run(&["exec", "rests", "--", "sh", "-c", &format!("{inside} sh -c 'exit 7'")]);
    assert_eq!(said.status, 7, "{said:?}");

    let mut address = None;
    until("the server has its name", || {
        address = port_of(cove, "rests", 28_096).and_then(|port| Some(port["address"].as_str()?.to_owned()));
        address.is_some()
    });
    let address = address.unwrap();
    assert_eq!(curl(&[], &address).out, "from 28096\n");

    // First the environment stops, and then the machine, in which nothing runs any more.
    cove.ok(&["machine", "set", "--idle", "20s"]);
    let phase = || cove.json(&["machine", "status"])["status"]["phase"].clone();
    std::thread::sleep(std::time::Duration::from_secs(30));
    assert_eq!(phase(), "running", "a container runs in it");
    cove.ok(&["up", folder, "--idle", "20s"]);
    until("the machine stops", || phase() == "stopped");
    assert_eq!(cove.json(&["show", "rests"])["status"]["phase"], "stopped");
    until("nothing of it is left", || cove.processes("qemu-system").is_empty());

    // Who asks for the name waits for both. On a slow computer the first request may be over before that.
    until("the server answers by its name", || curl(&[], &address).out == "from 28096\n");
    assert_eq!(phase(), "running");
    assert_eq!(cove.json(&["show", "rests"])["status"]["phase"], "running");
    cove.ok(&["machine", "set", "--idle", "10m"]);
    cove.ok(&["rm", "--yes", "rests"]);
}
