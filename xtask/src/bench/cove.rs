//! Cove's machine: booted by the driver, the agent and the image that the product ships, with one shared folder.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use protocol::agent::{ComponentState, Configuration, Event, Metrics, Mount, Reply, Request};
use tokio::time::{Instant, sleep, timeout};
use vmm::{Accelerator, BootImage, DataDisk, Hypervisor as _, Network, Share, VmConfig, VmDriver, VmState};

use super::agent::{AgentError, Exchange, ping_docker};
use super::boot::{Boot, Idle, Stage, Start, System, millis};
use super::process::{self, Process};
use super::{Hardware, IDLE, Plan};
use crate::steps::{StepError, run};

/// The size the product gives the data disk, in GiB.
const DATA_DISK_GIB: u64 = 64;

/// Longest wait for the engine: a translated guest on a busy host needs less than a minute.
const DEADLINE: Duration = Duration::from_mins(5);

/// Longest wait for an orderly end.
const END: Duration = Duration::from_mins(1);

/// Cove's machine was not measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CoveError {
    #[error("could not boot the machine")]
    Boot(#[from] vmm::Error),
    #[error("the machine {0}")]
    Ended(VmState),
    #[error("the machine's agent did not do as asked")]
    Agent(#[from] AgentError),
    #[error("{name} failed in the guest: {}", .log.join("; "))]
    Component { name: String, log: Vec<String> },
    #[error("QEMU is not among the children of this process")]
    NoQemu,
    #[error("nothing happened within {} s", .0.as_secs())]
    Late(Duration),
    #[error("could not copy the data disk")]
    Copy(#[from] StepError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What every boot of Cove's machine has in common.
pub(crate) struct Cove {
    hardware: Hardware,
    folder: Utf8PathBuf,
    image: Utf8PathBuf,
    accelerator: Utf8PathBuf,
}

impl Cove {
    /// Prepares the folders; `folder` is the benchmark's own.
    pub(crate) fn new(hardware: &Hardware, folder: &Utf8Path, image: &Utf8Path) -> Result<Self, CoveError> {
        let own = folder.join("cove");
        fs_err::create_dir_all(own.join("share"))?;
        Ok(Self {
            hardware: hardware.clone(),
            image: image.to_owned(),
            accelerator: folder.join("accelerator.json"),
            folder: own,
        })
    }

    /// Measures one boot; tells also what executes the guest.
    pub(crate) async fn boot(&self, plan: Plan) -> Result<(Boot, Accelerator), CoveError> {
        let disk = self.disk(plan)?;
        let load = process::load()?;
        let qemu =
            vmm::qemu::Qemu::new(process::launcher()).remember_accelerator_in(self.accelerator.clone());
        let machine = qemu.boot(self.description(&disk)).await?;
        let measuring = measure(&*machine, plan, self.configuration(), load);
        let boot = timeout(DEADLINE + IDLE, measuring).await.map_err(|_| CoveError::Late(DEADLINE))??;
        if plan.keep_disk {
            end(&*machine).await?;
            fs_err::rename(&disk, self.used_disk())?;
        } else {
            machine.kill().await?;
        }
        Ok((boot, machine.facts().accelerator))
    }

    fn used_disk(&self) -> Utf8PathBuf {
        self.folder.join("used.img")
    }

    /// An absent disk for a first boot, a copy of a used one for a later boot.
    fn disk(&self, plan: Plan) -> Result<Utf8PathBuf, CoveError> {
        let disk = self.folder.join("data.img");
        if disk.exists() {
            fs_err::remove_file(&disk)?;
        }
        if plan.start == Start::Later {
            run(&mut super::debian_image::sparse_copy(&self.used_disk(), &disk))?;
        }
        Ok(disk)
    }

    fn description(&self, disk: &Utf8Path) -> VmConfig {
        VmConfig {
            architecture: self.hardware.architecture,
            cpus: self.hardware.cpus,
            memory_mib: self.hardware.memory_mib,
            image: BootImage::in_folder(&self.image),
            data_disk: DataDisk { path: disk.to_owned(), size_gib: DATA_DISK_GIB },
            shares: vec![Share {
                tag: "share0".to_owned(),
                host_path: self.folder.join("share"),
                read_only: false,
            }],
            network: Network::UserMode,
            console_log: self.folder.join("console.log"),
            run_dir: self.folder.clone(),
            kernel_arguments: Vec::new(),
            wishes: vmm::Wishes::default(),
        }
    }

    fn configuration(&self) -> Configuration {
        let path = self.folder.join("share").into_string();
        Configuration {
            hostname: "cove".to_owned(),
            shares: vec![Mount { tag: "share0".to_owned(), path, read_only: false }],
            names: BTreeMap::from([("host.docker.internal".to_owned(), "10.0.2.2".to_owned())]),
            ..Configuration::default()
        }
    }
}

async fn measure(
    machine: &dyn VmDriver,
    plan: Plan,
    configuration: Configuration,
    load: f64,
) -> Result<Boot, CoveError> {
    let qemu = Process::qemu_child()?.ok_or(CoveError::NoQemu)?;
    let mut machine_state = machine.watch();
    let state = machine_state.wait_for(|state| *state != VmState::Starting).await.map(|state| state.clone());
    match state {
        Ok(VmState::Running) => {}
        Ok(state) => return Err(CoveError::Ended(state)),
        Err(_) => return Err(CoveError::Ended(machine.state())),
    }
    Exchange::order(machine, &Request::Configure(configuration)).await?;
    let reached = follow(machine).await?;
    ping_docker(machine).await?;
    let answered = qemu.age()?;
    let cpu = qemu.cpu()?;
    let stages = since_power_on(machine, qemu, reached).await?;
    let idle = if plan.idle {
        sleep(IDLE).await;
        let metrics = metrics(machine).await?;
        let used = metrics.memory_total.saturating_sub(metrics.memory_available);
        Some(Idle { total: metrics.memory_total, used, qemu: qemu.resident()? })
    } else {
        None
    };
    Ok(Boot {
        system: System::Cove,
        start: plan.start,
        round: plan.round,
        answered_ms: millis(answered),
        cpu_ms: millis(cpu),
        load,
        stages,
        idle,
    })
}

/// Follows the boot until the engine is there; gives the stages with their times by the guest's clock.
async fn follow(machine: &dyn VmDriver) -> Result<Vec<(String, u64)>, CoveError> {
    let mut watch = Exchange::order(machine, &Request::Watch).await?;
    let mut reached = Vec::new();
    loop {
        match watch.event().await? {
            Event::Stage { name, uptime_ms } => {
                let last = name == "engine";
                reached.push((name, uptime_ms));
                if last {
                    return Ok(reached);
                }
            }
            Event::Component(part) if part.state == ComponentState::Failed => {
                return Err(CoveError::Component { name: part.name, log: part.log_tail });
            }
            Event::Component(_) | Event::Log(_) | Event::Emulation(_) | Event::Unknown => {}
        }
    }
}

/// Puts the guest's times on the host's clock: what passed before the guest's clock began is the firmware's.
async fn since_power_on(
    machine: &dyn VmDriver,
    qemu: Process,
    mut reached: Vec<(String, u64)>,
) -> Result<Vec<Stage>, CoveError> {
    let asked = Instant::now();
    let uptime = metrics(machine).await?.uptime_ms;
    let halfway = millis(qemu.age()?).saturating_sub(millis(asked.elapsed()) / 2);
    let before = halfway.saturating_sub(uptime);
    reached.sort_by_key(|(_, at)| *at);
    let firmware = Stage { name: "firmware".to_owned(), at_ms: before };
    let later = reached.into_iter().map(|(name, at)| Stage { name, at_ms: before + at });
    Ok(std::iter::once(firmware).chain(later).collect())
}

async fn metrics(machine: &dyn VmDriver) -> Result<Metrics, CoveError> {
    match Exchange::ask(machine, &Request::Metrics).await? {
        (Reply::Metrics(metrics), _) => Ok(metrics),
        _ => Err(AgentError::Unexpected.into()),
    }
}

/// Switches the machine off as the product does.
async fn end(machine: &dyn VmDriver) -> Result<(), CoveError> {
    machine.request_stop().await?;
    // The machine may be gone before its answer has left.
    let _ = Exchange::order(machine, &Request::PowerOff).await;
    let mut states = machine.watch();
    let ended = timeout(END, states.wait_for(VmState::is_final)).await.map_err(|_| CoveError::Late(END))?;
    match ended.map(|state| state.clone()) {
        Ok(VmState::Stopped) => Ok(()),
        Ok(state) => Err(CoveError::Ended(state)),
        Err(_) => Err(CoveError::Ended(machine.state())),
    }
}
