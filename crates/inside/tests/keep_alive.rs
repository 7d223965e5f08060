//! `cove-inside keep-alive`: the command ends, and hears, as if nobody held it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cove-inside");

/// Counts what it is told.
const COUNTS: &str = "n=0; for name in HUP INT QUIT USR1 USR2; do trap \"n=\\$((n+1)); echo $name \\$n\" $name; done; \
                      trap 'echo TERM; exit 9' TERM; echo ready; while :; do sleep 0.05; done";

fn tell(child: &Child, signal: &str) {
    let kill = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(kill.is_ok_and(|status| status.success()), "{signal}");
}

#[test]
fn its_end_is_that_of_the_command() {
    for (words, status) in [
        (&["--", "sh", "-c", "exit 0"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["--", "sh", "-c", "kill -TERM $$"], 143),
        (&["--", "sh", "-c", "kill -KILL $$"], 137),
        (&["--", "/no/such/program"], 1),
        (&["--"], 1),
    ] {
        let output = Command::new(PROGRAM).arg("keep-alive").args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{words:?} {output:?}");
        assert_eq!(output.stderr.is_empty(), status != 1, "{words:?} {output:?}");
    }
}

#[test]
fn signals_are_handed_on() {
    // Whoever runs the tests may ignore some, as `nohup` does.
    let mut held = Command::new("env");
    held.args(["--default-signal=HUP,INT,QUIT,USR1,USR2,TERM", PROGRAM]);
    held.args(["keep-alive", "--", "sh", "-c", COUNTS]).stdin(Stdio::null()).stdout(Stdio::piped());
    // Not the foreground of who runs the tests, whose keys it would have.
    std::os::unix::process::CommandExt::process_group(&mut held, 0);
    let mut held = held.spawn().unwrap();
    let mut lines = BufReader::new(held.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    assert_eq!(line(), "ready");
    for (number, signal) in ["HUP", "INT", "QUIT", "USR1", "USR2"].into_iter().enumerate() {
        tell(&held, signal);
        assert_eq!(line(), format!("{signal} {}", number + 1));
    }
    tell(&held, "TERM");
    assert_eq!(line(), "TERM");
    assert_eq!(held.wait().unwrap().code(), Some(9));
}

/// As those of `nohup`, and of `&` in a script.
#[test]
fn signals_that_were_ignored_before_are_ignored_by_both() {
    let script = format!("trap '' HUP INT QUIT; exec {PROGRAM} keep-alive -- sh -c \"$COMMAND\"");
    let mut held = Command::new("env")
        .args(["--default-signal=HUP,INT,QUIT,USR1,USR2,TERM", "sh", "-c", &script])
        .env("COMMAND", "grep SigIgn /proc/self/status; read end")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(held.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ignored = u64::from_str_radix(line.trim().trim_start_matches("SigIgn:").trim(), 16).unwrap();
    // Hangup, interrupt and quit are the first three.
    assert_eq!(ignored & 0b111, 0b111, "{line}");
    for signal in ["HUP", "INT", "QUIT"] {
        tell(&held, signal);
    }
    held.stdin.take().unwrap().write_all(b"end\n").unwrap();
    assert_eq!(held.wait().unwrap().code(), Some(0));
}

/// A terminal tells all of its foreground, and the command would hear it twice. This one has left the foreground: what it
/// hears came from us.
#[test]
fn keys_are_left_to_the_terminal() {
    let script = "trap 'echo told' INT QUIT; trap 'echo over; exit 0' TERM; echo $PPID ready; while :; do sleep 0.05; done";
    let mut terminal = Command::new("script")
        .args(["-qec", &format!("exec {PROGRAM} keep-alive -- setsid sh -c \"$COMMAND\""), "/dev/null"])
        .env("COMMAND", script)
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keys, mut output) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let mut said = Vec::new();
    let mut until = |end: &str| {
        let mut byte = [0];
        while !said.ends_with(end.as_bytes()) {
            output.read_exact(&mut byte).unwrap();
            said.extend(byte);
        }
        String::from_utf8_lossy(&said).into_owned()
    };
    let keeper = until(" ready").split(' ').next().unwrap().to_owned();
    for (key, shown) in [(b"\x03", "^C"), (b"\x1c", "^\\")] {
        keys.write_all(key).unwrap();
        // It shows what it made a signal of.
        until(shown);
    }
    assert!(Command::new("kill").args(["-s", "TERM", &keeper]).status().unwrap().success());
    let said = until("over");
    assert!(!said.contains("told"), "{said:?}");
    assert_eq!(terminal.wait().unwrap().code(), Some(0));
}
