//! What is not used stops and starts again, and what a person waits for has a share of its own.

use std::process::Stdio;

use crate::cove::{Cove, until};

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

    // A hold of this computer keeps it, also when the time is over.
    let mut held = cove.command(&["keep-alive", "idle", "--", "sleep", "300"]);
    let mut held = held.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it is held", || cove.ok(&["show", "idle"]).contains("cove keep-alive (sleep)"));
    cove.ok(&["up", folder, "--idle", "20s"]);
    std::thread::sleep(std::time::Duration::from_secs(45));
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
