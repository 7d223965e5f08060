//! A state folder, programs, and a machine that is made up.

use std::fs;
use std::path::{Path, PathBuf};

use api::HomeLayout;
use camino::{Utf8Path, Utf8PathBuf};
use test_support::dockerd::{BASE_IMAGE, Dockerd};
use test_support::fake_shim::FakeShim;

/// Programs that are taken from this build.
const PROGRAMS: [&str; 2] = ["cove", "coved"];

/// How many lines of the daemon's log a failed test is told.
const TOLD: usize = 60;

/// All of it ends with the value; the daemon was started by a case.
pub(crate) struct World {
    folder: tempfile::TempDir,
    programs: tempfile::TempDir,
    home: HomeLayout,
    _shim: FakeShim,
}

/// The page's sources.
pub(crate) fn ui() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui")
}

/// What is not there.
pub(crate) fn missing() -> Vec<String> {
    let programs = PROGRAMS.map(|name| built().join(name));
    let runner = ui().join("node_modules/.bin/playwright");
    let needed = programs.into_iter().chain([runner, "/usr/bin/chromium".into()]);
    needed.filter(|path| !path.exists()).map(|path| path.display().to_string()).collect()
}

/// Where the programs of this build are.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.parent().and_then(Path::parent).expect("target/debug/deps").to_owned()
}

impl World {
    pub(crate) fn new(engine: &Dockerd) -> Self {
        // Short: paths of unix sockets are limited to 107 bytes.
        let folder = tempfile::Builder::new().prefix("cvu").tempdir_in("/tmp").expect("/tmp can be written");
        let root = Utf8Path::from_path(folder.path()).expect("the prefix and /tmp are UTF-8");
        let home = HomeLayout::at(root.join("h"));
        for made in ["h", "image", "src", "user"] {
            fs::create_dir(root.join(made)).expect("the folder is new");
        }
        fs::write(root.join("image/manifest.json"), "{}").expect("the folder is ours");
        fs::write(home.settings_file(), format!("shares = [\"{root}/src\"]\n")).expect("the folder is ours");
        let shim = FakeShim::install(&root.join("h/machines/default"));
        shim.guest().put_socket("/run/docker.sock", &engine.socket());
        shim.guest().put_program("docker", engine.env());
        // Folders of volumes are looked at where the engine is.
        shim.guest().put_program("/bin/sh", engine.env());
        let programs =
            tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build folder can be written");
        for name in PROGRAMS {
            fs::hard_link(built().join(name), programs.path().join(name)).expect("it is one file system");
        }
        std::os::unix::fs::symlink(shim.program(), programs.path().join("cove-shim"))
            .expect("the folder is new");
        Self { folder, programs, home, _shim: shim }
    }

    /// What the cases are told.
    pub(crate) fn variables(&self, engine: &Dockerd) -> Vec<(String, String)> {
        let root = self.folder.path().display();
        let path = std::env::var("PATH").unwrap_or_default();
        let own = [
            ("COVE_HOME", self.home.root().to_string()),
            ("COVE_IMAGE_DIR", format!("{root}/image")),
            ("COVE_TEST_SOURCES", format!("{root}/src")),
            ("COVE_TEST_IMAGE", BASE_IMAGE.to_owned()),
            ("COVE_TEST_INSIDE", test_support::inside::program().display().to_string()),
            ("HOME", format!("{root}/user")),
            ("LANG", "en_US.UTF-8".to_owned()),
            ("PATH", format!("{}:{path}", self.programs.path().display())),
        ];
        let engine = engine.env().iter().filter(|(name, _)| name.starts_with("DOCKER_"));
        let engine = engine.map(|(name, value)| (name.clone(), value.clone()));
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(engine).collect()
    }

    /// The end of what the daemon wrote.
    pub(crate) fn log(&self) -> String {
        let log: Utf8PathBuf = self.home.daemon_log();
        let text = fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TOLD)..].join("\n")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.home.lock_file()).ok().and_then(|text| text.trim().parse().ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            // It may have ended already.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}
