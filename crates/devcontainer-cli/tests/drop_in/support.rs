//! A workspace, an engine, and the drop-in between them.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use tempfile::TempDir;
use test_support::dockerd::Dockerd;

/// What the reference of today adds to every success.
pub(crate) const DIAGNOSTICS: &str = "\"ociAuthDiagnostics\":{\"authLookupWouldBeBlocked\":false,\
     \"registryRedirectWouldPreventCredentialForwarding\":false,\"authServerRedirect\":false}";

/// A place to run the drop-in in.
pub(crate) struct World {
    engine: Option<Dockerd>,
    home: TempDir,
    kept: TempDir,
    /// The workspace folder.
    pub(crate) folder: Utf8PathBuf,
}

/// What a run said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// A world with an engine; `None` where there is none for tests.
    pub(crate) fn with_engine(files: &[(&str, &str)]) -> Option<Self> {
        let engine = Dockerd::start()?;
        let mut world = Self::without_engine(files);
        world.engine = Some(engine);
        Some(world)
    }

    /// A world in which whoever asks an engine fails.
    pub(crate) fn without_engine(files: &[(&str, &str)]) -> Self {
        let (home, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = Utf8PathBuf::from_path_buf(kept.path().join("app")).unwrap();
        std::fs::create_dir(&folder).unwrap();
        let world = Self { engine: None, home, kept, folder };
        world.write(files);
        world
    }

    /// Writes files into the workspace.
    pub(crate) fn write(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = self.folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }

    pub(crate) fn engine(&self) -> &Dockerd {
        self.engine.as_ref().unwrap()
    }

    /// A folder beside the workspace.
    pub(crate) fn beside(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.kept.path()).unwrap().join(name)
    }

    /// Runs the drop-in in the workspace.
    pub(crate) fn run(&self, line: &[&str]) -> Answer {
        self.run_with(line, &[], b"")
    }

    /// Runs the drop-in with more variables, and with input.
    pub(crate) fn run_with(&self, line: &[&str], env: &[(&str, &str)], input: &[u8]) -> Answer {
        let mut command = self.command(line);
        command.envs(env.iter().copied());
        let piped = || Stdio::piped();
        let mut child = command.stdin(piped()).stdout(piped()).stderr(piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Answer {
            status: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Starts the drop-in and leaves it alone.
    pub(crate) fn start(&self, line: &[&str]) -> Child {
        let quiet = || Stdio::null();
        self.command(line).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn().unwrap()
    }

    /// The drop-in, to be started.
    pub(crate) fn command(&self, line: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_devcontainer-alone"));
        command.args(line).current_dir(&self.folder).env("COVE_HOME", self.home.path());
        match &self.engine {
            Some(engine) => command.envs(engine.env()),
            None => command.env("DOCKER_HOST", "unix:///nobody/is/here.sock"),
        };
        command
    }

    /// Runs the drop-in, which must succeed, and reads its line of JSON.
    pub(crate) fn json(&self, line: &[&str]) -> Value {
        let answer = self.run(line);
        assert_eq!(answer.status, 0, "{line:?}: {}\n{}", answer.stdout, answer.stderr);
        answer.outcome()
    }

    /// Runs the drop-in, which must fail, and reads its line of JSON.
    pub(crate) fn refused(&self, line: &[&str]) -> Value {
        let answer = self.run(line);
        assert_eq!(answer.status, 1, "{line:?}: {}\n{}", answer.stdout, answer.stderr);
        answer.json()
    }

    /// Runs a shell line in the dev container; what it prints.
    pub(crate) fn sh(&self, line: &str) -> String {
        let answer = self.run(&["exec", "sh", "-c", line]);
        assert_eq!(answer.status, 0, "{line}: {}", answer.stderr);
        answer.stdout.trim_end().to_owned()
    }
}

impl Answer {
    /// The one line of JSON on standard output.
    pub(crate) fn json(&self) -> Value {
        let mut lines = self.stdout.lines();
        let line = lines.next().unwrap_or_else(|| panic!("nothing on standard output: {}", self.stderr));
        assert_eq!(lines.next(), None, "more than a line: {}", self.stdout);
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// The same without what every success has.
    pub(crate) fn outcome(&self) -> Value {
        let mut outcome = self.json();
        if let Some(outcome) = outcome.as_object_mut() {
            outcome.remove("ociAuthDiagnostics");
        }
        outcome
    }
}
