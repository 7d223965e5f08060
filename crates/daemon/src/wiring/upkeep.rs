//! What a daemon puts right on this computer when it starts. None of it hinders it from serving.

use camino::Utf8PathBuf;
use host::account::Account;
use host::service::{Change, Description, Program, Services};

use crate::paths::{Paths, user_home};

pub(super) fn at_start(paths: &Paths) {
    // Each connection to the Docker socket takes two descriptors.
    if let Err(error) = host::limits::raise_open_files() {
        tracing::warn!(%error, "the limit of open files stays low");
    }
    match heal_service(paths) {
        Some(Ok(Change::Done)) => {
            tracing::info!("the service names this program now: the one it named is gone");
        }
        Some(Err(error)) => tracing::warn!(%error, "the service was not looked after"),
        Some(Ok(Change::Nothing)) | None => {}
    }
}

/// Says whether backups take the machines' disks. They never take what can be made again.
pub(super) fn set_backups(paths: &Paths, back_up_machines: bool) {
    let cache = crate::paths::cache_dir().filter(|cache| cache.exists());
    let folders = [Some((paths.machines_dir(), !back_up_machines)), cache.map(|cache| (cache, true))];
    for (folder, left_out) in folders.into_iter().flatten() {
        match host::backups::set_left_out(&folder, left_out) {
            Ok(true) => tracing::info!(%folder, left_out, "backups of this computer were told"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%folder, %error, "backups of this computer could not be told"),
        }
    }
}

fn heal_service(paths: &Paths) -> Option<Result<Change, host::service::ServiceError>> {
    let program = Utf8PathBuf::from_path_buf(std::env::current_exe().ok()?).ok()?;
    let home = user_home()?;
    let services = Services::of(&Account::of_the_person()?, &home);
    let usual = paths.root() == home.join(".cove");
    let description = Description {
        program: Program::At(program),
        at_boot_for: None,
        state_folder: (!usual).then(|| paths.root().to_owned()),
    };
    Some(services.heal(&description))
}
