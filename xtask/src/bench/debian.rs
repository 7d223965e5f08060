//! The Debian machine: the same QEMU, processor, memory and devices as Cove's, its own kernel, initrd and disk.
//!
//! Its Docker API is reached from the host through a forwarded TCP port. In the guest systemd listens on it and
//! passes the bytes to Docker's unix socket, so dockerd itself is started as the package has it.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use vmm::{Accelerator, BootImage, DataDisk, Network, VmConfig};

use super::agent::ping;
use super::boot::{Boot, Idle, Stage, Start, System, millis};
use super::debian_image::{DebianImage, sparse_copy};
use super::process::{self, Process};
use super::{Hardware, IDLE, Plan};
use crate::steps::{StepError, run};

/// Port of the guest on which its Docker API is reached.
const DOCKER_PORT: u16 = 2375;

/// Longest wait for the engine.
const DEADLINE: Duration = Duration::from_mins(10);

/// Longest wait for an orderly end.
const END: Duration = Duration::from_mins(3);

/// A new connection is tried this often: one that was made too early may hang.
const ATTEMPTS: Duration = Duration::from_millis(200);

/// How long each is kept.
const ATTEMPT: Duration = Duration::from_secs(4);

/// How often the guest's report is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The Debian machine was not measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DebianError {
    #[error("could not find QEMU")]
    Qemu(#[from] vmm::Error),
    #[error("QEMU ended ({0}): {1}")]
    Ended(ExitStatus, String),
    #[error("the machine did not {what} within {} s; its console is in {console}", .after.as_secs())]
    Late { what: &'static str, after: Duration, console: Utf8PathBuf },
    #[error("the machine's report lacks `{0}`")]
    Report(&'static str),
    #[error("could not copy the disk")]
    Copy(#[from] StepError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A running machine.
struct Machine {
    child: Child,
    process: Process,
    port: u16,
    console: Utf8PathBuf,
    report: Utf8PathBuf,
    control: Utf8PathBuf,
}

/// Measures one boot.
pub(crate) async fn boot(
    hardware: &Hardware,
    accelerator: Accelerator,
    folder: &Utf8Path,
    image: &DebianImage,
    plan: Plan,
) -> Result<Boot, DebianError> {
    let own = folder.join("debian");
    fs_err::create_dir_all(&own)?;
    let (disk, used) = (own.join("disk.img"), own.join("used.img"));
    let source = match plan.start {
        Start::First => image.disk(),
        Start::Later => used.clone(),
    };
    run(&mut sparse_copy(&source, &disk))?;
    let load = process::load()?;
    let mut machine = Machine::start(hardware, accelerator, &own, image, &disk).await?;
    let (answered, cpu) = machine.answered().await?;
    let stages = machine.stages().await?;
    let idle = if plan.idle { Some(machine.idle().await?) } else { None };
    if plan.keep_disk {
        machine.end().await?;
        fs_err::rename(&disk, &used)?;
    } else {
        machine.child.kill().await?;
    }
    Ok(Boot {
        system: System::Debian,
        start: plan.start,
        round: plan.round,
        answered_ms: millis(answered),
        cpu_ms: millis(cpu),
        load,
        stages,
        idle,
    })
}

impl Machine {
    async fn start(
        hardware: &Hardware,
        accelerator: Accelerator,
        folder: &Utf8Path,
        image: &DebianImage,
        disk: &Utf8Path,
    ) -> Result<Self, DebianError> {
        let program = vmm::qemu::find(hardware.architecture)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let [console, report, control] =
            ["console.log", "report", "control.sock"].map(|name| folder.join(name));
        for old in [&report, &control] {
            if old.exists() {
                fs_err::remove_file(old)?;
            }
        }
        let mut launcher = process::launcher().into_iter();
        let first = launcher.next().unwrap_or_else(|| program.clone().into());
        let mut command = Command::new(first);
        command.args(launcher).arg(&program).args(common_words(hardware, accelerator, image));
        command.args(own_words(hardware, accelerator, image, disk));
        for (name, file) in [("console", &console), ("report", &report)] {
            command.arg("-chardev").arg(format!("file,id={name},path={file}"));
        }
        command.arg("-chardev").arg(format!("socket,id=control,path={control},server=on,wait=off"));
        command.args(["-mon", "chardev=control,mode=control", "-serial", "chardev:console"]);
        command.args([
            "-device",
            "virtio-serial-pci",
            "-device",
            "virtserialport,chardev=report,name=bench.report",
        ]);
        let forward = format!("user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:{port}-:{DOCKER_PORT}");
        command.arg("-netdev").arg(forward);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        // QEMU takes the port over; nobody else asks for one in the moment between.
        drop(listener);
        let child = command.spawn()?;
        let process = Process(child.id().unwrap_or_default());
        Ok(Self { child, process, port, console, report, control })
    }

    /// Waits for the Docker API; gives the time since power-on and the processor time.
    async fn answered(&mut self) -> Result<(Duration, Duration), DebianError> {
        let port = self.port;
        let mut attempts = JoinSet::new();
        let mut clock = interval(ATTEMPTS);
        let answer = async {
            loop {
                tokio::select! {
                    _ = clock.tick() => {
                        attempts.spawn(timeout(ATTEMPT, attempt(port)));
                    }
                    Some(ended) = attempts.join_next() => {
                        if matches!(ended, Ok(Ok(true))) {
                            return;
                        }
                    }
                }
            }
        };
        tokio::select! {
            () = answer => {}
            status = self.child.wait() => {
                let mut said = String::new();
                if let Some(mut stderr) = self.child.stderr.take() {
                    stderr.read_to_string(&mut said).await?;
                }
                return Err(DebianError::Ended(status?, said));
            }
            () = sleep(DEADLINE) => return Err(self.late("answer", DEADLINE)),
        }
        Ok((self.process.age()?, self.process.cpu()?))
    }

    /// What the guest tells about its boot, on the host's clock.
    async fn stages(&self) -> Result<Vec<Stage>, DebianError> {
        let report = self.reported("uptime", Duration::from_mins(1)).await?;
        let uptime = seconds_to_ms(&report, "uptime").ok_or(DebianError::Report("uptime"))?;
        let before = millis(self.process.age()?).saturating_sub(uptime);
        let firmware = Stage { name: "firmware".to_owned(), at_ms: before };
        let mut reached: Vec<Stage> = report
            .lines()
            .filter_map(|line| line.strip_prefix("stage ")?.rsplit_once(' '))
            .filter_map(|(name, micros)| Some((name, micros.trim().parse::<u64>().ok()? / 1000)))
            .filter(|(_, at)| *at > 0)
            .map(|(name, at)| Stage { name: name.to_owned(), at_ms: before + at })
            .collect();
        reached.sort_by_key(|stage| stage.at_ms);
        Ok(std::iter::once(firmware).chain(reached).collect())
    }

    async fn idle(&self) -> Result<Idle, DebianError> {
        let report = self.reported("end", IDLE + Duration::from_mins(1)).await?;
        let bytes = |name: &'static str| {
            let kib = report.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
            kib.and_then(|kib| kib.parse::<u64>().ok()).map(|kib| kib * 1024).ok_or(DebianError::Report(name))
        };
        let total = bytes("MemTotal:")?;
        let used = total.saturating_sub(bytes("MemAvailable:")?);
        Ok(Idle { total, used, qemu: self.process.resident()? })
    }

    /// The report, once it has a line that begins with a word.
    async fn reported(&self, word: &str, within: Duration) -> Result<String, DebianError> {
        let waiting = async {
            loop {
                let report = fs_err::read_to_string(&self.report).unwrap_or_default();
                // The end of the last line may be on its way.
                if report.ends_with('\n') && report.lines().any(|line| line.starts_with(word)) {
                    return report;
                }
                sleep(LOOK).await;
            }
        };
        timeout(within, waiting).await.map_err(|_| self.late("report", within))
    }

    /// Presses the power button and waits for the end.
    async fn end(&mut self) -> Result<(), DebianError> {
        let mut control = BufReader::new(UnixStream::connect(&self.control).await?);
        for command in ["qmp_capabilities", "system_powerdown"] {
            let mut line = String::new();
            control.read_line(&mut line).await?;
            control.write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes()).await?;
        }
        timeout(END, self.child.wait()).await.map_err(|_| self.late("switch off", END))??;
        Ok(())
    }

    fn late(&self, what: &'static str, after: Duration) -> DebianError {
        DebianError::Late { what, after, console: self.console.clone() }
    }
}

async fn attempt(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
    ping(&mut stream).await.is_ok_and(|line| line.contains(" 200 "))
}

fn seconds_to_ms(report: &str, name: &str) -> Option<u64> {
    let seconds: f64 = report.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())?;
    Some((seconds * 1000.0) as u64)
}

/// What stands first in the arguments of Cove's machine, word for word: machine, memory, processors, accelerator.
fn common_words(hardware: &Hardware, accelerator: Accelerator, image: &DebianImage) -> Vec<OsString> {
    let config = VmConfig {
        architecture: hardware.architecture,
        cpus: hardware.cpus,
        memory_mib: hardware.memory_mib,
        image: BootImage {
            kernel: image.kernel(),
            initramfs: image.initrd(),
            root: image.disk(),
            manifest: None,
        },
        data_disk: DataDisk { path: image.disk(), size_gib: 1 },
        shares: Vec::new(),
        network: Network::UserMode,
        console_log: image.disk(),
        run_dir: image.disk(),
        kernel_arguments: Vec::new(),
        wishes: vmm::Wishes::default(),
    };
    vmm::qemu::argv(&config, accelerator).into_iter().take_while(|word| word != "-chardev").collect()
}

/// The rest: Debian's kernel and disk, and the devices that Cove's machine has too.
fn own_words(
    hardware: &Hardware,
    accelerator: Accelerator,
    image: &DebianImage,
    disk: &Utf8Path,
) -> Vec<String> {
    let console = match hardware.architecture {
        vmm::Architecture::Amd64 => "ttyS0",
        vmm::Architecture::Arm64 => "ttyAMA0",
    };
    let mut kernel = format!("root=LABEL=root ro console={console} quiet");
    if accelerator == Accelerator::Tcg {
        // As for Cove's kernel: what a translated guest should not pay for is no difference between the systems.
        kernel += " mitigations=off nokaslr";
        if hardware.architecture == vmm::Architecture::Amd64 {
            kernel += " no_timer_check";
        }
    }
    let disk = format!(
        "driver=raw,node-name=disk,discard=unmap,detect-zeroes=unmap,file.driver=file,file.filename={disk}"
    );
    [
        ("-kernel", image.kernel().into_string()),
        ("-initrd", image.initrd().into_string()),
        ("-append", kernel),
        ("-blockdev", disk),
        ("-device", "virtio-blk-pci,drive=disk,write-cache=on".to_owned()),
        ("-device", "virtio-net-pci,netdev=net,romfile=".to_owned()),
        ("-object", "rng-random,id=rng,filename=/dev/urandom".to_owned()),
        ("-device", "virtio-rng-pci,rng=rng".to_owned()),
    ]
    .into_iter()
    .flat_map(|(option, value)| [option.to_owned(), value])
    .collect()
}
