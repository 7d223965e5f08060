//! From our description of a machine and the facts of a Mac to exactly what the framework is told. Pure: nothing is
//! opened, asked or made.
//!
//! Every machine also has one socket device and one virtio console, which have nothing to be described.

use camino::{Utf8Path, Utf8PathBuf};
use protocol::guest_words;

use super::host::{HostFacts, Missing, OLDEST, ROSETTA_CACHE};
use super::identity::{MacAddress, MachineIdentity};
use crate::{Architecture, Error, Network, Share, VmConfig};

/// Tag of the one device under which the guest finds all shared folders, each as a folder named by its own tag.
pub const SHARES_TAG: &str = "cove";

/// Tag of the device with Rosetta's translator.
pub const ROSETTA_TAG: &str = "rosetta";

/// Where the translator finds Rosetta's cache daemon, in the guest and in each container: below `/dev`, which a container
/// has for itself, so that no image keeps a trace.
pub const ROSETTA_SOCKET: &str = "/dev/cove/rosetta/rosetta.sock";

/// Bytes in a MiB.
const MIB: u64 = 1 << 20;

/// What the framework is told of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineDescription {
    /// What it boots.
    pub boot: LinuxBoot,
    /// What it is.
    pub platform: GenericPlatform,
    /// Virtual processors.
    pub cpus: u32,
    /// Memory, in bytes.
    pub memory: u64,
    /// Its virtio block devices: the guest's root first, its data second.
    pub disks: Vec<Disk>,
    /// The folders behind the device [`SHARES_TAG`], of which there is one even without folders: they can be
    /// changed while the machine runs, and a device cannot.
    pub shares: Vec<SharedFolder>,
    /// Rosetta's device, or why there is none.
    pub rosetta: Result<RosettaShare, Missing>,
    /// Its network card.
    pub network: NetworkCard,
    /// Whether it has a source of random bytes.
    pub entropy: Result<(), Missing>,
    /// Whether it has a balloon.
    pub balloon: Result<(), Missing>,
    /// File that receives what the guest writes to its console.
    pub console: Utf8PathBuf,
    /// Whether its state can be kept.
    pub saving: Result<(), Missing>,
}

/// A Linux kernel that the framework starts by itself, without firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinuxBoot {
    /// An uncompressed `Image`.
    pub kernel: Utf8PathBuf,
    /// What the kernel starts first.
    pub initramfs: Utf8PathBuf,
    /// The kernel's words.
    pub command_line: String,
}

/// What sort of machine it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenericPlatform {
    /// The framework's own bytes for this machine, the same at every start: a saved state belongs to them.
    pub machine_identifier: Vec<u8>,
    /// Whether machines can run inside.
    pub nested: Result<(), Missing>,
}

/// A virtio block device on a raw file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The file.
    pub path: Utf8PathBuf,
    /// Whether the guest may only read.
    pub read_only: bool,
    /// The host's cache.
    pub caching: Caching,
    /// What a flush of the guest does.
    pub synchronization: Synchronization,
    /// The name the guest reads from the device, at most 20 bytes.
    pub identifier: &'static str,
}

/// What the host caches of a disk. The framework also has `automatic` and `uncached`: both corrupt the file systems of
/// Linux guests on Apple Silicon, so they cannot be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// Everything goes through the host's page cache.
    Cached,
}

/// What a flush of the guest does on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronization {
    /// It reaches the drive: whole after a crash of macOS; a power cut may lose the last seconds.
    Fsync,
    /// It reaches the medium (`F_FULLFSYNC`), which takes some six times longer.
    Full,
}

/// A folder of the host under the device [`SHARES_TAG`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFolder {
    /// Its name there.
    pub name: String,
    /// The folder.
    pub path: Utf8PathBuf,
    /// Whether the host refuses writes.
    pub read_only: bool,
}

impl From<&Share> for SharedFolder {
    fn from(share: &Share) -> Self {
        Self { name: share.tag.clone(), path: share.host_path.clone(), read_only: share.read_only }
    }
}

/// The device with Rosetta's translator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosettaShare {
    /// Its tag.
    pub tag: &'static str,
    /// The socket of the daemon that keeps translations, in the guest; or why each program is translated again.
    pub cache: Result<&'static str, Missing>,
}

/// A virtio network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkCard {
    /// Its address, the same at every start: a saved state belongs to it.
    pub mac: MacAddress,
    /// What is at its other end.
    pub attachment: NetworkAttachment,
}

/// What is at the other end of a network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkAttachment {
    /// macOS's own network for machines: DHCP, and addresses translated.
    Nat,
    /// A datagram socket with one Ethernet frame a datagram, for a network in user space; see [`super::frames`].
    Frames {
        /// Largest packet, in bytes.
        mtu: u16,
    },
}

/// Describes a machine for the framework.
///
/// # Errors
/// [`Error::InvalidConfig`] for what no Mac, or not this one, can run.
pub fn describe(
    config: &VmConfig,
    host: &HostFacts,
    identity: &MachineIdentity,
    kernel_release: Option<&str>,
) -> Result<MachineDescription, Error> {
    config.check()?;
    check_host(config, host)?;
    let wishes = config.wishes;
    let granted = |wish| if wish { Ok(()) } else { Err(Missing::NotWished) };
    let saving = granted(wishes.saving).and_then(|()| host.saving());
    let rosetta = granted(wishes.rosetta).and_then(|()| host.rosetta(kernel_release)).map(|()| {
        RosettaShare { tag: ROSETTA_TAG, cache: host.at_least(ROSETTA_CACHE).map(|()| ROSETTA_SOCKET) }
    });
    // Both devices have made saved states fail, so a machine that is to be saved does without.
    let unless_saving = || if saving.is_ok() { Err(Missing::HindersSaving) } else { Ok(()) };
    let synchronization = if wishes.safe_disk { Synchronization::Full } else { Synchronization::Fsync };
    Ok(MachineDescription {
        boot: LinuxBoot {
            kernel: config.image.kernel.clone(),
            initramfs: config.image.initramfs.clone(),
            command_line: command_line(config),
        },
        platform: GenericPlatform {
            machine_identifier: identity.machine_identifier.clone(),
            nested: granted(wishes.nested).and_then(|()| host.nesting()),
        },
        cpus: config.cpus.clamp(*host.cpus.start(), *host.cpus.end()),
        memory: whole_mib(config.memory_mib.saturating_mul(MIB), host),
        disks: vec![
            disk(&config.image.root, true, Synchronization::Fsync, "root"),
            disk(&config.data_disk.path, false, synchronization, "data"),
        ],
        shares: config.shares.iter().map(SharedFolder::from).collect(),
        rosetta,
        network: NetworkCard {
            mac: identity.mac,
            attachment: match config.network {
                Network::UserMode => NetworkAttachment::Nat,
            },
        },
        entropy: unless_saving(),
        balloon: unless_saving(),
        console: config.console_log.clone(),
        saving,
    })
}

impl MachineDescription {
    /// The same machine without the ability to be saved, and with the devices that hindered it.
    #[must_use]
    pub fn without_saving(mut self, why: Missing) -> Self {
        self.entropy = Ok(());
        self.balloon = Ok(());
        self.saving = Err(why);
        self
    }

    /// Each ability with the reason where it lacks.
    pub fn abilities(&self) -> [(&'static str, Option<&Missing>); 5] {
        [
            ("Rosetta", self.rosetta.as_ref().err()),
            ("Rosetta's cache", self.rosetta.as_ref().ok().and_then(|share| share.cache.as_ref().err())),
            ("nested virtualization", self.platform.nested.as_ref().err()),
            ("saving and restoring", self.saving.as_ref().err()),
            ("balloon", self.balloon.as_ref().err()),
        ]
    }
}

fn check_host(config: &VmConfig, host: &HostFacts) -> Result<(), Error> {
    let invalid = |field, problem| Err(Error::InvalidConfig { field, problem });
    if !host.supported {
        return Err(Error::HostCannot {
            problem: "macOS says that this Mac cannot run virtual machines".to_owned(),
        });
    }
    if host.macos < OLDEST {
        let problem = format!("it needs macOS {OLDEST}, this is {}", host.macos);
        return Err(Error::HostCannot { problem });
    }
    if config.architecture != host.architecture {
        let (wanted, present) = (config.architecture.as_str(), host.architecture.as_str());
        return invalid("architecture", format!("{wanted} does not run on {present}"));
    }
    // The framework takes no more than one name for each, and treats these as the same.
    let mut names: Vec<_> = config.shares.iter().map(|share| share.tag.to_ascii_lowercase()).collect();
    names.sort();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            invalid("shares", format!("two tags differ only in their letters' case (`{}`)", pair[0]))
        }
        None => Ok(()),
    }
}

/// Memory within what the host allows, in whole MiB as the framework wants it.
fn whole_mib(memory: u64, host: &HostFacts) -> u64 {
    let most = host.memory.end() / MIB * MIB;
    let least = host.memory.start().div_ceil(MIB) * MIB;
    memory.clamp(least.min(most), most)
}

fn disk(
    path: &Utf8Path,
    read_only: bool,
    synchronization: Synchronization,
    identifier: &'static str,
) -> Disk {
    Disk { path: path.to_owned(), read_only, caching: Caching::Cached, synchronization, identifier }
}

fn command_line(config: &VmConfig) -> String {
    let mut words = vec!["console=hvc0"];
    words.extend(guest_words::KERNEL);
    if config.architecture == Architecture::Amd64 {
        // Rehearsals only, where the processor is a translator.
        words.extend(["mitigations=off", "nokaslr", "no_timer_check"]);
    }
    words.extend([guest_words::AGENT_ON_SOCKETS, guest_words::NETWORK_BY_DHCP]);
    let shares = format!("{}={SHARES_TAG}", guest_words::SHARES);
    words.push(&shares);
    words.extend(config.kernel_arguments.iter().map(String::as_str));
    words.join(" ")
}

#[cfg(test)]
mod tests;
