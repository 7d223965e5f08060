//! What goes wrong with a machine, as people are told it.

use api::{Problem, ProblemCode};
use camino::Utf8Path;
use protocol::agent::FailureKind;

use super::description::DescriptionError;
use super::process::{ProcessError, tail_of};
use super::shim_client::ShimError;
use crate::agent_client::AgentError;
use crate::paths::MachinePaths;
use crate::store::StoreError;

/// Why the machine cannot be started, told by the shim: `reason` is the stable word of the protocol.
pub fn from_failure(reason: &str, message: &str, paths: &MachinePaths) -> Problem {
    let (code, title) = match reason {
        "hypervisor_missing" => (ProblemCode::HypervisorMissing, "the machine cannot start without QEMU"),
        "virtiofsd_missing" => (ProblemCode::VirtiofsdMissing, "folders cannot be shared without virtiofsd"),
        "image_damaged" => (ProblemCode::GuestImageDamaged, "the guest image is not whole"),
        "no_space" => (ProblemCode::HostDiskFull, "this computer's disk is too full to start the machine"),
        "boot_timeout" => (ProblemCode::MachineFailed, "Linux in the machine does not come up"),
        "guest_crashed" => (ProblemCode::MachineFailed, "Linux in the machine crashed"),
        "hypervisor_refused" => (ProblemCode::MachineFailed, "this computer does not let the machine run"),
        "hypervisor_died" => (ProblemCode::MachineLost, "the machine ended unexpectedly"),
        _ => (ProblemCode::MachineFailed, "the machine failed"),
    };
    // The driver puts the cause first and the end of a log behind it, line by line.
    let mut lines = message.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let mut problem = Problem::new(code, title);
    problem.causes.extend(lines.next().map(str::to_owned));
    let told: Vec<String> = lines.map(str::to_owned).collect();
    let tail = match code {
        _ if !told.is_empty() => told,
        ProblemCode::MachineFailed => tail_of(&paths.console_log()),
        ProblemCode::MachineLost => tail_of(&paths.shim_log()),
        _ => Vec::new(),
    };
    problem.with_log(tail)
}

/// The machine is gone, and nobody said why.
pub fn lost(paths: &MachinePaths) -> Problem {
    Problem::new(ProblemCode::MachineLost, "the machine's process is gone")
        .with_hint("it starts again when an environment or `docker` needs it")
        .with_log(tail_of(&paths.shim_log()))
}

/// The shim ended before it could be asked anything.
pub fn shim_ended_early(status: &str, paths: &MachinePaths) -> Problem {
    let mut problem = Problem::new(ProblemCode::MachineFailed, "the machine's process ended at once");
    problem.causes.push(format!("it ended with {status}"));
    problem.with_log(tail_of(&paths.shim_log()))
}

/// There is no guest image where it should be.
pub fn image_missing(folder: Option<&Utf8Path>) -> Problem {
    match folder {
        Some(folder) => {
            Problem::new(ProblemCode::GuestImageMissing, format!("there is no guest image in `{folder}`"))
                .with_command("build it", "make image")
        }
        None => Problem::new(ProblemCode::GuestImageMissing, "there is no place to look for the guest image")
            .with_hint("set HOME, or COVE_IMAGE_DIR to the image's folder"),
    }
}

/// The machine is not running, and was not to be started.
pub fn not_running() -> Problem {
    Problem::new(ProblemCode::MachineFailed, "the machine is not running")
        .with_command("start it", "cove machine start")
}

/// Its guest does not know what is asked of it.
pub fn guest_too_old(what: &str) -> Problem {
    Problem::new(ProblemCode::GuestVersion, format!("the guest in the machine is too old to {what}"))
        .with_command("restart the machine with the guest of this version", "cove machine restart")
}

/// The machine is halted.
pub fn paused() -> Problem {
    Problem::new(ProblemCode::MachinePaused, "the machine is paused")
        .with_command("let it go on", "cove machine resume")
}

/// A share that is to go is used by something that runs.
pub fn share_in_use(path: &str, error: &AgentError) -> Problem {
    Problem::new(ProblemCode::MachineFailed, format!("`{path}` cannot be taken away while it is used"))
        .caused_by(error)
        .with_hint("stop the containers that have it mounted, or what works in it")
}

impl From<ProcessError> for Problem {
    fn from(error: ProcessError) -> Self {
        let (code, title) = match &error {
            ProcessError::Spawn { .. } => {
                (ProblemCode::MachineFailed, "the machine's process does not start")
            }
            ProcessError::File(source) if source.kind() == std::io::ErrorKind::StorageFull => {
                (ProblemCode::HostDiskFull, "this computer's disk is full")
            }
            ProcessError::File(_) => (ProblemCode::MachineFailed, "the machine's folder cannot be used"),
        };
        Self::new(code, title).caused_by(&error)
    }
}

impl From<DescriptionError> for Problem {
    fn from(error: DescriptionError) -> Self {
        error.problem()
    }
}

impl From<ShimError> for Problem {
    fn from(error: ShimError) -> Self {
        Self::new(ProblemCode::MachineFailed, "the machine cannot be reached").caused_by(&error)
    }
}

impl From<AgentError> for Problem {
    fn from(error: AgentError) -> Self {
        let code = match error.refusal() {
            Some(FailureKind::NoSpace) => ProblemCode::MachineDiskFull,
            _ => ProblemCode::MachineFailed,
        };
        Self::new(code, "the machine did not do as asked").caused_by(&error)
    }
}

/// The store failed where the machine needed it.
pub fn store_failed(error: &StoreError) -> Problem {
    Problem::new(ProblemCode::Internal, "the machine's settings cannot be read").caused_by(error)
}
