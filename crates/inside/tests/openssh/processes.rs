//! Commands, shells and terminals.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use crate::client::{Client, line_in, noise, runs, text, until};

#[test]
fn a_command_has_its_outputs_apart_and_its_status() {
    let client = Client::new();
    let output = client.ssh(&["web.cove", "echo out; echo err >&2; exit 42"]).output().unwrap();
    assert_eq!(output.status.code(), Some(42), "{}", text(&output));
    assert_eq!((output.stdout, output.stderr), (b"out\n".to_vec(), b"err\n".to_vec()));
}

#[test]
fn a_command_that_dies_by_a_signal_is_told_so() {
    let client = Client::new();
    let output = client.ssh(&["-v", "web.cove", "kill -TERM $$; sleep 9"]).output().unwrap();
    assert_eq!(output.status.code(), Some(255));
    let said = text(&output);
    assert!(said.contains("exit-signal") || said.contains("signal"), "{said}");
}

#[test]
fn input_reaches_the_command_and_so_does_its_end() {
    let client = Client::new();
    let mut child = client
        .ssh(&["web.cove", "sha256sum; echo after"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let sent = noise(40 << 20);
    child.stdin.take().unwrap().write_all(&sent).unwrap();
    let output = child.wait_with_output().unwrap();
    let expected = sha256(&sent);
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{expected}  -\nafter\n"));
}

/// More goes in than may wait, while nothing is read of what comes out: only the bounds keep this alive.
#[test]
fn a_slow_reader_of_a_fast_echo_gets_every_byte() {
    let client = Client::new();
    let mut child =
        client.ssh(&["web.cove", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let sent = noise(24 << 20);
    let expected = sha256(&sent);
    let mut input = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || input.write_all(&sent));
    std::thread::sleep(std::time::Duration::from_secs(2));
    let mut received = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut received).unwrap();
    writing.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(sha256(&received), expected);
}

#[test]
fn one_connection_has_many_channels_and_a_stuck_one_holds_up_none() {
    let client = Client::new();
    let control = client.path("control");
    let options = ["-o", "ControlPersist=no", "-S", control.as_str()];
    let mut master = client.ssh(&[&options[..], &["-M", "-N", "web.cove"]].concat()).spawn().unwrap();
    until("the master", || control.exists());
    let stuck_arguments = [&options[..], &["web.cove", "sleep 60"]].concat();
    let mut stuck = client.ssh(&stuck_arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut flood = stuck.stdin.take().unwrap();
    let sent = noise(4 << 20);
    let flooding = std::thread::spawn(move || flood.write_all(&sent));
    let output = client.ssh(&[&options[..], &["web.cove", "echo alive"]].concat()).output().unwrap();
    assert_eq!(output.stdout, b"alive\n", "{}", text(&output));
    flooding.join().unwrap().unwrap();
    let _ = stuck.kill().and_then(|()| stuck.wait());
    master.kill().unwrap();
    master.wait().unwrap();
}

#[test]
fn variables_are_those_of_the_server_and_the_few_that_a_client_brings() {
    let client = Client::new();
    let words = ["-o", "SendEnv=LC_ALL", "-o", "SetEnv=COLORTERM=truecolor PATH=/evil", "web.cove"];
    let script = "echo \"$LC_ALL $COLORTERM\"; echo $SSH_CONNECTION; case $PATH in /evil) echo evil;; esac";
    let output = client.ssh(&[&words[..], &[script]].concat()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "C.UTF-8 truecolor\n127.0.0.1 0 127.0.0.1 22\n");
}

#[test]
fn a_shell_is_a_login_shell_and_reads_a_script_from_its_input() {
    let client = Client::new();
    // What VS Code's Remote-SSH does: it asks for a shell without a terminal and hands a script over.
    let mut child = client
        .ssh(&["-T", "-o", "RemoteCommand=none", "web.cove", "bash", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"shopt -q login_shell || echo plain\necho ready\nexit 3\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(3), b"plain\nready\n".to_vec()));
    let mut child =
        client.ssh(&["-T", "web.cove"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"shopt -q login_shell && echo login; echo $0\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "login\n-bash\n");
}

/// Runs ssh on a terminal of `script`'s, as OpenSSH looks for one.
fn on_a_terminal(client: &Client, remote: &str, local: &str) -> String {
    let ssh = format!("ssh -F '{}' -tt web.cove \"{remote}\"", client.path("config"));
    let line = format!("stty rows 33 columns 101 -echo; {local} {ssh}");
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm-256color");
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_terminal_has_the_size_and_kind_of_the_clients() {
    let client = Client::new();
    let said = on_a_terminal(&client, "stty size; echo \\$TERM; tty; echo \\$SSH_TTY", "");
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert_eq!(lines[..2], ["33 101", "xterm-256color"], "{said}");
    assert!(lines[2].starts_with("/dev/pts/") && lines[2] == lines[3], "{said}");
}

#[test]
fn a_terminal_follows_the_size_of_the_clients() {
    let client = Client::new();
    let resized = client.path("resized");
    // The waiting command tells when it waits, and the client's terminal is made another size then.
    let waiting = client.path("waiting");
    let change =
        format!("(while ! test -e '{waiting}'; do sleep 0.05; done; stty rows 50 columns 77 </dev/tty) &");
    let remote = format!(
        "trap 'stty size > \\\"{resized}\\\"; exit' WINCH; echo > \\\"{waiting}\\\"; while :; do sleep 0.1; done"
    );
    on_a_terminal(&client, &remote, &change);
    assert_eq!(line_in(&resized), "50 77");
}

#[test]
fn what_was_typed_reaches_a_terminal_and_control_c_its_program() {
    let client = Client::new();
    let ssh = [
        "-tt",
        "web.cove",
        "trap 'echo caught; exit 5' INT; echo waiting; read line; echo got $line; sleep 60",
    ];
    let mut child =
        client.ssh(&ssh).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut said = String::new();
    let mut wait_for = |words: &str| {
        let mut byte = [0];
        while !said.contains(words) {
            assert_eq!(output.read(&mut byte).unwrap(), 1, "{said}");
            said.push(char::from(byte[0]));
        }
    };
    wait_for("waiting");
    input.write_all(b"hello\r").unwrap();
    wait_for("got hello");
    input.write_all(b"\x03").unwrap();
    wait_for("caught");
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn processes_end_with_their_connection() {
    for (terminal, how) in [("-T", "killed"), ("-tt", "killed"), ("-T", "server killed")] {
        let client = Client::new();
        let pid = client.path("pid");
        let mut child = client
            .ssh(&[terminal, "web.cove", &format!("echo $$ > '{pid}'; sleep 60; true")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let number = line_in(&pid);
        assert!(runs(&number));
        if how == "server killed" {
            let parent = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap();
            let parent = parent.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().to_owned();
            assert!(Command::new("kill").args(["-KILL", &parent]).status().unwrap().success());
            until(how, || !runs(&number));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        until(how, || !runs(&number));
    }
}

#[test]
fn only_the_one_key_comes_in_and_only_the_vouched_host_is_spoken_to() {
    let client = Client::new();
    let other = Client::new();
    let identity = format!("IdentityFile=\"{}\"", other.path("keys/id_ed25519"));
    let config = client.path("config");
    let text_of = std::fs::read_to_string(&config).unwrap();
    let own = text_of.lines().find(|line| line.contains("IdentityFile")).unwrap();
    std::fs::write(&config, text_of.replace(own, &format!("  {}", identity.replace('=', " ")))).unwrap();
    let output = client.ssh(&["web.cove", "true"]).output().unwrap();
    assert!(text(&output).contains("Permission denied (publickey)"), "{}", text(&output));

    let stranger = Client::of("other.cove");
    let output = stranger.ssh(&["web.cove", "true"]).output().unwrap();
    assert!(text(&output).contains("Host key verification failed"), "{}", text(&output));
}

#[test]
fn the_name_before_the_host_is_not_looked_at() {
    let client = Client::new();
    let output = client.ssh(&["somebody@web.cove", "id -un"]).output().unwrap();
    let own = Command::new("id").arg("-un").output().unwrap();
    assert_eq!(output.stdout, own.stdout, "{}", text(&output));
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut child = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap().to_owned()
}
