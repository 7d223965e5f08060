//! `cove migrate`: what people see, and what a kill leaves. Where something is copied, between real engines; see
//! `test_support::dockerd` for what these need.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use test_support::dockerd::{BASE_IMAGE, Dockerd};

use crate::fake::Fake;

fn fake() -> Fake {
    Fake::start(Vec::new(), Vec::new())
}

/// A source, and a daemon whose machine is another engine.
fn engines() -> Option<(Fake, Dockerd, Dockerd)> {
    let (source, target) = (Dockerd::start()?, Dockerd::start()?);
    target.docker(&["rmi", BASE_IMAGE]);
    let fake = fake();
    std::os::unix::fs::symlink(target.socket(), fake.home.path().join("run/docker.sock")).unwrap();
    Some((fake, source, target))
}

#[test]
fn where_nobody_is_every_place_is_named() {
    insta::assert_snapshot!(fake().run(&["migrate", "colima", "--profile", "big"]).all(), @r"
    --- stderr
    error[E0401]: there is no engine's socket at `HOME/.colima/big/docker.sock` or `HOME/.config/colima/big/docker.sock`
    hint: start it with `colima start big --runtime docker`; `colima list` shows the profiles
    hint: or say where its socket is: `--socket PATH`
    see: cove explain E0401
    --- status 1
    ");
    insta::assert_snapshot!(fake().run(&["migrate", "docker-desktop"]).all(), @r"
    --- stderr
    error[E0401]: there is no engine's socket at `HOME/.docker/run/docker.sock` or `HOME/.docker/desktop/docker.sock`
    hint: start Docker Desktop and wait until its engine runs
    hint: or say where its socket is: `--socket PATH`
    see: cove explain E0401
    --- status 1
    ");
}

#[test]
fn a_socket_without_an_engine_is_said_to_be_one() {
    let fake = fake();
    let socket = fake.home.path().join(".orbstack/run/docker.sock");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let ran = fake.run(&["migrate", "orbstack", "--yes"]);
    assert_eq!(ran.status, Some(1));
    assert!(
        ran.err.contains("error[E0401]: no engine answers at `HOME/.orbstack/run/docker.sock`"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("start OrbStack"), "{}", ran.err);
}

#[test]
fn coves_own_engine_is_refused() {
    let ran = fake().run(&["migrate", "--socket", "run/docker.sock"]);
    assert!(ran.err.contains("the source is Cove's own engine"), "{}", ran.err);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn what_is_shown_is_what_is_done() {
    let Some((fake, source, target)) = engines() else { return };
    source.docker(&["tag", BASE_IMAGE, "app:1"]);
    source.docker(&["run", "--rm", "-v", "data:/v", "app:1", "sh", "-c", "echo 1 > /v/a; mkdir /v/b"]);
    source.docker(&["create", "--name", "web", "-v", "data:/data", "-v", "/srv/hidden:/h", "app:1", "true"]);
    source.docker(&["run", "-d", "--name", "db", "-v", "busy:/v", "app:1", "sleep", "100000"]);
    let socket = source.socket().into_string();
    let cove = |words: &[&str]| fake.run(&[&["migrate", "--socket", &socket], words].concat());

    let shown = cove(&["--dry-run"]);
    assert_eq!(shown.status, Some(0), "{}", shown.err);
    for expected in [
        "container  web",
        "left out: the container `db` runs with it",
        "the machine does not see `/srv/hidden`",
        "hint: stop db at the source and run this again",
    ] {
        assert!(shown.out.contains(expected), "no {expected:?} in\n{}", shown.out);
    }
    let plan: Value = serde_json::from_str(&cove(&["--dry-run", "--json"]).out).unwrap();
    let item = plan["items"].as_array().unwrap().iter().find(|item| item["name"] == "busy").unwrap();
    assert_eq!((&item["kind"], &item["action"]), (&"volume".into(), &"leave_out".into()));
    assert_eq!(target.docker(&["ps", "-aq"]), "");

    let unasked = cove(&[]);
    assert_eq!(unasked.status, Some(1));
    assert!(unasked.err.contains("nobody to be asked") && unasked.err.contains("--yes"), "{}", unasked.err);

    // Something is left out, so not all is well.
    let ran = cove(&["--yes"]);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    assert!(
        ran.out.contains("1 of 1 images verified\n1 of 2 volumes verified: 2 entries with 2 B"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("1 of 2 containers verified"), "{}", ran.out);
    assert!(ran.err.contains("volume data") && ran.err.contains("container web"), "{}", ran.err);
    assert_eq!(target.docker(&["run", "--rm", "-v", "data:/v", "app:1", "cat", "/v/a"]), "1");

    source.docker(&["stop", "--time", "0", "db"]);
    let report: Value = serde_json::from_str(&cove(&["--yes", "--json", "--quiet"]).out).unwrap();
    assert_eq!(report["complete"], true, "{report:#}");
    let again = cove(&[]);
    assert_eq!(again.status, Some(0), "nothing is left to be asked for: {}", again.err);
}

#[test]
fn after_a_kill_the_next_run_goes_on() {
    let Some((fake, source, target)) = engines() else { return };
    let script = "dd if=/dev/urandom of=/v/big bs=1M count=64 2>/dev/null";
    source.docker(&["run", "--rm", "-v", "data:/v", BASE_IMAGE, "sh", "-c", script]);
    let socket = source.socket().into_string();
    let words = ["migrate", "--socket", &socket, "--only", "volumes", "--yes"];
    let mut child = fake.cove(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while target.docker(&["ps", "-aq", "--filter", "label=dev.cove.migration=filling"]).is_empty() {
        assert!(Instant::now() < deadline, "it did not begin");
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        // The engine tells of nothing earlier than its list does.
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let ran = fake.run(&words);
    assert_eq!(ran.status, Some(0), "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("1 of 1 volumes verified: 1 entry with 64.0 MiB"), "{}", ran.out);
    for engine in [&source, &target] {
        assert_eq!(engine.docker(&["ps", "-aq", "--filter", "label=dev.cove.migration"]), "");
    }
}
