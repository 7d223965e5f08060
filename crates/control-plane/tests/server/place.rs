//! A state folder, and the program as people run it.

use std::cell::Cell;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// All of it goes with the value.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    /// The address of its database, where that is no file in the folder.
    database: Option<String>,
}

/// What a command that goes on says; it ends with the value.
pub(crate) struct Lines {
    child: Child,
    said: Receiver<String>,
}

/// A server; it ends with the value.
pub(crate) struct Server {
    child: Child,
    port: Cell<u16>,
    authority: String,
    log: Arc<Mutex<String>>,
}

impl Lines {
    /// The next of them.
    pub(crate) fn next(&self) -> String {
        self.said.recv_timeout(Duration::from_mins(1)).expect("a line comes")
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        // Short: paths of unix sockets are limited to 107 bytes.
        Self { folder: tempfile::Builder::new().prefix("cvc").tempdir_in("/tmp").unwrap(), database: None }
    }

    /// One whose server has this database.
    pub(crate) fn on(database: Option<String>) -> Self {
        Self { database, ..Self::new() }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cove-control"));
        command.args(arguments).env("COVE_CONTROL_HOME", self.path("home")).stdin(Stdio::null());
        match &self.database {
            Some(address) => command.env("DATABASE_URL", address),
            None => command.env_remove("DATABASE_URL"),
        };
        command.env("XDG_CONFIG_HOME", self.path("config"));
        command
    }

    /// A server that answers.
    pub(crate) fn serve(&self) -> Server {
        self.serve_with(&[], &[])
    }

    /// The same, told more and with these in its environment.
    pub(crate) fn serve_with(&self, more: &[&str], environment: &[(&str, &str)]) -> Server {
        let usual = ["serve", "--listen", "127.0.0.1:0", "--name", "localhost"];
        let mut command = self.command(&usual.iter().chain(more).copied().collect::<Vec<_>>());
        let command = command.envs(environment.iter().copied());
        let mut child = command.env("NO_COLOR", "1").stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let told = lines.find_map(|line| {
            let line = line.unwrap();
            let word = |before| line.split(before).nth(1)?.split_whitespace().next().map(ToOwned::to_owned);
            Some((word("https://localhost:")?.parse().unwrap(), word("authority=")?.replace('"', "")))
        });
        let (port, authority) = told.expect("the server tells its address and its authority");
        let log = Arc::default();
        let server = Server { child, port: Cell::new(port), authority, log: Arc::clone(&log) };
        // Its pipe is emptied, so that it never waits for us.
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| log.lock().unwrap().push_str(&(line + "\n")));
        });
        let begun = Instant::now();
        while !self.run(&["get", "organizations"]).status.success() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// A resource, as JSON; null where there is none.
    pub(crate) fn get(&self, kind: &str, name: &str) -> serde_json::Value {
        let output = self.run(&["get", kind, name, "-o", "json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// A command that goes on.
    pub(crate) fn lines(&self, arguments: &[&str]) -> Lines {
        let mut child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (sender, said) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Lines { child, said }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// A command that succeeds; what it said.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, before that server ends.
    pub(crate) fn ok_while(&self, _server: &Server, arguments: &[&str]) -> String {
        self.ok(arguments)
    }

    /// A command that reads this and succeeds; what it said.
    pub(crate) fn ok_given(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> String {
        let output = self.run_given(arguments, input);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command that reads this and fails; what it said of it.
    pub(crate) fn fails_given(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> String {
        let output = self.run_given(arguments, input);
        assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    fn run_given(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that fails first may not read it.
        let _ = child.stdin.take().unwrap().write_all(input.as_ref());
        child.wait_with_output().unwrap()
    }

    /// A command that fails; what it said of it.
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    /// A command of somebody elsewhere, with these in its environment; whether it succeeded, and what it said.
    pub(crate) fn elsewhere(&self, environment: &[(&str, &str)], arguments: &[&str]) -> (bool, String) {
        let output = self.remote(arguments).envs(environment.iter().copied()).output().unwrap();
        let said = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// The same, to be started.
    pub(crate) fn remote(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env("COVE_CONTROL_HOME", self.path("nothing"));
        command
    }

    /// Lets everything of a space be over, as if it had been left alone for long.
    pub(crate) fn end_all(&self, space: &str) {
        let database = rusqlite::Connection::open(self.path("home/control.db")).unwrap();
        database.busy_timeout(Duration::from_secs(30)).unwrap();
        let ended = database.execute("UPDATE records SET expires_at = 1 WHERE space = $1", [space]).unwrap();
        assert!(ended > 0, "there are some");
    }

    /// Whether the audit log tells of something done with the server as a whole: `ACTION NOTE`.
    pub(crate) fn told(&self, what: &str) -> bool {
        let database = rusqlite::Connection::open(self.path("home/control.db")).unwrap();
        database.busy_timeout(Duration::from_secs(30)).unwrap();
        let mut lines = database.prepare("SELECT line FROM audit ORDER BY sequence").unwrap();
        let lines = lines.query_map([], |row| row.get::<_, String>(0)).unwrap();
        lines.map(Result::unwrap).any(|line| {
            let entry: api::control::AuditEntry = serde_json::from_str(&line).unwrap();
            let note = entry.note.unwrap_or_default();
            entry.organization.is_none() && format!("{} {note}", entry.action) == what
        })
    }

    /// A token for a person, made by the host.
    pub(crate) fn personal(&self, user: &str, more: &[&str]) -> String {
        let asked = ["token", "create", "--title", "a test", "--user", user];
        self.ok(&asked.iter().chain(more).copied().collect::<Vec<_>>()).trim().to_owned()
    }

    /// A token for a runner, and the authority its command names.
    pub(crate) fn token(&self, runner: &str) -> (String, String) {
        let said = self.ok(&["runner", "token", runner]);
        let mut words = said.split_whitespace();
        let authority = words.by_ref().skip_while(|word| *word != "--authority").nth(1).unwrap();
        let token = words.find(|word| word.starts_with("cove_enrol_")).unwrap();
        (authority.to_owned(), token.to_owned())
    }

    /// Changes one field of `web`, from what it is, while others go on. Whether that was acknowledged.
    pub(crate) fn change(&self, round: u64) -> JoinHandle<bool> {
        let environment = self.get("environment", "web");
        let mut spec = environment["spec"].clone();
        spec["idle"] = serde_json::json!({ "stop_after": round });
        let version = &environment["metadata"]["resource_version"];
        let metadata = serde_json::json!({ "name": "web", "resource_version": version });
        let draft = serde_json::json!({ "kind": "Environment", "metadata": metadata, "spec": spec });
        let mut command = self.command(&["apply", "-f", &self.file("change.yaml", &draft.to_string())]);
        std::thread::spawn(move || command.output().unwrap().status.success())
    }

    /// Makes projects until the server is gone; the names of those that were acknowledged.
    pub(crate) fn writer(&self, round: u64) -> JoinHandle<Vec<String>> {
        let home = self.path("home");
        let file = self.path(&format!("writer-{round}.yaml"));
        std::thread::spawn(move || {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                let name = format!("made-{round}-{number}");
                let text = format!(
                    "kind: Project\nmetadata: {{ name: {name} }}\nspec: {{ repository: {{ url: u }} }}\n"
                );
                fs::write(&file, text).unwrap();
                let mut command = Command::new(env!("CARGO_BIN_EXE_cove-control"));
                let output =
                    command.args(["apply", "-f", &file]).env("COVE_CONTROL_HOME", &home).output().unwrap();
                if !output.status.success() {
                    break;
                }
                acknowledged.push(name);
            }
            acknowledged
        })
    }
}

impl Server {
    pub(crate) fn port(&self) -> u16 {
        self.port.get()
    }

    /// Where it is.
    pub(crate) fn address(&self) -> String {
        format!("https://localhost:{}", self.port())
    }

    /// SHA-256 of its authority, as it says it when it starts.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// What it wrote into its log, as far as that was read.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
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
