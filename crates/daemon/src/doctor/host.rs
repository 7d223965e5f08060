//! This computer: its disk, and the programs and files a machine is made of.

use std::time::Duration;

use api::{Check, Problem, ProblemCode};
use camino::Utf8Path;
use tokio::process::Command;

use super::{bad, failed, good, warning};
use crate::paths::{self, Paths};

/// How long a program may take to tell its version.
const VERSION_TIME: Duration = Duration::from_secs(10);

/// Free space below which a machine does not start, in GiB.
const LEAST_SPACE: u64 = 1;

/// Free space below which builds are likely to fail, in GiB.
const LITTLE_SPACE: u64 = 10;

pub(super) fn state_folder(paths: &Paths) -> Check {
    let name = "state folder";
    let home = paths.root();
    let free = match rustix::fs::statvfs(home.as_std_path()) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) >> 30,
        Err(error) => return bad(name, format!("{home}: {error}"), None),
    };
    space(name, home, free)
}

pub(super) fn space(name: &str, home: &Utf8Path, free_gib: u64) -> Check {
    let finding = format!("{home}, {free_gib} GiB free");
    if free_gib >= LITTLE_SPACE {
        return good(name, finding);
    }
    let problem =
        Problem::new(ProblemCode::HostDiskFull, format!("the disk of `{home}` has {free_gib} GiB left"));
    if free_gib < LEAST_SPACE {
        return bad(name, finding, Some(problem));
    }
    warning(name, finding, Some(problem))
}

pub(super) async fn hypervisor() -> Check {
    let name = "hypervisor";
    let Some(architecture) = vmm::Architecture::host() else {
        let problem =
            Problem::new(ProblemCode::HypervisorMissing, "no guest exists for this computer's processor");
        return failed(name, problem);
    };
    match vmm::qemu::find(architecture) {
        Ok(program) => good(name, format!("{} ({program})", version(&program).await)),
        Err(error) => failed(name, Problem::new(ProblemCode::HypervisorMissing, error.to_string())),
    }
}

pub(super) async fn virtiofsd() -> Check {
    let name = "virtiofsd";
    match vmm::qemu::find_virtiofsd() {
        Ok(program) => good(name, format!("{} ({program})", version(&program).await)),
        Err(error) => failed(name, Problem::new(ProblemCode::VirtiofsdMissing, error.to_string())),
    }
}

/// The kernel of the guest image, if there is one.
pub(super) fn kernel_release() -> Option<String> {
    Some(vmm::image::Manifest::read(&paths::image_dir()?).ok()?.kernel_release)
}

pub(super) async fn guest_image() -> Check {
    let name = "guest image";
    let Some(folder) = paths::image_dir() else {
        return failed(name, crate::machine::problems::image_missing(None));
    };
    let place = folder.clone();
    let checked = tokio::task::spawn_blocking(move || vmm::image::verify(&place)).await;
    match checked {
        Ok(Ok(manifest)) => {
            good(name, format!("{folder}, Linux {}, every digest matches", manifest.kernel_release))
        }
        Ok(Err(vmm::Error::ImageUnreadable { .. })) => {
            failed(name, crate::machine::problems::image_missing(Some(&folder)))
        }
        Ok(Err(error)) => {
            failed(name, Problem::new(ProblemCode::GuestImageDamaged, error.to_string()).caused_by(&error))
        }
        Err(error) => bad(name, format!("the check broke off: {error}"), None),
    }
}

/// The first line a program says of its version; it may be broken, and that shows here.
async fn version(program: &Utf8Path) -> String {
    let mut command = Command::new(program);
    command.arg("--version").kill_on_drop(true);
    match tokio::time::timeout(VERSION_TIME, command.output()).await {
        Ok(Ok(output)) => {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            text.lines().next().unwrap_or("no version").trim().to_owned()
        }
        Ok(Err(error)) => format!("cannot be run: {error}"),
        Err(_) => "does not tell its version".to_owned(),
    }
}
