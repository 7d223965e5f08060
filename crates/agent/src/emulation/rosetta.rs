//! Apple's translator, in a share that Virtualization.framework makes, and the daemon that keeps its translations.

use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fs_err as fs;
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::binfmt::{Translator, TranslatorError};
use crate::reaper;

/// Tag of the share.
const TAG: &str = "rosetta";
const PLACE: &str = "/run/rosetta";
const ROSETTA: Translator = Translator { name: "rosetta", program: "/run/rosetta/rosetta", flags: "OCF" };

const CACHE: &str = "/var/cache/rosettad";
/// Where the daemon makes its socket below its folder.
const SOCKET: &str = "/var/cache/rosettad/uds/rosetta.sock";
/// Where the host told the translator to look for it (`vmm::vz::ROSETTA_SOCKET`). A container gets the socket's own folder
/// there, by the runtime.
pub(crate) const SOCKET_FOLDER: &str = "/dev/cove/rosetta";

/// The folder with the socket, where the daemon runs.
pub(crate) fn cache_folder() -> Option<&'static str> {
    let socket = Path::new(SOCKET);
    socket.exists().then(|| socket.parent().and_then(Path::to_str))?
}

/// Mounts the share. `None` where the host has none.
pub(super) fn mount() -> Result<Option<Translator>, TranslatorError> {
    fs::create_dir_all(PLACE).map_err(TranslatorError::prepare("make the folder of its share"))?;
    match rustix::mount::mount(TAG, PLACE, c"virtiofs", MountFlags::RDONLY, None) {
        Ok(()) => Ok(Some(ROSETTA)),
        // What the kernel answers for a tag that no device has, and for virtiofs that it does not know.
        Err(Errno::INVAL | Errno::NODEV) => Ok(None),
        Err(error) => Err(TranslatorError::prepare("mount its share")(error.into())),
    }
}

/// Starts the daemon that keeps translations, where the share has one: from macOS 14 on.
pub(super) async fn start_cache() -> io::Result<()> {
    let daemon = Path::new(PLACE).join("rosettad");
    if !daemon.exists() {
        return Ok(());
    }
    for folder in [CACHE, SOCKET_FOLDER] {
        fs::create_dir_all(folder)?;
    }
    symlink(SOCKET, Path::new(SOCKET_FOLDER).join("rosetta.sock"))?;
    let mut command = Command::new(daemon);
    command.args(["daemon", CACHE]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let (mut process, _child) = reaper::spawn(&mut command)?;
    tokio::spawn(async move { process.ended().await });
    for _ in 0..100 {
        if Path::new(SOCKET).exists() {
            // Translators of every user come here.
            return fs::set_permissions(SOCKET, std::fs::Permissions::from_mode(0o722));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "its cache made no socket"))
}
