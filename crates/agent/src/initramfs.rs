//! From the kernel's first process to the root file system, inside the initramfs.
//!
//! ```text
//!  mount /dev /proc /sys -> load /modules/* -> wait for the first disk -> mount it (EROFS, read-only)
//!    -> root in a tmpfs: /usr from the disk, /etc a copy of the disk's, the rest empty -> move there -> exec
//! ```
//!
//! The root is a tmpfs because everything in it but `/usr` is either made at each boot or lives on the data
//! disk; so a machine cannot rot. What fails here ends the machine: there is nobody yet to tell but the console.

use std::ffi::CStr;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use fs_err as fs;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::system::RebootCommand;

use crate::cmdline::{BadParameter, CommandLine};
use crate::modules::{self, ModuleError};
use crate::{console, journal};

/// Folder of our programs in the running guest.
pub(crate) const BIN: &str = "/opt/cove/bin";

/// Where the agent lives in the running guest.
pub(crate) const AGENT: &str = "/opt/cove/bin/cove-agent";

/// Variable that carries the boot stages over the exec: `name=milliseconds,…`.
pub(crate) const STAGES: &str = "COVE_STAGES";

const ROOT_DISK: &str = "/dev/vda";
const DISK_DEADLINE: Duration = Duration::from_secs(20);
const DISK_INTERVAL: Duration = Duration::from_millis(2);
const LOWER: &str = "/lower";
const ROOT: &str = "/root";

/// Why the root file system was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    /// A mount was refused.
    #[error("cannot mount {what} at {place}")]
    Mount {
        what: &'static str,
        place: String,
        #[source]
        source: rustix::io::Errno,
    },
    /// The first disk did not come.
    #[error("the root disk {ROOT_DISK} did not appear within {} seconds", DISK_DEADLINE.as_secs())]
    NoDisk,
    /// A file could not be read or made.
    #[error("cannot prepare the root file system")]
    File(#[from] io::Error),
    /// A module of the initramfs was refused.
    #[error("cannot load the modules of the initramfs")]
    Module(#[from] ModuleError),
    /// The command line makes no sense.
    #[error("cannot read the machine's parameters")]
    Parameters(#[from] BadParameter),
}

/// Runs as `/init`. Returns only by a failure, after the machine was told to switch off.
pub(crate) fn main() -> ExitCode {
    let kernel_ms = journal::uptime_ms();
    let error = match boot(kernel_ms) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    console::say(&format!("cove: boot failed: {}", console::chain(&error)));
    switch_off();
    ExitCode::FAILURE
}

fn boot(kernel_ms: u64) -> Result<std::convert::Infallible, BootError> {
    for (kind, place) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        make_folder(place)?;
        mount(kind, kind_name(kind), place, MountFlags::NOSUID, None)?;
    }
    let parameters = CommandLine::parse(&fs::read_to_string("/proc/cmdline")?)?;
    if parameters.probe {
        console::say("cove: probe ok");
        switch_off();
        return Err(BootError::NoDisk);
    }
    load_modules()?;
    if parameters.late_console {
        console::reopen();
    }
    wait_for_disk()?;
    make_folder(LOWER)?;
    mount(ROOT_DISK, c"erofs", LOWER, MountFlags::RDONLY, None)?;
    build_root()?;
    let stages = format!("kernel={kernel_ms},initramfs={}", journal::uptime_ms());
    enter_root()?;
    Err(Command::new(AGENT).arg("boot").env_clear().env(STAGES, stages).exec().into())
}

fn kind_name(kind: &str) -> &'static CStr {
    match kind {
        "devtmpfs" => c"devtmpfs",
        "proc" => c"proc",
        _ => c"sysfs",
    }
}

/// Modules named `NN-name.ko`, in the order of their numbers: the image builder has put dependencies first.
fn load_modules() -> Result<(), BootError> {
    let mut files: Vec<PathBuf> = match fs::read_dir("/modules") {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    files.sort();
    for file in &files {
        modules::insert(file)?;
    }
    Ok(())
}

/// The disk's node is made by the kernel as the driver finds it; there is no event to wait for before udev, so
/// its name is looked up at a short interval.
fn wait_for_disk() -> Result<(), BootError> {
    let mut waited = Duration::ZERO;
    while !Path::new(ROOT_DISK).exists() {
        if waited >= DISK_DEADLINE {
            return Err(BootError::NoDisk);
        }
        std::thread::sleep(DISK_INTERVAL);
        waited += DISK_INTERVAL;
    }
    Ok(())
}

fn build_root() -> Result<(), BootError> {
    make_folder(ROOT)?;
    mount("tmpfs", c"tmpfs", ROOT, MountFlags::empty(), Some(c"mode=0755"))?;
    let root = Path::new(ROOT);
    for folder in [
        "dev",
        "proc",
        "sys",
        "usr",
        "run/lock",
        "mnt",
        "media",
        "opt/cove/bin",
        "opt/containerd",
        "home",
        "srv",
        "var/log",
        "var/cache",
        "var/lib/cove",
        "var/lib/docker",
        "var/lib/containerd",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    std::fs::DirBuilder::new().mode(0o700).create(root.join("root"))?;
    for folder in ["tmp", "var/tmp"] {
        let path = root.join(folder);
        fs::create_dir_all(&path)?;
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o1777))?;
    }
    for name in ["bin", "sbin", "lib", "lib32", "lib64"] {
        if Path::new(LOWER).join("usr").join(name).is_dir() {
            symlink(format!("usr/{name}"), root.join(name))?;
        }
    }
    symlink("/run", root.join("var/run"))?;
    symlink("/run/lock", root.join("var/lock"))?;
    copy_tree(&Path::new(LOWER).join("etc"), &root.join("etc"))?;

    let usr = format!("{ROOT}/usr");
    rustix::mount::mount_bind(format!("{LOWER}/usr"), &usr).map_err(|source| BootError::Mount {
        what: "the image's /usr",
        place: usr,
        source,
    })?;

    let agent = root.join(AGENT.trim_start_matches('/'));
    fs::copy("/proc/self/exe", &agent)?;
    fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755))?;
    for name in ["cove-runtime", "cove-session", "modprobe"] {
        symlink("cove-agent", agent.with_file_name(name))?;
    }
    Ok(())
}

/// Copies folders, files and symbolic links with their permissions. `/etc` is small.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
            fs::set_permissions(&target, entry.metadata()?.permissions())?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Leaves the initramfs for good: its files are removed first, because nothing can reach them afterwards and
/// they hold memory.
fn enter_root() -> Result<(), BootError> {
    for place in ["/dev", "/proc", "/sys"] {
        let target = format!("{ROOT}{place}");
        rustix::mount::mount_move(place, &target).map_err(|source| BootError::Mount {
            what: "a moved file system",
            place: target,
            source,
        })?;
    }
    rustix::mount::unmount(LOWER, UnmountFlags::DETACH).map_err(|source| BootError::Mount {
        what: "nothing",
        place: LOWER.to_owned(),
        source,
    })?;
    for leftover in ["/init", "/modules"] {
        let path = Path::new(leftover);
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
    std::env::set_current_dir(ROOT)?;
    rustix::mount::mount_move(".", "/").map_err(|source| BootError::Mount {
        what: "the root",
        place: "/".to_owned(),
        source,
    })?;
    rustix::process::chroot(".").map_err(io::Error::from)?;
    std::env::set_current_dir("/")?;
    Ok(())
}

fn make_folder(path: &str) -> io::Result<()> {
    fs::create_dir_all(path)
}

fn mount(
    what: &'static str,
    kind: &CStr,
    place: &str,
    flags: MountFlags,
    options: Option<&CStr>,
) -> Result<(), BootError> {
    rustix::mount::mount(what, place, kind, flags, options).map_err(|source| BootError::Mount {
        what,
        place: place.to_owned(),
        source,
    })
}

fn switch_off() {
    let _ = rustix::system::reboot(RebootCommand::PowerOff);
}
