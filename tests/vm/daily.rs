//! What people do all day.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use crate::cove::{Cove, fetch, finish, has_base, until};

pub(crate) fn a_folder_without_configuration_comes_up(cove: &Cove) {
    let folder = cove.project("plain", &[("notes.txt", "hello\n")]);
    cove.ok(&["up", folder.to_str().unwrap()]);
    let shown = cove.json(&["show", "plain"]);
    assert_eq!(shown["status"]["phase"], "running");
    assert_eq!(shown["status"]["container"]["remote_user"], "vscode");
    assert_eq!(cove.ok(&["exec", "plain", "--", "cat", "notes.txt"]), "hello\n");
    // Asked again, nothing changes and nothing is made anew.
    cove.ok(&["up", folder.to_str().unwrap()]);
    let again = cove.json(&["show", "plain"]);
    assert_eq!(again["status"]["container"]["id"], shown["status"]["container"]["id"]);
    cove.ok(&["stop", "plain"]);
    assert_eq!(cove.json(&["show", "plain"])["status"]["phase"], "stopped");
    cove.ok(&["start", "plain"]);
    assert_eq!(
        cove.json(&["show", "plain"])["status"]["container"]["id"],
        shown["status"]["container"]["id"]
    );
    cove.ok(&["rm", "--yes", "plain"]);
    assert!(folder.join("notes.txt").is_file(), "removing an environment never touches its folder");
    assert!(cove.docker(&["ps", "-aq", "--filter", "label=dev.cove.environment"]).out.trim().is_empty());
}

pub(crate) fn files_made_inside_belong_to_the_caller(cove: &Cove) {
    let folder = cove.project("owners", &[("from-host", "x")]);
    cove.ok(&["up", folder.to_str().unwrap()]);
    let script = "touch by-user && mkdir -p dir && echo deep > dir/file && sudo touch by-root && echo changed > from-host";
    cove.ok(&["exec", "owners", "--", "sh", "-c", script]);
    let me = fs::metadata(&folder).unwrap();
    for name in ["by-user", "dir", "dir/file", "by-root", "from-host"] {
        let file = fs::metadata(folder.join(name)).unwrap();
        assert_eq!((file.uid(), file.gid()), (me.uid(), me.gid()), "{name}");
    }
    assert_eq!(fs::read_to_string(folder.join("from-host")).unwrap(), "changed\n");
    assert_eq!(
        cove.ok(&["exec", "owners", "--", "stat", "-c", "%U", "from-host", "by-root"]),
        "vscode\nvscode\n"
    );
    cove.ok(&["rm", "--yes", "owners"]);
}

pub(crate) fn exec_hands_over_status_input_and_output(cove: &Cove) {
    let folder = cove.project("exec", &[]);
    cove.ok(&["up", folder.to_str().unwrap()]);
    assert_eq!(cove.run(&["exec", "exec", "--", "sh", "-c", "exit 42"]).status, 42);
    assert_eq!(cove.run(&["exec", "exec", "--", "sh", "-c", "kill -TERM $$"]).status, 143);
    let said = cove.run(&["exec", "exec", "--", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("out\n", "err\n"));
    assert_eq!(
        cove.ok(&["exec", "exec", "-e", "GREETING=good day", "--", "sh", "-c", "echo $GREETING"]),
        "good day\n"
    );
    assert_eq!(
        cove.ok(&["exec", "exec", "-u", "root", "-w", "/tmp", "--", "sh", "-c", "whoami; pwd"]),
        "root\n/tmp\n"
    );

    // Bulk in, bulk out, nothing lost.
    let arguments = ["exec", "exec", "-i", "--", "wc", "-c"];
    let mut command = cove.command(&arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut input, &vec![b'x'; 3_000_000]));
    let said = finish(child, &arguments);
    writer.join().unwrap().unwrap();
    assert_eq!(said.out.trim(), "3000000", "{said:?}");
    let many = cove.ok(&["exec", "exec", "--", "sh", "-c", "seq 1 200000"]);
    assert_eq!((many.lines().count(), many.lines().last()), (200_000, Some("200000")));

    // A terminal, through a pseudo-terminal on this side too.
    let line = "cove exec -t exec -- sh -c 'test -t 0 && test -t 1 && stty size'";
    let said = finish(
        cove.command(&[]).get_program().to_owned().pipe(|program| {
            let folder = std::path::Path::new(&program).parent().unwrap().to_owned();
            let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
            std::process::Command::new("script")
                .args(["-qec", &format!("stty rows 33 cols 77; {line}"), "/dev/null"])
                .env("PATH", path)
                .env("COVE_HOME", cove.home())
                .env("TERM", "xterm")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("script belongs to util-linux")
        }),
        &[line],
    );
    assert!(said.out.contains("33 77"), "{said:?}");
    cove.ok(&["rm", "--yes", "exec"]);
}

/// Calls a function on a value, for a chain that reads forwards.
trait Pipe: Sized {
    fn pipe<T>(self, call: impl FnOnce(Self) -> T) -> T {
        call(self)
    }
}

impl<T> Pipe for T {}

pub(crate) fn hooks_run_in_order_and_once(cove: &Cove) {
    let config = r#"{
        // Every form of a command.
        "image": "cove/base:trixie",
        "containerEnv": { "FROM_CONTAINER": "a b" },
        "remoteEnv": { "FROM_REMOTE": "${containerEnv:FROM_CONTAINER}!" },
        "onCreateCommand": "echo onCreate >> order",
        "updateContentCommand": ["sh", "-c", "echo updateContent >> order"],
        "postCreateCommand": { "one": "echo one > one", "two": ["touch", "two"] },
        "postStartCommand": "echo postStart \"$FROM_REMOTE\" $(pwd) $(whoami) >> order",
        "postAttachCommand": "echo postAttach >> order",
    }"#;
    let folder = cove.project("hooks", &[(".devcontainer/devcontainer.json", config)]);
    let up = ["up", folder.to_str().unwrap()];
    cove.ok(&up);
    let first = "onCreate\nupdateContent\npostStart a b! /workspaces/hooks vscode\npostAttach\n";
    assert_eq!(fs::read_to_string(folder.join("order")).unwrap(), first);
    assert!(folder.join("one").is_file() && folder.join("two").is_file());
    cove.ok(&up);
    assert_eq!(
        fs::read_to_string(folder.join("order")).unwrap(),
        first,
        "a second `up` of a running one runs nothing"
    );
    cove.ok(&["stop", "hooks"]);
    cove.ok(&["start", "hooks"]);
    let second = format!("{first}postStart a b! /workspaces/hooks vscode\npostAttach\n");
    assert_eq!(fs::read_to_string(folder.join("order")).unwrap(), second);

    // initializeCommand runs on this computer, and only once a person agreed.
    let asks = config.replace("\"image\"", "\"initializeCommand\": \"touch from-the-host\",\n\"image\"");
    fs::write(folder.join(".devcontainer/devcontainer.json"), asks).unwrap();
    let said = cove.run(&up);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(format!("{}{}", said.out, said.err).contains("initializeCommand"), "{said:?}");
    assert!(!folder.join("from-the-host").exists());
    cove.ok(&["up", folder.to_str().unwrap(), "--trust"]);
    assert!(folder.join("from-the-host").is_file());
    cove.ok(&["rm", "--yes", "hooks"]);
}

pub(crate) fn a_dockerfile_with_arguments_and_its_own_user(cove: &Cove) {
    let folder = cove.example("dockerfile-args");
    cove.ok(&["up", folder.to_str().unwrap()]);
    assert_eq!(cove.ok(&["exec", "dockerfile-args", "--", "whoami"]), "dev\n");
    assert_eq!(
        cove.ok(&["exec", "dockerfile-args", "--", "sh", "-c", "echo $GREETING"]),
        "Hello from development\n"
    );
    // A user of another number works in the shared folder all the same.
    cove.ok(&["exec", "dockerfile-args", "--", "sh", "-c", "touch mine && rm mine"]);
    cove.ok(&["rm", "--yes", "dockerfile-args"]);
}

pub(crate) fn the_host_s_certificates_reach_builds_and_containers(cove: &Cove) {
    has_base(cove);
    // Every computer trusts the public set; extra ones show only where there are some.
    let said = cove.docker(&[
        "run",
        "--rm",
        "cove/base:trixie",
        "sh",
        "-c",
        "cat \"$SSL_CERT_FILE\" | grep -c BEGIN",
    ]);
    let extra =
        fs::read_dir("/usr/local/share/ca-certificates").is_ok_and(|mut entries| entries.next().is_some());
    if extra {
        let count: usize = said.out.trim().parse().unwrap_or_else(|_| panic!("{said:?}"));
        assert!(count > 100, "the public set and the extra ones: {count}");
    }
    let doctor = cove.ok(&["doctor"]);
    assert!(doctor.to_lowercase().contains("certificate"), "{doctor}");
}

pub(crate) fn the_example_answers(cove: &Cove) {
    let folder = cove.example("flask-postgres");
    cove.ok(&["up", folder.to_str().unwrap()]);
    let shown = cove.json(&["show", "flask-postgres"]);
    let port = shown.pointer("/status/ports/0/host_port").and_then(serde_json::Value::as_u64);
    let port = u16::try_from(port.unwrap_or_else(|| panic!("no port is forwarded: {shown:#}"))).unwrap();
    until("the web app answers", || fetch(port).is_ok_and(|answer| answer.contains(" 200 ")));
    cove.ok(&["rm", "--yes", "flask-postgres"]);
}
