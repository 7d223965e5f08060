//! A state folder with a daemon and an app of its own, and a machine that is made up.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use api::{Environment, HomeLayout, Phase, UpRequest};
use camino::{Utf8Path, Utf8PathBuf};
use client::Client;
use test_support::dockerd::Dockerd;
use test_support::fake_shim::FakeShim;

use crate::desktop::{Desktop, Ending};
use crate::menu::MenuOnBus;

/// Longest wait for anything that no menu tells.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// What a program does that the app calls: it writes down how it was called.
const RECORDER: &str =
    "#!/bin/sh\nprintf '%s\\n' \"$@\" > \"${0%/*}/.called\" && mv \"${0%/*}/.called\" \"$0.called\"\n";

/// All of it ends with the value.
pub(crate) struct Place {
    pub(crate) desktop: Desktop,
    pub(crate) client: Client,
    pub(crate) shim: FakeShim,
    home: HomeLayout,
    programs: tempfile::TempDir,
    folder: tempfile::TempDir,
}

impl Place {
    /// A place where nothing runs yet; `None` where this computer lacks a part.
    pub(crate) async fn new() -> Option<Self> {
        let missing = missing();
        if !missing.is_empty() {
            let missing = missing.join(", ");
            assert!(
                std::env::var_os("COVE_REQUIRE_APP").is_none_or(|value| value != "1"),
                "missing: {missing}"
            );
            writeln!(std::io::stderr(), "skipped, missing: {missing}").expect("standard error is open");
            return None;
        }
        // Short: paths of unix sockets are limited to 107 bytes.
        let folder = tempfile::Builder::new().prefix("cva").tempdir_in("/tmp").expect("/tmp can be written");
        let root = Utf8Path::from_path(folder.path()).expect("the prefix and /tmp are UTF-8");
        let home = HomeLayout::at(root.join("h"));
        for made in ["h", "image", "src", "user"] {
            fs::create_dir(root.join(made)).expect("the folder is new");
        }
        fs::write(root.join("image/manifest.json"), "{}").expect("the folder is ours");
        fs::write(home.settings_file(), format!("shares = [\"{root}/src\"]\n")).expect("the folder is ours");
        // Not the first start, which opens the window by itself.
        fs::write(home.app_window_file(), "{}").expect("the folder is ours");
        let shim = FakeShim::install(&root.join("h/machines/default"));
        let programs = install(&shim);
        let desktop = Desktop::start(folder.path()).await;
        Some(Self { desktop, client: Client::new(&home), shim, home, programs, folder })
    }

    /// The app, and its menu.
    pub(crate) async fn open_app(&mut self) -> (Ending, MenuOnBus) {
        let app = Ending(self.app().spawn().expect("the app is built"));
        let shown = tokio::time::timeout(PATIENCE, self.desktop.icon()).await;
        let icon = shown.unwrap_or_else(|_| panic!("the app shows no icon:\n{}", self.log()));
        (app, MenuOnBus::of(&self.desktop.bus, icon).await)
    }

    /// The app as a command.
    pub(crate) fn app(&self) -> Command {
        let mut command = Command::new(self.program());
        self.dress(&mut command);
        command
    }

    /// Gives a program what a person's session has.
    pub(crate) fn dress(&self, command: &mut Command) {
        let path = format!("{}:/usr/bin:/bin", self.programs.path().display());
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.user())
            .env("XDG_RUNTIME_DIR", self.user())
            .env("COVE_HOME", self.home.root())
            .env("COVE_IMAGE_DIR", self.root().join("image"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        self.desktop.dress(command);
    }

    /// The app's program, with a name that is this place's own.
    pub(crate) fn program(&self) -> PathBuf {
        self.programs.path().join("cove-app")
    }

    /// Where all state is.
    pub(crate) fn home(&self) -> &HomeLayout {
        &self.home
    }

    /// The home folder of the person.
    pub(crate) fn user(&self) -> Utf8PathBuf {
        self.root().join("user")
    }

    /// The folder of it all.
    pub(crate) fn root(&self) -> &Utf8Path {
        Utf8Path::from_path(self.folder.path()).expect("the prefix and /tmp are UTF-8")
    }

    /// Lets the guest have this engine.
    pub(crate) fn put_engine(&self, engine: &Dockerd) {
        self.shim.guest().put_socket("/run/docker.sock", &engine.socket());
        self.shim.guest().put_program("docker", engine.env());
    }

    /// A folder with a configuration.
    pub(crate) fn project(&self, name: &str, config: &str) -> Utf8PathBuf {
        let folder = self.root().join("src").join(name);
        fs::create_dir(&folder).expect("the name is new");
        fs::write(folder.join(".devcontainer.json"), config).expect("the folder is ours");
        folder
    }

    /// Asks for a folder's environment, as `cove up` does.
    pub(crate) async fn up(&self, folder: &Utf8Path) -> Environment {
        let request = serde_json::json!({ "folder": folder });
        let request: UpRequest = serde_json::from_value(request).expect("a folder is enough");
        self.client.up(&request).await.expect("the daemon takes it")
    }

    /// Waits until the daemon itself says so.
    pub(crate) async fn until_phase(&self, environment: &str, phase: Phase) {
        let is_so =
            async || self.client.environment(environment).await.expect("it is known").status.phase == phase;
        soon(&format!("{environment}, {}", phase.as_str()), is_so).await;
    }

    /// How a program was called, once it was.
    pub(crate) async fn called(&self, program: &str) -> String {
        let record = self.programs.path().join(format!("{program}.called"));
        soon(&format!("a call of {program}"), async || record.exists()).await;
        fs::read_to_string(record).expect("the record is text")
    }

    /// What the app and the daemon wrote, for the message of a failed test.
    pub(crate) fn log(&self) -> String {
        let read = |path: Utf8PathBuf| fs::read_to_string(path).unwrap_or_default();
        format!("app:\n{}\ndaemon:\n{}", read(self.home.app_log()), read(self.home.daemon_log()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test fails already; this only helps to see why.
            let _ = writeln!(std::io::stderr(), "{}", self.log());
        }
        // One that a driver started outlives it.
        for pid in processes_of(&self.program()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        // The daemon was started by the app, which does not end it.
        let pid = fs::read_to_string(self.home.lock_file()).ok().and_then(|text| text.trim().parse().ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// The processes that run a program.
fn processes_of(program: &Path) -> Vec<rustix::process::Pid> {
    let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
    let of = |folder: fs::DirEntry| {
        let runs = fs::read_link(folder.path().join("exe")).is_ok_and(|runs| runs == program);
        let pid = folder.file_name().to_str()?.parse().ok().filter(|_| runs)?;
        rustix::process::Pid::from_raw(pid)
    };
    folders.filter_map(of).collect()
}

/// Waits for what no menu and no call tells.
///
/// # Panics
/// When it takes too long.
pub(crate) async fn soon(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let there = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, there).await.unwrap_or_else(|_| panic!("{what} does not come"));
}

/// Waits for a program to end by itself.
pub(crate) async fn ended(mut program: Ending) -> ExitStatus {
    let mut status = None;
    soon("the end of the program", async || {
        status = program.0.try_wait().expect("the process is ours");
        status.is_some()
    })
    .await;
    status.expect("it was waited for")
}

/// Where the programs of this build are.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.parent().and_then(Path::parent).expect("target/debug/deps").to_owned()
}

fn missing() -> Vec<String> {
    let programs = ["cove-app", "coved"].map(|name| built().join(name));
    let programs = programs.iter().filter(|path| !path.is_file()).map(|path| path.display().to_string());
    Desktop::missing().into_iter().map(str::to_owned).chain(programs).collect()
}

/// A folder of programs: the real ones, the made-up shim under its name, and what writes down how it was called.
fn install(shim: &FakeShim) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build folder can be written");
    for name in ["cove-app", "coved"] {
        fs::hard_link(built().join(name), folder.path().join(name)).expect("it is one file system");
    }
    std::os::unix::fs::symlink(shim.program(), folder.path().join("cove-shim")).expect("the folder is new");
    for name in ["cove", "xdg-open", "x-terminal-emulator"] {
        test_support::put_program(folder.path().join(name), RECORDER);
    }
    folder
}
