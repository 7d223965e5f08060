//! A computer that follows what its team's control plane declares: with a real server, a real repository and a container.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::clones::Served;
use crate::cove::{Cove, until};

const TEAM: &str = "
kind: Organization
metadata: { name: acme }
spec: { title: Acme }
---
kind: Runner
metadata: { name: here }
spec: { variant: shared }
---
kind: Policy
metadata: { name: base }
spec: { host_mounts: false, stop_after: 3600 }
";

const CONFIG: &str = r#"{
    "image": "cove/base:trixie",
    "mounts": ["type=bind,source=/etc,target=/outside"],
    "postCreateCommand": "echo $API_KEY > /tmp/hooked"
}"#;

/// A server beside the computer; it ends with the value.
struct Server<'a> {
    cove: &'a Cove,
    home: tempfile::TempDir,
    child: Child,
    address: String,
}

impl<'a> Server<'a> {
    fn serve(cove: &'a Cove) -> Self {
        let home = tempfile::Builder::new().prefix("cvc").tempdir_in("/tmp").unwrap();
        let mut command = control(cove, &home);
        let command = command.args(["serve", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            Some(line.split("address=").nth(1)?.split_whitespace().next()?.to_owned())
        });
        // Its pipe is emptied, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        let server = Self { cove, home, child, address: address.expect("the server tells its address") };
        until("the server answers", || server.run(&["get", "organizations"], "").0);
        server
    }

    fn run(&self, arguments: &[&str], input: &str) -> (bool, String) {
        let mut command = control(self.cove, &self.home);
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may not want any.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    fn ok(&self, arguments: &[&str], input: &str) -> String {
        let (succeeded, said) = self.run(arguments, input);
        assert!(succeeded, "cove-control {arguments:?}\n{said}");
        said
    }

    fn apply(&self, text: &str) {
        let file = self.home.path().join("declared.yaml");
        std::fs::write(&file, text).unwrap();
        self.ok(&["apply", "-f", file.to_str().unwrap()], "");
    }

    fn environment(&self) -> Value {
        self.named("web")
    }

    fn named(&self, name: &str) -> Value {
        let all = self.ok(&["get", "environments", "-o", "json"], "");
        let all: Value = serde_json::from_str(&all).unwrap();
        all.as_array()
            .unwrap()
            .iter()
            .find(|one| one["metadata"]["name"] == name)
            .cloned()
            .unwrap_or_default()
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn control(cove: &Cove, home: &tempfile::TempDir) -> Command {
    let mut command = Command::new(cove.program("cove-control"));
    command.env("COVE_CONTROL_HOME", home.path()).env("NO_COLOR", "1").env_remove("DATABASE_URL");
    command
}

fn declared(repository: &str, phase: &str) -> String {
    format!(
        "kind: Environment\nmetadata: {{ name: web }}\nspec:\n  desired_phase: {phase}\n  runner: here\n  \
         source: {{ type: repository, url: \"{repository}\" }}\n  idle: {{}}\n"
    )
}

pub(crate) fn what_is_declared_runs_and_goes_again(cove: &Cove) {
    let origin = cove.project("declared", &[(".devcontainer.json", CONFIG), ("README.md", "hi\n")]);
    let (_served, repository) = Served::repository(cove, &origin, "declared-served");

    let server = Server::serve(cove);
    server.apply(TEAM);
    let invitation = server.ok(&["runner", "token", "here"], "");
    let word = |prefix: &str, after: &str| {
        let words: Vec<&str> = invitation.split_whitespace().collect();
        let at = words
            .iter()
            .position(|word| if after.is_empty() { word.starts_with(prefix) } else { *word == after });
        words[at.unwrap() + usize::from(!after.is_empty())].to_owned()
    };
    let (authority, token) = (word("", "--authority"), word("cove_enrol_", ""));
    let said = cove.run_with_input(&["control", "join", &server.address, "--authority", &authority], &token);
    assert_eq!(said.status, 0, "{said:?}");

    // The value is sealed to this computer before the server sees it, and opened here alone.
    server.ok(&["secret", "set", "api-key", "--variable", "API_KEY"], "s3cr3t-value");
    server.apply(&declared(&repository, "running"));
    until("it runs, and its team sees that", || server.environment()["status"]["phase"] == "running");
    // A server does not choose what of this computer goes into a container.
    server.apply(&declared("file:///etc/secret.git", "running").replace("name: web", "name: chosen"));
    until("it is refused", || server.named("chosen")["status"]["problem"]["code"].is_string());
    server.ok(&["delete", "environment", "chosen"], "");
    let here = cove.json(&["show", "web"]);
    assert_eq!(here["spec"]["idle"]["stop_after"], 3600, "the policy fills in what was left open");
    assert_eq!(cove.ok(&["exec", "web", "--", "cat", "README.md"]), "hi\n");
    assert_eq!(
        cove.ok(&["exec", "web", "--", "sh", "-c", "echo $API_KEY; cat /tmp/hooked"]),
        "s3cr3t-value\ns3cr3t-value\n"
    );
    let outside = cove.run(&["exec", "web", "--", "ls", "/outside"]);
    assert_ne!(outside.status, 0, "the organization allows no mounts of the host: {outside:?}");
    for entry in std::fs::read_dir(server.home.path()).unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("s3cr3t-value"), "{}", entry.path().display());
    }

    // Who it is, it can show others.
    until("it has tokens", || {
        cove.run(&["exec", "web", "--", "cove", "idp", "token", "--audience", "https://vault.example.com"])
            .status
            == 0
    });
    let token =
        cove.ok(&["exec", "web", "--", "cove", "idp", "token", "--audience", "https://vault.example.com"]);
    assert_eq!(token.trim().split('.').count(), 3, "{token}");
    assert!(cove.ok(&["audit", "web"]).contains("took a token for https://vault.example.com"));

    // It follows, in both directions, and work that is nowhere else stays.
    server.apply(&declared(&repository, "stopped"));
    until("it is stopped", || cove.json(&["show", "web"])["status"]["phase"] == "stopped");
    cove.ok(&["start", "web"]);
    until("its team sees that it was started here", || {
        server.environment()["spec"]["desired_phase"] == "running"
    });
    cove.ok(&["exec", "web", "--", "sh", "-c", "echo work > new-file"]);
    server.ok(&["delete", "environment", "web"], "");
    until("why it stays is told", || server.environment()["status"]["problem"]["code"].is_string());
    assert_eq!(cove.ok(&["exec", "web", "--", "cat", "new-file"]), "work\n");
    cove.ok(&["rm", "--yes", "--force", "web"]);
    until("it is gone there as well", || server.environment().is_null());
    server.ok(&["audit", "verify"], "");
    cove.ok(&["control", "leave"]);
}
