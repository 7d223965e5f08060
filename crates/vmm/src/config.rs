//! The description of a machine: plain data, the same for every driver.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{BootImage, Error};

/// Most shares one machine can have: each takes a slot on the guest's PCI bus.
pub const MAX_SHARES: usize = 16;

/// Longest tag of a share, in bytes; virtio fixes it.
const MAX_TAG_BYTES: usize = 36;

/// Least memory the guest image boots with, in MiB.
const MIN_MEMORY_MIB: u64 = 256;

/// A machine as it should be. All paths are absolute and of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmConfig {
    /// Instruction set of the guest.
    pub architecture: Architecture,
    /// Virtual processors.
    pub cpus: u32,
    /// Memory of the guest, in MiB.
    pub memory_mib: u64,
    /// What it boots.
    pub image: BootImage,
    /// Its writable disk.
    pub data_disk: DataDisk,
    /// Folders of the host it can mount.
    #[serde(default)]
    pub shares: Vec<Share>,
    /// How it reaches the world.
    pub network: Network,
    /// File that receives the serial console; begun anew at each boot.
    pub console_log: Utf8PathBuf,
    /// Private folder for sockets; made if absent.
    pub run_dir: Utf8PathBuf,
    /// Words added at the end of the kernel command line.
    #[serde(default)]
    pub kernel_arguments: Vec<String>,
    /// What it should have where host and driver can.
    #[serde(default, skip_serializing_if = "Wishes::is_none")]
    pub wishes: Wishes,
}

/// What a machine has where host and driver can, and does without elsewhere: the driver says why in its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wishes {
    /// Programs for x86-64 through Apple's Rosetta.
    pub rosetta: bool,
    /// Virtual machines inside the machine.
    pub nested: bool,
    /// A flush in the guest reaches the medium of the host's disk: no loss by a power cut, and each flush takes
    /// some six times longer.
    pub safe_disk: bool,
    /// Its state can be kept, so that it goes on where it was.
    pub saving: bool,
}

impl Wishes {
    /// Whether nothing is wished: such a description is written, and digested, as it was before there were wishes.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Instruction set of a guest, in the words of Debian and OCI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

impl Architecture {
    /// The one of this host; `None` where no guest image exists for it.
    pub fn host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// The word for it in file names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// The writable disk of a machine: a sparse raw file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataDisk {
    /// The file; made if absent.
    pub path: Utf8PathBuf,
    /// Its size as the guest sees it, in GiB. A disk that is larger already stays so.
    pub size_gib: u64,
}

/// A folder of the host that the guest may mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Name under which the guest finds it.
    pub tag: String,
    /// The folder.
    pub host_path: Utf8PathBuf,
    /// Whether the host refuses writes.
    #[serde(default)]
    pub read_only: bool,
}

/// The network device of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A private network 10.0.2.0/24 behind the hypervisor's own user-mode stack: guest 10.0.2.15, host and
    /// gateway 10.0.2.2, DNS 10.0.2.3.
    UserMode,
}

impl VmConfig {
    /// A digest of everything in the description: two machines with the same one are made alike.
    ///
    /// # Panics
    /// Never: the description is plain data that JSON can hold.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("a VmConfig has only string keys");
        crate::image::hex(&Sha256::digest(json))
    }

    /// Checks what every driver needs; drivers add their own.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.cpus == 0 {
            return invalid("number of processors", "it is 0".to_owned());
        }
        if self.memory_mib < MIN_MEMORY_MIB {
            return invalid("memory", format!("{} MiB is less than {MIN_MEMORY_MIB} MiB", self.memory_mib));
        }
        if self.data_disk.size_gib == 0 {
            return invalid("data disk", "its size is 0".to_owned());
        }
        check_shares(&self.shares)?;
        for word in &self.kernel_arguments {
            if word.is_empty() || word.chars().any(|c| c.is_whitespace() || c.is_control()) {
                return invalid("kernel arguments", format!("`{}` is not one word", word.escape_debug()));
            }
        }
        all_absolute(self.paths())
    }

    fn paths(&self) -> impl Iterator<Item = &Utf8Path> {
        let fixed = [
            &self.image.kernel,
            &self.image.initramfs,
            &self.image.root,
            &self.data_disk.path,
            &self.console_log,
            &self.run_dir,
        ];
        fixed.into_iter().map(Utf8PathBuf::as_path)
    }
}

fn invalid(field: &'static str, problem: String) -> Result<(), Error> {
    Err(Error::InvalidConfig { field, problem })
}

fn all_absolute<'a>(mut paths: impl Iterator<Item = &'a Utf8Path>) -> Result<(), Error> {
    match paths.find(|path| !path.is_absolute()) {
        Some(path) => invalid("paths", format!("`{path}` is not absolute")),
        None => Ok(()),
    }
}

/// Checks what every driver needs of shares.
pub(crate) fn check_shares(shares: &[Share]) -> Result<(), Error> {
    if shares.len() > MAX_SHARES {
        return invalid("shares", format!("there are {}, at most {MAX_SHARES} work", shares.len()));
    }
    let mut tags = BTreeSet::new();
    for share in shares {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if share.tag.is_empty() || share.tag.len() > MAX_TAG_BYTES || !share.tag.chars().all(plain) {
            return invalid(
                "shares",
                format!("`{}` is no tag (1 to 36 letters, digits, - and _)", share.tag),
            );
        }
        if !tags.insert(&share.tag) {
            return invalid("shares", format!("the tag `{}` is used twice", share.tag));
        }
    }
    all_absolute(shares.iter().map(|share| share.host_path.as_path()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> VmConfig {
        VmConfig {
            architecture: Architecture::Amd64,
            cpus: 2,
            memory_mib: 2048,
            image: BootImage::in_folder("/images/amd64".into()),
            data_disk: DataDisk { path: "/machines/default/data.img".into(), size_gib: 64 },
            shares: vec![Share { tag: "share0".into(), host_path: "/home/ada".into(), read_only: false }],
            network: Network::UserMode,
            console_log: "/machines/default/console.log".into(),
            run_dir: "/machines/default".into(),
            kernel_arguments: vec!["cove.log=debug".into()],
            wishes: Wishes::default(),
        }
    }

    #[test]
    fn a_digest_changes_with_any_part_and_only_then() {
        let one = sample();
        let mut other = sample();
        assert_eq!(one.digest(), other.digest());
        other.shares[0].read_only = true;
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn a_description_survives_the_trip_through_its_file() {
        let json = serde_json::to_string(&sample()).unwrap();
        assert_eq!(serde_json::from_str::<VmConfig>(&json).unwrap(), sample());
    }

    #[test]
    fn nonsense_is_refused_with_its_name() {
        type Change = fn(&mut VmConfig);
        let cases: [(Change, &str); 6] = [
            (|c| c.cpus = 0, "number of processors cannot be used: it is 0"),
            (|c| c.memory_mib = 64, "64 MiB is less than"),
            (|c| c.shares.push(c.shares[0].clone()), "the tag `share0` is used twice"),
            (|c| c.shares[0].tag = "a,b".into(), "`a,b` is no tag"),
            (|c| c.kernel_arguments.push("a b".into()), "`a b` is not one word"),
            (|c| c.data_disk.path = "data.img".into(), "`data.img` is not absolute"),
        ];
        sample().check().unwrap();
        for (change, expected) in cases {
            let mut config = sample();
            change(&mut config);
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
