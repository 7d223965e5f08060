//! What can go wrong between a description and a running machine.

use std::io;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::qemu::QmpError;
use crate::vz::FrameworkError;
use crate::{FailureKind, MuxError, VmState};

/// Why a machine could not be made, reached or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The description cannot be run.
    #[error("the machine's {field} cannot be used: {problem}")]
    InvalidConfig {
        /// Which part of it.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The hypervisor is not installed.
    #[error("`{program}` is not installed, or not on PATH")]
    HypervisorMissing {
        /// The program looked for.
        program: String,
    },
    /// The program behind shared folders is not installed.
    #[error("`virtiofsd` was not found; looked at {}", list(searched))]
    VirtiofsdMissing {
        /// Where it was looked for, in order.
        searched: Vec<Utf8PathBuf>,
    },
    /// A file of the guest image is not what its manifest says.
    #[error("the guest image is damaged: `{file}` has {found}, its manifest says {expected}")]
    ImageDamaged {
        /// The file.
        file: Utf8PathBuf,
        /// Its size or digest by the manifest.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The guest image cannot be read.
    #[error("the guest image cannot be read at `{path}`")]
    ImageUnreadable {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host's disk is full.
    #[error(
        "the disk that holds `{path}` has {free_mib} MiB left; a machine needs {needed_mib} MiB to start"
    )]
    NoSpace {
        /// What should be stored.
        path: Utf8PathBuf,
        /// Free space, in MiB.
        free_mib: u64,
        /// Space needed, in MiB.
        needed_mib: u64,
    },
    /// A file of the machine cannot be used.
    #[error("cannot {doing} `{path}`")]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program did not start.
    #[error("cannot start `{program}`")]
    Spawn {
        /// The program.
        program: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host cannot run machines.
    #[error("this computer cannot run the machine: {problem}")]
    HostCannot {
        /// What it lacks.
        problem: String,
    },
    /// Virtualization.framework refused, or failed.
    #[error("cannot {doing} the machine")]
    Framework {
        /// What was tried.
        doing: &'static str,
        /// Its words, and what to do.
        #[source]
        source: FrameworkError,
    },
    /// The machine is halted.
    #[error("the machine is paused; it has to be resumed first")]
    Paused,
    /// The hypervisor does not do as told.
    #[error("QEMU does not take commands")]
    Control(#[source] QmpError),
    /// The guest stayed silent.
    #[error("the guest did not answer within {} s{}", after.as_secs(), tail("its console", console_tail))]
    BootTimeout {
        /// How long it was waited.
        after: Duration,
        /// The end of its console.
        console_tail: String,
    },
    /// The guest's kernel or agent gave up.
    #[error("the guest {what}{}", tail("its console", console_tail))]
    GuestCrashed {
        /// What it did.
        what: &'static str,
        /// The end of its console.
        console_tail: String,
    },
    /// A program that carries the machine ended.
    #[error("`{program}` ended unexpectedly ({status}){}", tail("its log", log_tail))]
    Died {
        /// The program.
        program: String,
        /// Exit status or signal.
        status: String,
        /// The end of what it wrote.
        log_tail: String,
    },
    /// The machine is not in a state for this.
    #[error("the machine is {state}, not running")]
    NotRunning {
        /// Its state.
        state: VmState,
    },
    /// The guest cannot be reached on a port.
    #[error("cannot open a stream to port {port} of the guest")]
    Connect {
        /// The port.
        port: u32,
        /// Why.
        #[source]
        source: MuxError,
    },
}

impl Error {
    /// What this means for whoever must react.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::InvalidConfig { .. } => FailureKind::InvalidConfig,
            Self::HypervisorMissing { .. } => FailureKind::HypervisorMissing,
            Self::VirtiofsdMissing { .. } => FailureKind::VirtiofsdMissing,
            Self::ImageDamaged { .. } | Self::ImageUnreadable { .. } => FailureKind::ImageDamaged,
            Self::NoSpace { .. } => FailureKind::NoSpace,
            Self::HostCannot { .. } => FailureKind::HypervisorRefused,
            Self::Framework { source, .. } => source.kind(),
            Self::BootTimeout { .. } => FailureKind::BootTimeout,
            Self::GuestCrashed { .. } => FailureKind::GuestCrashed,
            Self::File { source, .. } if source.kind() == io::ErrorKind::StorageFull => FailureKind::NoSpace,
            Self::File { .. }
            | Self::Spawn { .. }
            | Self::Control(_)
            | Self::Died { .. }
            | Self::Paused
            | Self::NotRunning { .. }
            | Self::Connect { .. } => FailureKind::HypervisorDied,
        }
    }
}

fn list(paths: &[Utf8PathBuf]) -> String {
    paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ")
}

fn tail(of: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("; the end of {of}:\n{text}") }
}
