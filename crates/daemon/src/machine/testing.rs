//! A machine for tests: real files, a real process for a shim, and a guest in memory.

use std::sync::Arc;
use std::time::Duration;

use api::Problem;
use camino::{Utf8Path, Utf8PathBuf};
use engine::HostTools;
use tempfile::TempDir;
use test_support::dockerd::Dockerd;
use test_support::fake_shim::FakeShim;

use super::{MachineHost, MachineParts, MachineState};
use crate::{Paths, Store};

/// Long enough for a busy computer; a test that reaches it has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for something within the deadline.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let within = tokio::time::timeout(DEADLINE, future).await;
    within.unwrap_or_else(|_| panic!("{what} did not happen within {DEADLINE:?}"))
}

/// A state folder with a machine that is off.
pub(crate) struct Fixture {
    pub(crate) paths: Paths,
    pub(crate) store: Store,
    pub(crate) shim: FakeShim,
    pub(crate) machine: MachineHost,
    parts: MachineParts,
    home: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(home.path()).unwrap();
        let paths = Paths::new(root.join("h")).unwrap();
        paths.prepare().unwrap();
        let image = root.join("image");
        fs_err::create_dir(&image).unwrap();
        fs_err::write(image.join(vmm::image::MANIFEST), "{}").unwrap();
        let share = root.join("shared");
        fs_err::create_dir(&share).unwrap();
        let store = Store::open(&paths.store_file()).unwrap();
        store.change_machine_spec(None, |spec| spec.shares = vec![share]).unwrap();
        let shim = FakeShim::install(paths.default_machine().dir());
        let parts = MachineParts { shim: shim.program(), image: Some(image), tools: None };
        let machine = MachineHost::with_parts(&paths, store.clone(), parts.clone());
        Self { paths, store, shim, machine, parts, home }
    }

    /// The same with a real engine behind it, whose commands run here.
    pub(crate) fn with_engine(&self, dockerd: &Dockerd) -> MachineHost {
        let socket = self.paths.default_machine().engine_socket();
        std::os::unix::fs::symlink(dockerd.socket(), socket).unwrap();
        let tools: Arc<dyn engine::Tools> = Arc::new(HostTools::new(dockerd.env().clone()));
        let parts = MachineParts { tools: Some(tools), ..self.parts.clone() };
        MachineHost::with_parts(&self.paths, self.store.clone(), parts)
    }

    /// The folder that the machine sees.
    pub(crate) fn share(&self) -> Utf8PathBuf {
        Utf8Path::from_path(self.home.path()).unwrap().join("shared")
    }

    /// What a daemon that starts anew has.
    pub(crate) fn restarted(&self) -> MachineHost {
        MachineHost::with_parts(&self.paths, self.store.clone(), self.parts.clone())
    }

    /// The same without a guest image.
    pub(crate) fn without_image(&self) -> MachineHost {
        let parts = MachineParts { image: Some("/no/image".into()), ..self.parts.clone() };
        MachineHost::with_parts(&self.paths, self.store.clone(), parts)
    }

    /// Starts the machine.
    pub(crate) async fn run(&self) -> Result<(), Problem> {
        soon("a start", self.machine.ensure_running()).await
    }
}

/// Waits until a machine is in a state.
pub(crate) async fn until(machine: &MachineHost, what: &str, wanted: impl FnMut(&MachineState) -> bool) {
    let mut changed = machine.changed();
    soon(what, changed.wait_for(wanted)).await.unwrap();
}
