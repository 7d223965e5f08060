//! Machines on Apple's Virtualization.framework, for Macs with Apple Silicon and macOS 14 or later.
//!
//! Four layers, of which only the last needs a Mac to run:
//!
//! - [`description`]: from our description and the facts of the host to exactly what the framework is told; pure.
//! - [`framework`]: the framework's calls as a trait, with what its errors mean in [`error`].
//! - this module, `start` and `machine`: the driver, above that trait. It asks how a machine stands instead of
//!   remembering it, tries again what can pass, and keeps and uses saved states ([`saved`]).
//! - `objc`: the trait over Apple's classes; the only unsafe code. `rehearsal` is the trait over QEMU: in tests, the
//!   same driver boots a real guest on Linux.

pub mod description;
pub mod error;
pub mod frames;
pub mod framework;
pub mod host;
pub mod identity;
mod kernel;
mod machine;
#[cfg(target_os = "macos")]
mod objc;
#[cfg(all(test, target_os = "linux"))]
mod rehearsal;
mod rosetta;
pub mod saved;
mod start;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use fs_err as fs;
use futures::FutureExt as _;
use futures::future::BoxFuture;

pub use description::MachineDescription;
pub use error::{Cause, FrameworkError};
pub use framework::Framework;
pub use host::{HostFacts, MacosVersion, Missing, Rosetta};
pub use identity::{MacAddress, MachineIdentity};
pub use rosetta::{InstallError, Installed};

use crate::{Error, Hypervisor, Share, VmConfig, VmDriver, disk, image};
use saved::{Fingerprint, Saved};

/// How long a guest may take to its first word.
const BOOT: Duration = Duration::from_mins(1);

/// How long a restored guest may take to answer: it need not boot.
const RESTORED: Duration = Duration::from_secs(15);

/// The framework's machines.
#[derive(Debug, Clone)]
pub struct Vz {
    framework: Arc<dyn Framework>,
    boot_deadline: Duration,
    restored_deadline: Duration,
}

impl Vz {
    /// Machines made by this framework.
    pub fn over(framework: Arc<dyn Framework>) -> Self {
        Self { framework, boot_deadline: BOOT, restored_deadline: RESTORED }
    }

    /// Machines made by macOS. This process needs the entitlement `com.apple.security.virtualization`; without it,
    /// every boot fails and says so.
    #[cfg(target_os = "macos")]
    pub fn of_this_mac() -> Self {
        Self::over(Arc::new(objc::Apple))
    }

    /// Gives the guest other times to answer: after a boot, and after it was restored.
    #[must_use]
    pub fn with_deadlines(mut self, boot: Duration, restored: Duration) -> Self {
        self.boot_deadline = boot;
        self.restored_deadline = restored;
        self
    }

    /// What this host can do.
    pub fn host(&self) -> HostFacts {
        self.framework.host()
    }

    /// Installs Rosetta, unless it is there. macOS asks the person for Apple's licence, and this waits.
    ///
    /// # Errors
    /// [`InstallError`]
    pub async fn install_rosetta(&self) -> Result<Installed, InstallError> {
        rosetta::install(&*self.framework).await
    }

    async fn boot_machine(&self, config: VmConfig) -> Result<Box<dyn VmDriver>, Error> {
        let host = self.framework.host();
        let manifest = image::check(&config.image).await?;
        kernel::check(&config.image.kernel, config.architecture)?;
        check_folders(&config.shares)?;
        disk::create_folder(&config.run_dir)?;
        let identity = MachineIdentity::of_folder(&config.run_dir, || self.framework.new_identity())?;
        let kernel_release = manifest.as_ref().map(|manifest| manifest.kernel_release.as_str());
        let mut description = description::describe(&config, &host, &identity, kernel_release)?;
        disk::prepare(&config.data_disk)?;
        disk::wait_until_free(&config.data_disk).await;
        self.framework
            .validate(&description)
            .map_err(|source| Error::Framework { doing: "describe", source })?;
        if description.saving.is_ok()
            && let Err(error) = self.framework.validate_save_restore(&description)
        {
            description = description.without_saving(Missing::Refused { reason: error.to_string() });
        }
        for (ability, missing) in description.abilities() {
            if let Some(why) = missing {
                tracing::info!(ability, %why, "the machine does without");
            }
        }
        let fingerprint = Fingerprint { config_digest: config.digest(), macos_build: host.build, identity };
        let saved = Saved::in_folder(&config.run_dir);
        let plan = start::Plan { vz: self, config, description, fingerprint, saved };
        Ok(Box::new(plan.carry_out().await?))
    }
}

impl Hypervisor for Vz {
    fn name(&self) -> &'static str {
        "vz"
    }

    fn validate(&self, config: &VmConfig) -> Result<(), Error> {
        let nobody = MachineIdentity { machine_identifier: Vec::new(), mac: MacAddress::local([0; 6]) };
        description::describe(config, &self.framework.host(), &nobody, None).map(drop)
    }

    fn boot(&self, config: VmConfig) -> BoxFuture<'_, Result<Box<dyn VmDriver>, Error>> {
        self.boot_machine(config).boxed()
    }
}

/// What macOS says of this Mac; `None` elsewhere. Nothing is needed to ask.
pub fn this_mac() -> Option<HostFacts> {
    #[cfg(target_os = "macos")]
    return Some(Vz::of_this_mac().host());
    #[cfg(not(target_os = "macos"))]
    None
}

/// Installs Rosetta on this Mac. macOS asks the person for Apple's licence in a window of its own, and this waits.
///
/// # Errors
/// [`InstallError`]; [`InstallError::NotOnThisMac`] on any other computer.
pub fn install_rosetta() -> BoxFuture<'static, Result<Installed, InstallError>> {
    #[cfg(target_os = "macos")]
    return async { Vz::of_this_mac().install_rosetta().await }.boxed();
    #[cfg(not(target_os = "macos"))]
    std::future::ready(Err(InstallError::NotOnThisMac)).boxed()
}

/// The framework takes a path that is no folder and shows the guest nothing.
fn check_folders(shares: &[Share]) -> Result<(), Error> {
    match shares.iter().find(|share| !share.host_path.is_dir()) {
        Some(share) => {
            let problem = format!("`{}` is not a folder", share.host_path);
            Err(Error::InvalidConfig { field: "shares", problem })
        }
        None => Ok(()),
    }
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(path: &Utf8Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, content)?;
    fs::rename(&unfinished, path)
}
