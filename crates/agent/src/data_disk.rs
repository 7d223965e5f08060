//! The data disk: made on the first boot, checked after a crash, grown when the device has grown.
//!
//! It is mounted with `discard`: deleting an image gives its blocks back to the host's sparse file when the
//! journal commits. A trim at intervals would need a timer in a guest that sleeps most of the time, and would
//! leave the space taken until then.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fs_err as fs;
use rustix::mount::MountFlags;

use crate::journal::Journal;
use crate::reaper::{self, Outcome};
use crate::superblock::{Content, LABEL, PROBE_BYTES};

/// Where it is mounted.
pub(crate) const PLACE: &str = "/var/lib/cove";

const DEVICE: &str = "/dev/vdb";
/// How long the second disk may come after the first.
const GRACE: Duration = Duration::from_millis(500);
const INTERVAL: Duration = Duration::from_millis(5);

/// Folders on the disk, and the places in the root they appear at.
const BINDS: &[(&str, &str)] = &[("docker", "/var/lib/docker"), ("containerd", "/var/lib/containerd")];

/// Why the engine has no place for its data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDiskError {
    /// The disk is in use for something else.
    #[error(
        "the data disk holds {what} and is left alone; give the machine an empty disk, or empty this one"
    )]
    Foreign { what: String },
    /// The disk cannot be read.
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A tool could not be started.
    #[error("cannot run {tool}")]
    Tool {
        tool: &'static str,
        #[source]
        source: io::Error,
    },
    /// A tool failed.
    #[error("{tool} failed with status {status}: {output}")]
    Failed { tool: &'static str, status: i32, output: String },
    /// It cannot be mounted.
    #[error("cannot mount the data disk at {place}")]
    Mount {
        place: String,
        #[source]
        source: io::Error,
    },
}

/// Makes the data disk ready and mounts it. A machine without one keeps its data in memory.
pub(crate) async fn prepare(journal: &Journal) -> Result<(), DataDiskError> {
    let device = Path::new(DEVICE);
    if wait_for(device).await {
        ready(device, journal).await?;
    } else {
        journal.warn("this machine has no data disk: images and containers are gone when it ends");
    }
    for (folder, place) in BINDS {
        let source = Path::new(PLACE).join(folder);
        let bound = fs::create_dir_all(&source)
            .and_then(|()| rustix::mount::mount_bind(&source, *place).map_err(Into::into));
        bound.map_err(|source| DataDiskError::Mount { place: (*place).to_owned(), source })?;
    }
    Ok(())
}

async fn wait_for(device: &Path) -> bool {
    let deadline = tokio::time::Instant::now() + GRACE;
    while !device.exists() {
        if tokio::time::Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(INTERVAL).await;
    }
    true
}

async fn ready(device: &Path, journal: &Journal) -> Result<(), DataDiskError> {
    let found = match Content::of(&read_start(device)?) {
        Content::Foreign(what) => return Err(DataDiskError::Foreign { what }),
        Content::Empty => {
            journal.info("the data disk is empty: a file system is made on it");
            let mut command = Command::new("/usr/sbin/mke2fs");
            command.args(["-q", "-F", "-t", "ext4", "-L", LABEL, "-m", "0"]);
            command.args(["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]).arg(device);
            must("mke2fs", run("mke2fs", command).await?, |code| code == 0)?;
            None
        }
        Content::Ours(found) => Some(found),
    };
    if found.is_some_and(|found| !found.clean) {
        journal.info("the data disk was not unmounted in order: it is checked");
        let mut command = Command::new("/usr/sbin/e2fsck");
        command.arg("-p").arg(device);
        let outcome = run("e2fsck", command).await?;
        // 1: errors were found and repaired. 2 asks for a reboot only of a mounted root.
        must("e2fsck", outcome, |code| code & !3 == 0)?;
    }
    fs::create_dir_all(PLACE).map_err(|source| DataDiskError::Mount { place: PLACE.to_owned(), source })?;
    rustix::mount::mount(device, PLACE, c"ext4", MountFlags::NOATIME, Some(c"discard"))
        .map_err(|error| DataDiskError::Mount { place: PLACE.to_owned(), source: error.into() })?;
    if let (Some(found), Some(size)) = (found, device_size(device))
        && size / (1 << 20) > found.size / (1 << 20)
    {
        journal.info(format!("the data disk grows from {} to {size} bytes", found.size));
        let mut command = Command::new("/usr/sbin/resize2fs");
        command.arg(device);
        // The old size is a working size.
        if let Err(error) =
            run("resize2fs", command).await.and_then(|o| must("resize2fs", o, |code| code == 0))
        {
            journal.warn(format!("the data disk keeps its size: {}", crate::console::chain(&error)));
        }
    }
    Ok(())
}

fn read_start(device: &Path) -> Result<Vec<u8>, DataDiskError> {
    let mut start = Vec::with_capacity(PROBE_BYTES);
    let read =
        std::fs::File::open(device).and_then(|file| file.take(PROBE_BYTES as u64).read_to_end(&mut start));
    read.map_err(|source| DataDiskError::Read { path: device.to_owned(), source })?;
    Ok(start)
}

/// Size of a block device, in bytes: the kernel counts in sectors of 512.
fn device_size(device: &Path) -> Option<u64> {
    let name = device.file_name()?;
    let text = fs::read_to_string(Path::new("/sys/class/block").join(name).join("size")).ok()?;
    text.trim().parse::<u64>().ok()?.checked_mul(512)
}

async fn run(tool: &'static str, command: Command) -> Result<Outcome, DataDiskError> {
    reaper::run_tool(command, b"").await.map_err(|source| DataDiskError::Tool { tool, source })
}

fn must(tool: &'static str, outcome: Outcome, good: impl Fn(i32) -> bool) -> Result<(), DataDiskError> {
    let status = outcome.end.status();
    if good(status) { Ok(()) } else { Err(DataDiskError::Failed { tool, status, output: outcome.output }) }
}
