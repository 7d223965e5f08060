//! The Mac as far as a machine depends on it, and why it lacks an ability.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::Architecture;

/// Saving works with a shared folder from here on; before, the framework refuses such a machine.
pub const SAVING: MacosVersion = MacosVersion { major: 15, minor: 5 };

/// The first with nested virtualization.
pub const NESTED: MacosVersion = MacosVersion { major: 15, minor: 0 };

/// The first on which Rosetta keeps what it translated.
pub const ROSETTA_CACHE: MacosVersion = MacosVersion { major: 14, minor: 0 };

/// The first whose Rosetta knows the words that Linux 6.13 and later pass to programs.
pub const ROSETTA_NEW_KERNELS: MacosVersion = MacosVersion { major: 26, minor: 0 };

/// The oldest that machines run on.
pub const OLDEST: MacosVersion = MacosVersion { major: 14, minor: 0 };

/// A version of macOS, as far as abilities depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MacosVersion {
    /// 14, 15, 26 and so on.
    pub major: u32,
    /// The number behind it.
    pub minor: u32,
}

impl fmt::Display for MacosVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.minor == 0 { write!(f, "{}", self.major) } else { write!(f, "{}.{}", self.major, self.minor) }
    }
}

/// Whether Rosetta can translate for Linux here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rosetta {
    /// Not on this Mac.
    NotSupported,
    /// It can be installed.
    NotInstalled,
    /// It is there.
    Installed,
}

/// What the framework and the system say of this Mac.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Version of macOS.
    pub macos: MacosVersion,
    /// Its build, which changes with every update: `24F74`.
    pub build: String,
    /// Instruction set of the host, and so of its guests.
    pub architecture: Architecture,
    /// Whether it can run machines at all.
    pub supported: bool,
    /// Virtual processors a machine may have.
    pub cpus: RangeInclusive<u32>,
    /// Memory a machine may have, in bytes.
    pub memory: RangeInclusive<u64>,
    /// Whether the processor can nest machines.
    pub nested: bool,
    /// Whether Rosetta is there.
    pub rosetta: Rosetta,
}

/// Why a machine does without an ability.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Missing {
    /// Nobody asked for it.
    #[error("it is not asked for")]
    NotWished,
    /// A newer macOS has it.
    #[error("it needs macOS {needed}, this is {present}")]
    NeedsMacos {
        /// The first version with it.
        needed: MacosVersion,
        /// The version here.
        present: MacosVersion,
    },
    /// The processor lacks it.
    #[error("this Mac's processor cannot do it (M3 and later can)")]
    NotOnThisProcessor,
    /// macOS does not have it on this Mac.
    #[error("macOS does not offer it on this Mac")]
    NotOnThisMac,
    /// It has to be installed.
    #[error("Rosetta is not installed; install it with `cove machine install-rosetta`")]
    NotInstalled,
    /// Rosetta would abort every program under this kernel.
    #[error("Linux {kernel} needs the Rosetta of macOS {needed}, this is {present}; an update helps")]
    KernelTooNew {
        /// `uname -r` of the guest.
        kernel: String,
        /// The first version of macOS that works with it.
        needed: MacosVersion,
        /// The version here.
        present: MacosVersion,
    },
    /// Nothing tells which kernel the image has.
    #[error("the image does not say which kernel it has, and Rosetta fails with some")]
    KernelUnknown,
    /// It is left out because the framework cannot save a machine that has it.
    #[error("a machine with it cannot be saved")]
    HindersSaving,
    /// The framework refused it when it was asked.
    #[error("macOS refuses it: {reason}")]
    Refused {
        /// Its words.
        reason: String,
    },
}

impl HostFacts {
    /// Refuses an ability that a newer macOS has.
    pub(super) fn at_least(&self, needed: MacosVersion) -> Result<(), Missing> {
        if self.macos >= needed { Ok(()) } else { Err(Missing::NeedsMacos { needed, present: self.macos }) }
    }

    /// Whether a machine here can be nested in.
    pub fn nesting(&self) -> Result<(), Missing> {
        self.at_least(NESTED)?;
        if self.nested { Ok(()) } else { Err(Missing::NotOnThisProcessor) }
    }

    /// Whether a machine here can be saved, as far as its version tells; the framework has the last word.
    pub fn saving(&self) -> Result<(), Missing> {
        self.at_least(SAVING)
    }

    /// Whether Rosetta translates for a guest with this kernel.
    pub fn rosetta(&self, kernel_release: Option<&str>) -> Result<(), Missing> {
        match self.rosetta {
            Rosetta::NotSupported => return Err(Missing::NotOnThisMac),
            Rosetta::NotInstalled => return Err(Missing::NotInstalled),
            Rosetta::Installed => {}
        }
        if self.macos >= ROSETTA_NEW_KERNELS {
            return Ok(());
        }
        let kernel = kernel_release.ok_or(Missing::KernelUnknown)?;
        // 6.13 brought an entry of the auxiliary vector at which an older Rosetta aborts. Of 6.11 and 6.12 both is
        // reported, failure and success: there the guest's test at boot decides. See docs/design/0011.
        match major_and_minor(kernel) {
            Some(version) if version < (6, 13) => Ok(()),
            Some(_) => Err(Missing::KernelTooNew {
                kernel: kernel.to_owned(),
                needed: ROSETTA_NEW_KERNELS,
                present: self.macos,
            }),
            None => Err(Missing::KernelUnknown),
        }
    }

    /// Each ability of this Mac with the reason where it lacks, for a machine with this kernel.
    pub fn abilities(&self, kernel_release: Option<&str>) -> [(&'static str, Result<(), Missing>); 4] {
        [
            ("Rosetta", self.rosetta(kernel_release)),
            ("Rosetta's cache", self.at_least(ROSETTA_CACHE)),
            ("nested virtualization", self.nesting()),
            ("saving and restoring", self.saving()),
        ]
    }
}

/// Where macOS says which build it is.
#[cfg(target_os = "macos")]
const SYSTEM_VERSION: &str = "/System/Library/CoreServices/SystemVersion.plist";

/// The build of this macOS. Where it cannot be read it is empty, and nothing saved then is used under another one.
#[cfg(target_os = "macos")]
pub(super) fn build() -> String {
    let text = fs_err::read_to_string(SYSTEM_VERSION).unwrap_or_default();
    build_in(&text).unwrap_or_default().to_owned()
}

/// The build in the text of that property list.
#[cfg(any(test, target_os = "macos"))]
fn build_in(plist: &str) -> Option<&str> {
    let (_, after) = plist.split_once("<key>ProductBuildVersion</key>")?;
    let (_, value) = after.split_once("<string>")?;
    Some(value.split_once("</string>")?.0)
}

/// The first two numbers of `uname -r`.
fn major_and_minor(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A Mac that can do everything.
    pub(crate) fn mac() -> HostFacts {
        HostFacts {
            macos: MacosVersion { major: 26, minor: 1 },
            build: "25B78".to_owned(),
            architecture: Architecture::Arm64,
            supported: true,
            cpus: 1..=8,
            memory: (4 << 20)..=(16 << 30),
            nested: true,
            rosetta: Rosetta::Installed,
        }
    }

    fn on(major: u32, minor: u32) -> HostFacts {
        HostFacts { macos: MacosVersion { major, minor }, ..mac() }
    }

    #[test]
    fn rosetta_is_off_where_it_would_abort_every_program_and_says_why() {
        let why = |host: HostFacts, kernel| host.rosetta(kernel).unwrap_err().to_string();
        assert_eq!(on(14, 0).rosetta(Some("6.12.57+deb13-cloud-arm64")), Ok(()));
        assert_eq!(on(26, 0).rosetta(Some("6.12.57+deb13-cloud-arm64")), Ok(()));
        assert_eq!(on(26, 0).rosetta(None), Ok(()));
        assert_eq!(
            why(on(15, 5), Some("6.13.2+deb13-cloud-arm64")),
            "Linux 6.13.2+deb13-cloud-arm64 needs the Rosetta of macOS 26, this is 15.5; an update helps"
        );
        assert!(on(15, 5).rosetta(Some("6.13-rc1")).is_err());
        assert!(on(15, 5).rosetta(Some("7.0.0")).is_err());
        assert_eq!(on(15, 5).rosetta(None), Err(Missing::KernelUnknown));
        assert_eq!(on(15, 5).rosetta(Some("linux")), Err(Missing::KernelUnknown));
        let absent = HostFacts { rosetta: Rosetta::NotInstalled, ..mac() };
        assert!(why(absent, None).contains("cove machine install-rosetta"));
    }

    #[test]
    fn the_build_is_read_from_the_systems_own_file() {
        let plist = "<dict>\n\t<key>BuildID</key>\n\t<string>X</string>\n\t<key>ProductBuildVersion</key>\n\t\
                     <string>25B78</string>\n</dict>";
        assert_eq!(build_in(plist), Some("25B78"));
        assert_eq!(build_in("<dict/>"), None);
    }

    #[test]
    fn versions_decide_what_can_be_had() {
        assert_eq!(on(15, 4).saving().unwrap_err().to_string(), "it needs macOS 15.5, this is 15.4");
        assert_eq!(on(15, 5).saving(), Ok(()));
        assert_eq!(on(14, 6).nesting().unwrap_err().to_string(), "it needs macOS 15, this is 14.6");
        let old_processor = HostFacts { nested: false, ..mac() };
        assert_eq!(old_processor.nesting(), Err(Missing::NotOnThisProcessor));
        assert!(mac().abilities(None).iter().all(|(_, ability)| ability.is_ok()));
    }
}
