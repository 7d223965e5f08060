//! `cove-inside grants`, as the daemon starts it anew when other registries are granted.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

#[test]
fn one_that_ends_leaves_the_entries_of_the_next() {
    let temp = tempfile::tempdir().unwrap();
    let config = temp.path().join("config.json");
    let read = || serde_json::from_slice::<Value>(&std::fs::read(&config).unwrap()).unwrap();
    let begin = |registries: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cove-inside"));
        command.arg("grants").args(registries).env("DOCKER_CONFIG", temp.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Its first word is that it is ready.
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        child
    };
    let end = |mut child: Child| {
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    };
    let first = begin(&["one.example"]);
    assert_eq!(read(), json!({"credHelpers": {"one.example": "cove"}}));
    let second = begin(&["one.example", "two.example"]);
    end(first);
    assert_eq!(read(), json!({"credHelpers": {"one.example": "cove", "two.example": "cove"}}));
    end(second);
    assert!(!config.exists(), "nobody is asked for a login any more");
}
