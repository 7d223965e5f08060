//! What the framework's errors mean, and what a person can do about them.

use std::fmt;
use std::io;

use crate::FailureKind;

/// The framework's own errors.
pub const FRAMEWORK_DOMAIN: &str = "VZErrorDomain";

/// Errors of macOS's kernel.
pub const POSIX_DOMAIN: &str = "NSPOSIXErrorDomain";

/// The entitlement that a process needs to make machines; it is named in the framework's words when it is absent.
const ENTITLEMENT: &str = "com.apple.security.virtualization";

/// Why the framework did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameworkError {
    /// For programs.
    pub cause: Cause,
    /// The framework's words.
    pub message: String,
}

/// Causes that are treated differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Something went wrong inside of the framework.
    Internal,
    /// It makes no machine of this description.
    InvalidConfiguration,
    /// This process may not make machines.
    NotEntitled,
    /// The machine is in no state for it.
    InvalidState,
    /// A disk's file cannot be used.
    InvalidDisk,
    /// The host runs as many machines as it may.
    TooMany,
    /// The network could not be attached, or was lost.
    Network,
    /// The host's disk is full.
    NoSpace,
    /// It was given up.
    Cancelled,
    /// This Mac cannot do it.
    NotSupported,
    /// The state could not be written.
    Save,
    /// The state could not be read back.
    Restore,
    /// The guest does not take the connection: nobody listens, or its queue is full.
    NotListening,
    /// It took too long.
    TimedOut,
    /// The machine has no such device.
    NoDevice,
    /// Another one, by its domain and number.
    Other {
        /// Whose number it is.
        domain: String,
        /// The number.
        code: i64,
    },
}

impl FrameworkError {
    /// An error with these words.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into() }
    }

    /// What an error of Apple's means.
    pub fn from_parts(domain: &str, code: i64, message: &str) -> Self {
        let cause = match (domain, code) {
            // The framework has no number for this; the entitlement's name is no translated text.
            (FRAMEWORK_DOMAIN, _) if message.contains(ENTITLEMENT) => Cause::NotEntitled,
            (FRAMEWORK_DOMAIN, 1) => Cause::Internal,
            (FRAMEWORK_DOMAIN, 2) => Cause::InvalidConfiguration,
            (FRAMEWORK_DOMAIN, 3 | 4) => Cause::InvalidState,
            (FRAMEWORK_DOMAIN, 5) => Cause::InvalidDisk,
            (FRAMEWORK_DOMAIN, 6) => Cause::TooMany,
            (FRAMEWORK_DOMAIN, 7) => Cause::Network,
            (FRAMEWORK_DOMAIN, 8) => Cause::NoSpace,
            (FRAMEWORK_DOMAIN, 9) => Cause::Cancelled,
            (FRAMEWORK_DOMAIN, 10) => Cause::NotSupported,
            (FRAMEWORK_DOMAIN, 11) => Cause::Save,
            (FRAMEWORK_DOMAIN, 12) => Cause::Restore,
            // Darwin's numbers: reset, refused; timed out; no space.
            (POSIX_DOMAIN, 54 | 61) => Cause::NotListening,
            (POSIX_DOMAIN, 60) => Cause::TimedOut,
            (POSIX_DOMAIN, 28) => Cause::NoSpace,
            _ => Cause::Other { domain: domain.to_owned(), code },
        };
        Self { cause, message: message.to_owned() }
    }

    /// Whether the same call may go well a moment later.
    pub fn is_passing(&self) -> bool {
        matches!(self.cause, Cause::NotListening | Cause::TimedOut)
    }

    /// Whether a start that failed so is worth another one: the disks of a machine that has just ended may still be
    /// held, and the framework's service may have been on its way out.
    pub fn is_worth_a_new_start(&self) -> bool {
        matches!(self.cause, Cause::Internal | Cause::InvalidDisk | Cause::Cancelled)
    }

    /// What it means for whoever must react.
    pub fn kind(&self) -> FailureKind {
        match self.cause {
            Cause::InvalidConfiguration | Cause::InvalidDisk | Cause::NoDevice => FailureKind::InvalidConfig,
            Cause::NotEntitled | Cause::NotSupported | Cause::TooMany => FailureKind::HypervisorRefused,
            Cause::NoSpace => FailureKind::NoSpace,
            Cause::Internal
            | Cause::InvalidState
            | Cause::Network
            | Cause::Cancelled
            | Cause::Save
            | Cause::Restore
            | Cause::NotListening
            | Cause::TimedOut
            | Cause::Other { .. } => FailureKind::HypervisorDied,
        }
    }

    fn advice(&self) -> Option<&'static str> {
        Some(match self.cause {
            Cause::Internal => {
                "macOS gives no cause; Console.app has more under `com.apple.Virtualization`, and a restart of the \
                 Mac helps where its service is stuck"
            }
            Cause::NotEntitled => {
                "this copy of cove-shim is not signed for virtual machines; install Cove again, or sign it: \
                 `codesign --sign - --force --entitlements ENTITLEMENTS cove-shim` with \
                 com.apple.security.virtualization in the file"
            }
            Cause::InvalidDisk => {
                "is the disk used by another program, or on a volume that was taken away? It must be a raw file \
                 of whole 512 byte blocks"
            }
            Cause::TooMany => "stop a virtual machine of another program and start again",
            Cause::Network => "a firewall or VPN on this Mac may stand between; start the machine again",
            Cause::NoSpace => "make room on the disk that holds the machine and start it again",
            Cause::NotSupported => {
                "virtual machines need Apple Silicon and macOS 14 or later, on the Mac itself"
            }
            Cause::Restore => "the machine starts from the beginning instead",
            Cause::InvalidConfiguration
            | Cause::InvalidState
            | Cause::Cancelled
            | Cause::Save
            | Cause::NotListening
            | Cause::TimedOut
            | Cause::NoDevice
            | Cause::Other { .. } => return None,
        })
    }
}

impl fmt::Display for FrameworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.trim_end_matches('.'))?;
        if let Cause::Other { domain, code } = &self.cause {
            write!(f, " ({domain} {code})")?;
        }
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FrameworkError {}

impl From<FrameworkError> for io::Error {
    fn from(error: FrameworkError) -> Self {
        let kind = match error.cause {
            Cause::NotListening => io::ErrorKind::ConnectionRefused,
            Cause::TimedOut => io::ErrorKind::TimedOut,
            Cause::NoSpace => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_meaning_and_those_a_person_can_mend_say_how() {
        let cases = [
            (1, "Internal error.", Cause::Internal, FailureKind::HypervisorDied, "restart of the Mac"),
            (2, "Invalid configuration.", Cause::InvalidConfiguration, FailureKind::InvalidConfig, "Invalid"),
            (
                2,
                "The process doesn\u{2019}t have the \u{201c}com.apple.security.virtualization\u{201d} entitlement.",
                Cause::NotEntitled,
                FailureKind::HypervisorRefused,
                "codesign --sign -",
            ),
            (3, "Invalid state.", Cause::InvalidState, FailureKind::HypervisorDied, "Invalid state"),
            (4, "Invalid transition.", Cause::InvalidState, FailureKind::HypervisorDied, "Invalid"),
            (
                5,
                "The disk image is invalid.",
                Cause::InvalidDisk,
                FailureKind::InvalidConfig,
                "another program",
            ),
            (6, "Limit exceeded.", Cause::TooMany, FailureKind::HypervisorRefused, "stop a virtual machine"),
            (7, "Network error.", Cause::Network, FailureKind::HypervisorDied, "VPN"),
            (8, "Out of space.", Cause::NoSpace, FailureKind::NoSpace, "make room"),
            (9, "Cancelled.", Cause::Cancelled, FailureKind::HypervisorDied, "Cancelled"),
            (10, "Not supported.", Cause::NotSupported, FailureKind::HypervisorRefused, "Apple Silicon"),
            (11, "Save failed.", Cause::Save, FailureKind::HypervisorDied, "Save failed"),
            (12, "Invalid argument.", Cause::Restore, FailureKind::HypervisorDied, "from the beginning"),
        ];
        for (code, message, cause, kind, words) in cases {
            let error = FrameworkError::from_parts(FRAMEWORK_DOMAIN, code, message);
            assert_eq!((&error.cause, error.kind()), (&cause, kind), "{code}");
            assert!(error.to_string().contains(words), "{error}");
            assert!(!error.to_string().contains(".;"), "{error}");
        }
    }

    #[test]
    fn the_kernels_numbers_are_darwins_and_unknown_ones_are_told() {
        let posix = |code| FrameworkError::from_parts(POSIX_DOMAIN, code, "x");
        assert!(posix(54).is_passing() && posix(61).is_passing() && posix(60).is_passing());
        assert!(!posix(13).is_passing());
        assert_eq!(posix(13).to_string(), "x (NSPOSIXErrorDomain 13)");
        assert_eq!(posix(28).kind(), FailureKind::NoSpace);
        assert_eq!(io::Error::from(posix(54)).kind(), io::ErrorKind::ConnectionRefused);
    }
}
