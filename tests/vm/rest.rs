//! Halted as it is, and going on again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cove::{Cove, has_base, until};

/// How long the machine stands still: longer than anything in it would pause by itself.
const STANDSTILL: Duration = Duration::from_secs(8);

/// In seconds: an emulated machine takes its time. A clock that stood still would be behind by all of the standstill.
const TOLERANCE: u64 = 3;

pub(crate) fn a_paused_machine_goes_on_with_the_right_time(cove: &Cove) {
    cove.ok(&["machine", "start"]);
    has_base(cove);
    let count = "while :; do cut -d' ' -f1 /proc/uptime; sleep 0.2; done";
    let said = cove.docker(&["run", "-d", "--name", "counter", "cove/base:trixie", "sh", "-c", count]);
    assert_eq!(said.status, 0, "{said:?}");
    until("it counts", || counted(cove).len() > 3);
    let started = inspected(cove, "{{.State.StartedAt}}");
    let before = counted(cove);

    // A docker call goes through the pause: it waits until the clock is right.
    pause(cove);
    assert_time(|| cove.docker(&["exec", "counter", "date", "+%s"]).out);
    assert_eq!(phase(cove), "running");
    assert_eq!(cove.json(&["machine", "status"])["spec"]["paused"], false, "who uses it takes the wish back");
    until("it goes on counting", || counted(cove).len() > before.len() + 5);
    assert_eq!(inspected(cove, "{{.State.StartedAt}}"), started);
    // In the container nothing happened: the machine's own time stood still as well.
    let gaps = counted(cove).windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    assert!(gaps < STANDSTILL.as_secs_f64() * 0.75, "a gap of {gaps} s");

    // So does a command in the machine.
    pause(cove);
    assert_time(|| cove.ok(&["machine", "shell", "--", "date", "+%s"]));
    // And a person lets it go on.
    pause(cove);
    cove.ok(&["machine", "resume"]);
    assert_time(|| cove.docker(&["exec", "counter", "date", "+%s"]).out);

    // The daemon is killed meanwhile: the wish is kept, and the next one knows of it.
    pause(cove);
    assert_eq!(cove.kill("coved"), 1);
    assert_eq!(phase(cove), "paused");
    assert_time(|| cove.docker(&["exec", "counter", "date", "+%s"]).out);
    assert_eq!(inspected(cove, "{{.State.StartedAt}}"), started);
    assert_eq!(cove.docker(&["rm", "-f", "counter"]).status, 0);
}

fn pause(cove: &Cove) {
    cove.ok(&["machine", "pause"]);
    std::thread::sleep(STANDSTILL);
    assert_eq!(phase(cove), "paused", "looking at it does not let it go on");
}

fn phase(cove: &Cove) -> String {
    cove.json(&["machine", "status"])["status"]["phase"].as_str().unwrap().to_owned()
}

/// The guest's uptime, each time the container looked.
fn counted(cove: &Cove) -> Vec<f64> {
    cove.docker(&["logs", "counter"]).out.lines().map(|line| line.parse().unwrap()).collect()
}

fn inspected(cove: &Cove, format: &str) -> String {
    cove.docker(&["inspect", "--format", format, "counter"]).out
}

/// Whether a time that is told, in seconds, is one of those while it was told.
fn assert_time(tell: impl FnOnce() -> String) {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let before = now();
    let told = tell();
    let right = before - TOLERANCE..=now() + TOLERANCE;
    let told: u64 = told.trim().parse().unwrap_or_else(|_| panic!("no time: {told:?}"));
    assert!(right.contains(&told), "{told} is not in {right:?}");
}
