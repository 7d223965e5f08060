//! `cove` when no daemon runs yet: it starts the one beside itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::fake::{Fake, Ran, running};

/// A folder with `cove` and, as its daemon, a shell script.
fn installed(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::hard_link(env!("CARGO_BIN_EXE_cove"), folder.path().join("cove")).unwrap();
    test_support::put_program(folder.path().join("coved"), &format!("#!/bin/sh\n{script}\n"));
    folder
}

fn run(installed: &Path, home: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(installed.join("cove"));
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("COVE_HOME", home).env("HOME", home);
    Ran::of(command, home)
}

#[test]
fn the_daemon_beside_it_is_started_and_used() {
    // The daemon that answers runs already; the script only puts its socket where it belongs.
    let fake = Fake::start(vec![running("web", "/srv/web")], Vec::new());
    let socket = fake.home.path().join("run/coved.sock");
    let installed = installed(&format!(
        "echo \"$@\" in $PWD\nmkdir -p $COVE_HOME/run\nln -s {} $COVE_HOME/run/coved.sock",
        socket.display()
    ));
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let ran = run(installed.path(), &state, &["ls", "--quiet"]);
    assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.contains("web"), "{}", ran.out);
    let log = fs::read_to_string(state.join("coved.log")).unwrap();
    assert_eq!(log, format!("serve in {}\n", state.display()));
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn one_that_dies_with_the_call_in_its_hands_is_started_again() {
    let fake = Fake::start(vec![running("web", "/srv/web")], Vec::new());
    let socket = fake.home.path().join("run/coved.sock");
    let installed = installed(&format!("ln -sf {} $COVE_HOME/run/coved.sock", socket.display()));
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("run")).unwrap();
    let dying = UnixListener::bind(home.path().join("run/coved.sock")).unwrap();
    let died = std::thread::spawn(move || drop(dying.accept().unwrap()));
    let ran = run(installed.path(), home.path(), &["ls", "--quiet"]);
    assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.contains("web"), "{}", ran.out);
    died.join().unwrap();
}

#[test]
fn a_daemon_that_does_not_come_up_is_shown_with_its_last_words() {
    let installed = installed("echo 'state.db is damaged' >&2\nexit 3");
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("coved.log"), "an older line\n").unwrap();
    let ran = run(installed.path(), home.path(), &["ls"]);
    insta::assert_snapshot!(ran.all().replace(installed.path().to_str().unwrap(), "BIN"), @r"
    --- stderr
    error[E0007]: the daemon `BIN/coved` ended at its start (exit status: 3)
      | state.db is damaged
    hint: start it in the foreground to see what it says
          cove daemon
    see: cove explain E0007
    --- status 1
    ");
}

#[test]
fn a_daemon_that_is_not_installed_is_missed() {
    let installed = installed("");
    fs::remove_file(installed.path().join("coved")).unwrap();
    let home = tempfile::tempdir().unwrap();
    let ran = run(installed.path(), home.path(), &["ls"]);
    insta::assert_snapshot!(ran.all().replace(installed.path().to_str().unwrap(), "BIN"), @r"
    --- stderr
    error[E0007]: the program `coved` is neither beside `BIN/cove` nor in PATH
    hint: install `coved` beside `cove`: both come from one build
    see: cove explain E0007
    --- status 1
    ");
}
