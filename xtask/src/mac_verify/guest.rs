//! The machine under test, and what is asked of its guest.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use protocol::FrameKind;
use protocol::agent::{AgentHello, Configuration, Event, Exec, ExecEnd, Mount, Reply, Request};
use tokio::time::timeout;
use vmm::vz::Vz;
use vmm::{
    Architecture, BootImage, DataDisk, Hypervisor as _, Network, Share, VmConfig, VmDriver, VmState, Wishes,
};

use crate::bench::agent::{AgentError, Exchange};

pub(super) type Failure = Box<dyn Error>;

/// How long a machine may take from power-on to its engine.
const BOOT: Duration = Duration::from_mins(2);

/// Folder in the guest where the share of this Mac is mounted.
pub(super) const MOUNTED: &str = "/mnt/share0";

/// Makes machines on this Mac; elsewhere nothing does, and nothing asks.
#[cfg_attr(target_os = "macos", expect(clippy::unnecessary_wraps, reason = "elsewhere there is none"))]
pub(super) fn hypervisor() -> Result<Vz, Failure> {
    #[cfg(target_os = "macos")]
    return Ok(Vz::of_this_mac());
    #[cfg(not(target_os = "macos"))]
    Err("there is no Virtualization.framework here".into())
}

/// One machine at a time, with a folder of its own.
pub(super) struct Stage {
    /// Whether a person answers.
    pub(super) asks: bool,
    pub(super) folder: Utf8PathBuf,
    pub(super) config: VmConfig,
    pub(super) image: Utf8PathBuf,
    machine: Option<Arc<dyn VmDriver>>,
    /// The guest's boot before its machine was saved.
    pub(super) saved_boot: Option<String>,
}

impl Stage {
    pub(super) fn new(image: &Utf8Path, asks: bool) -> std::io::Result<Self> {
        let temporary = std::env::temp_dir().join(format!("cove-mac-verify-{}", std::process::id()));
        let folder = Utf8PathBuf::from_path_buf(temporary)
            .map_err(|path| std::io::Error::other(format!("{} is not UTF-8", path.display())))?;
        for name in ["share0", "share1"] {
            fs_err::create_dir_all(folder.join(name))?;
            fs_err::write(folder.join(name).join("hello"), name)?;
        }
        let config = VmConfig {
            architecture: Architecture::Arm64,
            cpus: 4,
            memory_mib: 4096,
            image: BootImage::in_folder(image),
            data_disk: DataDisk { path: folder.join("data.img"), size_gib: 16 },
            shares: vec![Share { tag: "share0".into(), host_path: folder.join("share0"), read_only: false }],
            network: Network::UserMode,
            console_log: folder.join("console.log"),
            run_dir: folder.join("run"),
            kernel_arguments: Vec::new(),
            wishes: Wishes { rosetta: true, ..Wishes::default() },
        };
        let image = image.to_owned();
        Ok(Self { asks, folder, config, image, machine: None, saved_boot: None })
    }

    /// The machine, started where it is not running.
    pub(super) async fn machine(&mut self) -> Result<Arc<dyn VmDriver>, Failure> {
        match &self.machine {
            Some(machine) if !machine.state().is_final() => Ok(Arc::clone(machine)),
            _ => self.boot().await,
        }
    }

    /// A new machine; the one before is killed.
    pub(super) async fn boot(&mut self) -> Result<Arc<dyn VmDriver>, Failure> {
        self.end_machine().await;
        let machine: Arc<dyn VmDriver> = Arc::from(hypervisor()?.boot(self.config.clone()).await?);
        self.machine = Some(Arc::clone(&machine));
        let mut states = machine.watch();
        let state = states.wait_for(|state| *state != VmState::Starting).await?.clone();
        match state {
            VmState::Running => Ok(machine),
            VmState::Failed(failure) => Err(failure.message.into()),
            other => Err(format!("the machine is {other}").into()),
        }
    }

    /// Boots with the wish that `wish` adds, and without it again from the next boot on.
    pub(super) async fn boot_with(
        &mut self,
        wish: impl FnOnce(&mut Wishes),
    ) -> Result<Arc<dyn VmDriver>, Failure> {
        let before = self.config.wishes;
        wish(&mut self.config.wishes);
        let machine = self.boot().await;
        self.config.wishes = before;
        machine
    }

    pub(super) async fn end_machine(&mut self) {
        if let Some(machine) = self.machine.take() {
            // It is ended with its last reference in any case.
            let _ = machine.kill().await;
        }
    }

    pub(super) async fn end(mut self) {
        self.end_machine().await;
        if fs_err::remove_dir_all(&self.folder).is_err() {
            crate::output::say(format!("left behind: {}", self.folder));
        }
    }
}

pub(super) async fn hello(machine: &dyn VmDriver) -> Result<AgentHello, Failure> {
    let hello = Request::Hello { protocol: protocol::VERSION, version: "mac-verify".to_owned() };
    match Exchange::ask(machine, &hello).await? {
        (Reply::Hello(hello), _) => Ok(hello),
        _ => Err(AgentError::Unexpected.into()),
    }
}

/// Tells the guest what the daemon would, and waits for its engine.
pub(super) async fn engine(machine: &dyn VmDriver) -> Result<(), Failure> {
    let configuration = Configuration {
        hostname: "verify".to_owned(),
        shares: vec![Mount { tag: "share0".into(), path: MOUNTED.into(), read_only: false }],
        names: [("host.docker.internal".to_owned(), "10.0.2.2".to_owned())].into(),
        host_names: vec!["host.docker.internal".to_owned()],
        ..Configuration::default()
    };
    Exchange::order(machine, &Request::Configure(configuration)).await?;
    let mut watch = Exchange::order(machine, &Request::Watch).await?;
    let waiting = async {
        loop {
            match watch.event().await? {
                Event::Stage { name, .. } if name == "engine" => return Ok::<_, AgentError>(()),
                _ => {}
            }
        }
    };
    timeout(BOOT, waiting).await.map_err(|_| "the engine did not start in time")??;
    Ok(())
}

/// Runs a line of shell in the guest; gives what it wrote, or fails with it.
pub(super) async fn sh(machine: &dyn VmDriver, line: &str) -> Result<String, Failure> {
    let argv = ["/usr/bin/busybox", "sh", "-c", line].map(str::to_owned).to_vec();
    let exec = Exec { argv, env: [].into(), cwd: None, terminal: None, input: false };
    let (reply, mut exchange) = Exchange::ask(machine, &Request::Exec(exec)).await?;
    if !matches!(reply, Reply::Started { .. }) {
        return Err(AgentError::Unexpected.into());
    }
    let mut output = Vec::new();
    loop {
        let frame = timeout(BOOT, exchange.frame()).await.map_err(|_| format!("`{line}` does not end"))??;
        match frame.kind {
            FrameKind::Output | FrameKind::ErrorOutput => output.extend(frame.payload),
            FrameKind::Message => {
                let end: ExecEnd = frame.message()?;
                let text = String::from_utf8_lossy(&output).trim().to_owned();
                return match end.status() {
                    0 => Ok(text),
                    status => Err(format!("`{line}` ended with {status}: {text}").into()),
                };
            }
            _ => {}
        }
    }
}

/// Seconds by which the guest's clock is behind this Mac's.
pub(super) async fn clock_lag(machine: &dyn VmDriver) -> Result<i64, Failure> {
    let guest: i64 = sh(machine, "date +%s").await?.parse()?;
    let host = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    Ok(i64::try_from(host)? - guest)
}
