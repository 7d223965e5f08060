//! The framework's calls on Apple's own classes: a mapping without decisions.
//!
//! This is the one place with unsafe code. What it rests on:
//!
//! - A machine and everything that belongs to it is touched on the machine's own serial dispatch queue only, its
//!   release included ([`queue::OnQueue`]). Descriptions belong to no queue.
//! - Objects are handed to setters and initializers of the types that Apple's headers name; `objc2-virtualization` is
//!   generated from those headers.
//! - A machine holds its delegate weakly, so both are kept together. Connections close their descriptor when they are
//!   released, so it is duplicated.
//! - Classes and selectors that are newer than macOS 14, the oldest that is supported, are behind `available!`.
//!
//! It is compiled and linted on Linux for `aarch64-apple-darwin`, and has never run: `docs/mac-verification.md`.

#![allow(unsafe_code, reason = "every call of an Objective-C method is unsafe; see above")]

mod configuration;
mod delegate;
mod machine;
mod queue;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use objc2::available;
use objc2::rc::Retained;
use objc2_foundation::{NSError, NSProcessInfo, NSString, NSURL};
use objc2_virtualization::{
    VZGenericMachineIdentifier, VZGenericPlatformConfiguration, VZLinuxRosettaAvailability,
    VZLinuxRosettaDirectoryShare, VZMACAddress, VZVirtualMachine, VZVirtualMachineConfiguration,
};

use super::description::MachineDescription;
use super::error::FrameworkError;
use super::framework::{Created, Framework};
use super::host::{self, HostFacts, MacosVersion, Rosetta};
use super::identity::{MacAddress, MachineIdentity};
use crate::Architecture;

/// Apple's framework.
#[derive(Debug, Clone, Copy)]
pub(super) struct Apple;

impl Framework for Apple {
    fn host(&self) -> HostFacts {
        let version = NSProcessInfo::processInfo().operatingSystemVersion();
        // SAFETY: class methods without arguments, on classes that macOS 14 has; the newer one is asked for first.
        let (supported, nested, rosetta, cpus, memory) = unsafe {
            (
                VZVirtualMachine::isSupported(),
                available!(macos = 15.0) && VZGenericPlatformConfiguration::isNestedVirtualizationSupported(),
                VZLinuxRosettaDirectoryShare::availability(),
                (
                    VZVirtualMachineConfiguration::minimumAllowedCPUCount(),
                    VZVirtualMachineConfiguration::maximumAllowedCPUCount(),
                ),
                (
                    VZVirtualMachineConfiguration::minimumAllowedMemorySize(),
                    VZVirtualMachineConfiguration::maximumAllowedMemorySize(),
                ),
            )
        };
        HostFacts {
            macos: MacosVersion {
                major: u32::try_from(version.majorVersion).unwrap_or_default(),
                minor: u32::try_from(version.minorVersion).unwrap_or_default(),
            },
            build: host::build(),
            architecture: Architecture::host().unwrap_or(Architecture::Arm64),
            supported,
            cpus: cpus.0 as u32..=cpus.1 as u32,
            memory: memory.0..=memory.1,
            nested,
            rosetta: match rosetta {
                VZLinuxRosettaAvailability::Installed => Rosetta::Installed,
                VZLinuxRosettaAvailability::NotInstalled => Rosetta::NotInstalled,
                _ => Rosetta::NotSupported,
            },
        }
    }

    fn install_rosetta(&self) -> BoxFuture<'_, Result<(), FrameworkError>> {
        let (answer, told) = queue::answer();
        // SAFETY: a class method of macOS 13. The block is copied by the framework, which calls it once.
        unsafe {
            VZLinuxRosettaDirectoryShare::installRosettaWithCompletionHandler(&machine::completion(answer));
        }
        told.boxed()
    }

    fn new_identity(&self) -> MachineIdentity {
        // SAFETY: initializers without arguments; both classes are of macOS 13 or older.
        let (identifier, mac) = unsafe {
            (
                VZGenericMachineIdentifier::new().dataRepresentation().to_vec(),
                VZMACAddress::randomLocallyAdministeredAddress().string().to_string(),
            )
        };
        let mac = MacAddress::try_from(mac).unwrap_or_else(|text| {
            unreachable!("the framework writes addresses as six hexadecimal numbers: {text}")
        });
        MachineIdentity { machine_identifier: identifier, mac }
    }

    fn validate(&self, description: &MachineDescription) -> Result<(), FrameworkError> {
        configuration::configure(description).map(drop)
    }

    fn validate_save_restore(&self, description: &MachineDescription) -> Result<(), FrameworkError> {
        let (configuration, _) = configuration::configure(description)?;
        // SAFETY: a method of macOS 14, on a description that nobody else holds.
        unsafe { configuration.validateSaveRestoreSupportWithError() }.map_err(|error| told(&error))
    }

    fn create(&self, description: &MachineDescription) -> Result<Created, FrameworkError> {
        machine::create(description)
    }
}

/// What an error of Apple's says.
fn told(error: &NSError) -> FrameworkError {
    let mut message = error.localizedDescription().to_string();
    if let Some(reason) = error.localizedFailureReason() {
        let reason = reason.to_string();
        if !message.contains(&reason) {
            message = format!("{message} {reason}");
        }
    }
    FrameworkError::from_parts(&error.domain().to_string(), error.code() as i64, &message)
}

/// A file's address as the framework wants it.
fn url(path: &camino::Utf8Path) -> Retained<NSURL> {
    NSURL::fileURLWithPath(&NSString::from_str(path.as_str()))
}
