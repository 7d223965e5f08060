//! State folders, and programs as people run them.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long programs may take for what they do by themselves.
const PATIENCE: Duration = Duration::from_mins(1);

/// A computer and a server's computer. All of it goes with the value.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// A server; it ends with the value.
pub(crate) struct Server {
    child: Child,
    address: String,
}

/// A daemon; it ends with the value.
pub(crate) struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(program.exists(), "{} is not built; run `cargo build --workspace`", program.display());
    program
}

impl Place {
    pub(crate) fn new() -> Self {
        // Short: paths of unix sockets are limited to 107 bytes.
        Self { folder: tempfile::Builder::new().prefix("cvt").tempdir_in("/tmp").unwrap() }
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A folder of the computer; its path.
    pub(crate) fn folder(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        fs::create_dir(&path).unwrap();
        path.display().to_string()
    }

    /// A server that answers.
    pub(crate) fn serve(&self) -> Server {
        // Not any: what the system gives to others in the meantime is not had again after a kill.
        self.serve_at(&format!("https://localhost:{}", test_support::free_port()))
    }

    /// The same, where computers look for it.
    pub(crate) fn serve_at(&self, address: &str) -> Server {
        let (_, port) = address.rsplit_once(':').unwrap();
        let listen = format!("127.0.0.1:{port}");
        let mut command = self.control(&["serve", "--listen", &listen]);
        let mut child = command.env("NO_COLOR", "1").stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            Some(line.split("address=").nth(1)?.split_whitespace().next()?.to_owned())
        });
        // Its pipe is emptied, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        let server = Server { child, address: address.expect("the server tells its address") };
        let begun = Instant::now();
        while !self.control(&["get", "organizations"]).output().unwrap().status.success() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn control(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("cove-control"));
        command
            .args(arguments)
            .env("COVE_CONTROL_HOME", self.folder.path().join("server"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn control_ok(&self, arguments: &[&str]) -> String {
        let output = self.control(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A file that its owner alone can read.
    pub(crate) fn private_file(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.file(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The daemon of a host that nobody sits at. `cove daemon stop` ends it, as it ends with the place.
    pub(crate) fn headless(&self, arguments: &[&str]) -> Daemon {
        let mut command = Command::new(program("coved"));
        command.arg("--headless").args(arguments).env("COVE_HOME", self.folder.path().join("computer"));
        let daemon = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        let socket = self.folder.path().join("computer/run/coved.sock");
        while UnixStream::connect(&socket).is_err() {
            assert!(begun.elapsed() < PATIENCE, "the daemon does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Daemon(daemon)
    }

    /// The computer is gone, with all that it had.
    pub(crate) fn lose_computer(&self) {
        self.cove_ok(&["daemon", "stop"], "");
        let (computer, begun) = (self.folder.path().join("computer"), Instant::now());
        // A database that is being closed still makes files, and takes them away.
        while let Err(error) = fs::remove_dir_all(&computer) {
            assert!(begun.elapsed() < PATIENCE, "{error}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The server's disk is gone.
    pub(crate) fn lose_server(&self) {
        fs::remove_dir_all(self.folder.path().join("server")).unwrap();
    }

    /// Waits for something that programs do by themselves.
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            let said = || self.cove_ok(&["control", "status"], "");
            assert!(begun.elapsed() < PATIENCE, "{what}: it is not so\n{}", said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// An environment, as the server has it; null if it has none.
    pub(crate) fn environment(&self, name: &str) -> Value {
        let all: Value =
            serde_json::from_str(&self.control_ok(&["get", "environments", "-o", "json"])).unwrap();
        let all = all.as_array().unwrap();
        all.iter().find(|one| one["metadata"]["name"] == name).cloned().unwrap_or_default()
    }

    /// Names of the server's environments.
    pub(crate) fn names(&self) -> Vec<String> {
        let all: Value =
            serde_json::from_str(&self.control_ok(&["get", "environments", "-o", "json"])).unwrap();
        let name = |one: &Value| one["metadata"]["name"].as_str().unwrap().to_owned();
        all.as_array().unwrap().iter().map(name).collect()
    }

    /// An environment, as the computer has it.
    pub(crate) fn here(&self, name: &str) -> Value {
        serde_json::from_str(&self.cove_ok(&["show", name, "--json"], "")).unwrap()
    }

    /// Changes what the server wants of an environment, as a person does with a file.
    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut spec = self.environment(name)["spec"].clone();
        change(&mut spec);
        let draft = serde_json::json!({ "kind": "Environment", "metadata": { "name": name }, "spec": spec });
        self.control_ok(&["apply", "-f", &self.file("edit.yaml", &draft.to_string())]);
    }

    /// A command of `cove-control` that fails; all that it said.
    pub(crate) fn control_fails(&self, arguments: &[&str]) -> String {
        let output = self.control(arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    /// The authority that a computer's command names, and the token for it.
    pub(crate) fn token(&self, runner: &str) -> (String, String) {
        let said = self.control_ok(&["runner", "token", runner]);
        let mut words = said.split_whitespace();
        let authority = words.by_ref().skip_while(|word| *word != "--authority").nth(1).unwrap();
        let token = words.find(|word| word.starts_with("cove_enrol_")).unwrap();
        (authority.to_owned(), token.to_owned())
    }

    fn cove(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(program("cove"));
        command
            .args(arguments)
            .env("COVE_HOME", self.folder.path().join("computer"))
            .env("NO_COLOR", "1")
            // Nothing of a test is for the keyring of who runs it.
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may not want any.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// A command of `cove` that succeeds, with something on its standard input; all that it said.
    pub(crate) fn cove_ok(&self, arguments: &[&str], input: &str) -> String {
        let output = self.cove(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    /// A command of `cove` that fails; all that it said.
    pub(crate) fn cove_fails(&self, arguments: &[&str], input: &str) -> String {
        let output = self.cove(arguments, input);
        assert!(!output.status.success(), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    /// Everything in the computer's state folder, as text.
    pub(crate) fn all_that_is_kept(&self) -> String {
        let mut text = String::new();
        let mut folders = vec![self.folder.path().join("computer")];
        while let Some(folder) = folders.pop() {
            // A daemon that is at work takes some of it away meanwhile.
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(entry.path());
                } else if let Ok(bytes) = fs::read(entry.path()) {
                    text.push_str(&String::from_utf8_lossy(&bytes));
                }
            }
        }
        text
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.cove(&["daemon", "stop"], "");
    }
}

impl Server {
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Ends it as a loss of power would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
