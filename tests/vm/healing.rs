//! Killed at any moment, asked again: it heals and finishes, and no file is lost.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::cove::{Cove, finish, has_base, until};

/// A project whose `up` takes a while, in several steps.
fn slow_project(cove: &Cove, name: &str) -> PathBuf {
    let dockerfile = "FROM cove/base:trixie\nRUN sleep 2 && echo built > /built\n";
    let config = r#"{
        "build": { "dockerfile": "Dockerfile" },
        "mounts": ["source=${devcontainerId}-data,target=/data,type=volume"],
        "onCreateCommand": "sudo sh -c 'echo kept > /data/kept'; sleep 1; echo onCreate >> order",
        "postCreateCommand": "sleep 1; echo postCreate >> order"
    }"#;
    let files = [
        (".devcontainer/Dockerfile", dockerfile),
        (".devcontainer/devcontainer.json", config),
        ("work", "mine\n"),
    ];
    cove.project(name, &files)
}

/// Asks again, and checks that all of it is there.
fn heals(cove: &Cove, name: &str, folder: &std::path::Path) {
    cove.ok(&["up", folder.to_str().unwrap()]);
    assert_eq!(cove.ok(&["exec", name, "--", "cat", "/built", "/data/kept", "work"]), "built\nkept\nmine\n");
    let order = fs::read_to_string(folder.join("order")).unwrap();
    assert!(order.contains("onCreate\n") && order.ends_with("postCreate\n"), "{order}");
    assert_eq!(fs::read_to_string(folder.join("work")).unwrap(), "mine\n");
}

/// Starts `up`, does something harmful a little later, and waits for the end of it.
fn disturbed(cove: &Cove, folder: &std::path::Path, after: Duration, harm: impl FnOnce()) {
    let arguments = ["up", folder.to_str().unwrap()];
    let child = cove
        .command(&arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The moment does not matter, only that there are several of them: no waiting for anything here.
    std::thread::sleep(after);
    harm();
    finish(child, &arguments);
}

pub(crate) fn killing_the_command_line(cove: &Cove) {
    let folder = slow_project(cove, "kill-cli");
    disturbed(cove, &folder, Duration::from_millis(1500), || {
        until("it runs", || cove.kill("cove up") > 0);
    });
    heals(cove, "kill-cli", &folder);
    cove.ok(&["rm", "--yes", "kill-cli"]);
}

pub(crate) fn killing_the_daemon(cove: &Cove) {
    cove.ok(&["machine", "start"]);
    let folder = slow_project(cove, "kill-daemon");
    let machine = cove.json(&["machine", "status"])["status"]["shim_pid"].clone();
    for after in [300, 2000, 4500] {
        disturbed(cove, &folder, Duration::from_millis(after), || {
            until("there is a daemon", || cove.kill("coved serve") > 0);
        });
    }
    heals(cove, "kill-daemon", &folder);
    assert_eq!(
        cove.json(&["machine", "status"])["status"]["shim_pid"],
        machine,
        "the machine ran on and was adopted"
    );
    cove.ok(&["rm", "--yes", "kill-daemon"]);
}

pub(crate) fn killing_the_engine(cove: &Cove) {
    let folder = slow_project(cove, "kill-engine");
    disturbed(cove, &folder, Duration::from_millis(2500), || {
        cove.run(&["machine", "shell", "--", "sh", "-c", "kill -9 $(pidof dockerd)"]);
    });
    heals(cove, "kill-engine", &folder);
    cove.ok(&["rm", "--yes", "kill-engine"]);
}

pub(crate) fn killing_the_machine(cove: &Cove) {
    let folder = slow_project(cove, "kill-machine");
    for after in [1000, 20000] {
        disturbed(cove, &folder, Duration::from_millis(after), || {
            cove.kill("qemu-system");
        });
    }
    heals(cove, "kill-machine", &folder);
    cove.ok(&["rm", "--yes", "kill-machine"]);
}

pub(crate) fn killing_the_shim_leaves_nothing_behind(cove: &Cove) {
    cove.ok(&["machine", "start"]);
    assert!(!cove.processes("qemu-system").is_empty() && !cove.processes("virtiofsd").is_empty());
    assert!(cove.kill("cove-shim") > 0);
    until("QEMU and virtiofsd end with their shim", || {
        cove.processes("qemu-system").is_empty() && cove.processes("virtiofsd").is_empty()
    });
    // What the dead one left in its folder is in nobody's way.
    cove.ok(&["machine", "start"]);
    has_base(cove);
    let said = cove.docker(&["run", "--rm", "cove/base:trixie", "echo", "fine"]);
    assert_eq!(said.out, "fine\n", "{said:?}");
}
