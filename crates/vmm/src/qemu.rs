//! Machines on QEMU, for Linux hosts: x86-64 and AArch64 guests, by KVM where it works and by translation
//! elsewhere.
//!
//! Each machine is one QEMU and one virtiofsd a share, started through a launcher that ties their lives to ours.
//! QEMU's control channel and the agent's port are socket pairs that no other process can reach. Where the host's
//! kernel offers sockets to guests, they carry the agent's streams instead, under a key told on that port.

pub(crate) mod accelerator;
pub(crate) mod argv;
mod carriers;
mod machine;
pub(crate) mod qmp;
pub(crate) mod virtiofsd;

use std::ffi::OsString;
use std::time::Duration;

use camino::Utf8PathBuf;
use futures::FutureExt as _;
use futures::future::BoxFuture;

pub use accelerator::Verdict;
pub use argv::{ADDRESS_WORDS, argv};
pub use qmp::QmpError;

use crate::{Accelerator, Architecture, Error, Hypervisor, VmConfig, VmDriver, disk, image, process};

/// How long a guest may take to its first word when translated: some ten times what a busy machine needs.
const TRANSLATED_BOOT: Duration = Duration::from_mins(3);

/// The same under KVM.
const NATIVE_BOOT: Duration = Duration::from_mins(1);

/// The QEMU installed on this host.
#[derive(Debug, Clone)]
pub struct Qemu {
    launcher: Vec<OsString>,
    accelerator_memory: Option<Utf8PathBuf>,
    boot_deadline: Option<Duration>,
}

impl Qemu {
    /// Uses `launcher` in front of every program it starts. That program must make the one after it die with the
    /// present process, also when this one is killed outright; an empty launcher gives no such promise.
    pub fn new(launcher: Vec<OsString>) -> Self {
        Self { launcher, accelerator_memory: None, boot_deadline: None }
    }

    /// Remembers in this file whether the host's KVM runs our guests, so that it is tried once and not at each
    /// boot.
    #[must_use]
    pub fn remember_accelerator_in(mut self, file: Utf8PathBuf) -> Self {
        self.accelerator_memory = Some(file);
        self
    }

    /// Gives the guest another time to answer than the one that suits its accelerator.
    #[must_use]
    pub fn with_boot_deadline(mut self, deadline: Duration) -> Self {
        self.boot_deadline = Some(deadline);
        self
    }

    fn deadline(&self, accelerator: Accelerator) -> Duration {
        self.boot_deadline.unwrap_or(match accelerator {
            Accelerator::Kvm | Accelerator::Hvf => NATIVE_BOOT,
            Accelerator::Tcg => TRANSLATED_BOOT,
        })
    }

    async fn boot_machine(&self, config: VmConfig) -> Result<Box<dyn VmDriver>, Error> {
        self.validate(&config)?;
        let program = find(config.architecture)?;
        let virtiofsd = if config.shares.is_empty() { None } else { Some(virtiofsd::find()?) };
        let manifest = image::check(&config.image).await?;
        disk::create_folder(&config.run_dir)?;
        disk::prepare(&config.data_disk)?;
        disk::wait_until_free(&config.data_disk).await;
        let verdict = accelerator::choose(
            self,
            &program,
            &config,
            manifest.as_ref(),
            self.accelerator_memory.as_deref(),
        )
        .await?;
        tracing::info!(accelerator = %verdict.accelerator, reason = %verdict.reason, "accelerator chosen");
        let machine =
            machine::start(self, &program, virtiofsd.as_deref(), config, verdict.accelerator).await?;
        Ok(Box::new(machine))
    }
}

impl Hypervisor for Qemu {
    fn name(&self) -> &'static str {
        "qemu"
    }

    fn validate(&self, config: &VmConfig) -> Result<(), Error> {
        config.check()
    }

    fn boot(&self, config: VmConfig) -> BoxFuture<'_, Result<Box<dyn VmDriver>, Error>> {
        self.boot_machine(config).boxed()
    }
}

/// Finds the QEMU for guests of an architecture.
///
/// # Errors
/// [`Error::HypervisorMissing`] with the program's name.
pub fn find(architecture: Architecture) -> Result<Utf8PathBuf, Error> {
    let program = match architecture {
        Architecture::Amd64 => "qemu-system-x86_64",
        Architecture::Arm64 => "qemu-system-aarch64",
    };
    process::find_on_path(program).ok_or_else(|| Error::HypervisorMissing { program: program.to_owned() })
}

/// Finds virtiofsd: `COVE_VIRTIOFSD`, then `PATH`, then where distributions hide it, then Cove's own tools.
///
/// # Errors
/// [`Error::VirtiofsdMissing`] with every place looked at.
pub fn find_virtiofsd() -> Result<Utf8PathBuf, Error> {
    virtiofsd::find()
}
