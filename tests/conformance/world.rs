//! What all cases share: an engine, a registry, and the two programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use test_support::dockerd::Dockerd;
use test_support::registry::{Options, Registry};

use crate::case::RegistryKind;

/// Seconds that a command may take.
const PATIENCE: &str = "120";

/// Whose answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Ours,
    Reference,
}

/// The shared parts. All of it ends with the value.
pub(crate) struct World {
    pub(crate) engine: Dockerd,
    open: Registry,
    login: Registry,
    tls: Registry,
    /// The port of a web server with the certificate of the registry that speaks TLS.
    pub(crate) web: u16,
    folder: tempfile::TempDir,
    ours: PathBuf,
    reference: Option<PathBuf>,
    built: Mutex<BTreeMap<String, String>>,
}

impl World {
    /// Starts the parts; `None` where this computer lacks them.
    pub(crate) fn start() -> Option<Self> {
        let engine = Dockerd::start()?;
        let registry = |options| {
            let mut registry = Registry::start_with(options)?;
            registry.serve_in(&engine);
            Some(registry)
        };
        let open = registry(Options::default())?;
        let login = registry(Options { login: true, tls: false })?;
        let mut tls = registry(Options { login: false, tls: true })?;
        // Short: paths of sockets and names of images are limited.
        let folder = tempfile::Builder::new().prefix("conf").tempdir_in("/tmp").unwrap();
        let cove = std::env::var_os("COVE_PROGRAM").map_or_else(|| programs().join("cove"), PathBuf::from);
        std::fs::write(folder.path().join("authority.pem"), tls.authority().unwrap()).unwrap();
        let web = tls.serve_folder(folder.path().join("web").as_path());
        // By this name the program is the drop-in.
        let ours = folder.path().join("devcontainer");
        std::os::unix::fs::symlink(cove, &ours).unwrap();
        let reference = std::env::var_os("DEVCONTAINER_REFERENCE").map(PathBuf::from);
        Some(Self { engine, open, login, tls, web, folder, ours, reference, built: Mutex::default() })
    }

    /// Whether the reference can be asked.
    pub(crate) fn has_reference(&self) -> bool {
        self.reference.as_ref().is_some_and(|program| program.is_file())
    }

    /// A new, empty folder below the world's own.
    pub(crate) fn make_folder(&self, parts: &[&str]) -> PathBuf {
        let folder = self.folder.path().join(parts.join("/"));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The registry of a kind; none where every case has its own.
    pub(crate) fn registry(&self, kind: RegistryKind) -> Option<&Registry> {
        match kind {
            RegistryKind::Open => Some(&self.open),
            RegistryKind::Own => None,
            RegistryKind::Login => Some(&self.login),
            RegistryKind::Tls => Some(&self.tls),
        }
    }

    /// The file of the authority that speaks for everyone with TLS.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// Builds an image, once.
    pub(crate) fn build(&self, tag: &str, dockerfile: &str) {
        let mut built = self.built.lock().unwrap();
        if let Some(other) = built.insert(tag.to_owned(), dockerfile.to_owned()) {
            assert_eq!(other, dockerfile, "two cases make another `{tag}`");
            return;
        }
        let context = self.make_folder(&["images", &tag.replace(['/', ':'], "-")]);
        std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        self.engine.docker(&["build", "-q", "-t", tag, context.to_str().unwrap()]);
    }

    /// A command with nothing of this process's environment but the engine.
    pub(crate) fn command(
        &self,
        program: &Path,
        folder: &Path,
        home: &Path,
        env: &BTreeMap<String, String>,
    ) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", PATIENCE]).arg(program);
        command.current_dir(folder).env_clear().envs(self.engine.env());
        if home.join(".docker/config.json").exists() {
            command.env_remove("DOCKER_CONFIG");
        }
        command.env("HOME", home).env("LANG", "C.UTF-8").envs(env);
        command.stdin(Stdio::null());
        command
    }

    /// The program of a side.
    pub(crate) fn program(&self, program: Program) -> &Path {
        match program {
            Program::Ours => {
                assert!(self.ours.exists(), "`cove` is not built; run `cargo build -p cli`");
                &self.ours
            }
            Program::Reference => self.reference.as_deref().expect("checked before anything is recorded"),
        }
    }

    /// Runs `docker` without judging how it ends.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Output {
        Command::new("docker").args(arguments).envs(self.engine.env()).output().expect("docker is in PATH")
    }
}

/// The folder of this build's programs.
fn programs() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/conformance-<hash>
    test.ancestors().nth(2).unwrap().to_owned()
}
