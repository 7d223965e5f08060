//! The fixed file systems of the guest, its cgroups and its kernel settings.
//!
//! What must be there is an error if it is not; what only some kernels have is skipped.

use std::ffi::CStr;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use fs_err as fs;
use rustix::io::Errno;
use rustix::mount::MountFlags;

use crate::journal::Journal;

/// Root of the one cgroup hierarchy.
pub(crate) const CGROUPS: &str = "/sys/fs/cgroup";

/// A file system that the guest cannot do without is missing.
#[derive(Debug, thiserror::Error)]
#[error("cannot mount {place}")]
pub(crate) struct MountError {
    place: &'static str,
    #[source]
    source: io::Error,
}

struct Fixed {
    place: &'static str,
    kind: &'static CStr,
    options: Option<&'static CStr>,
    needed: bool,
}

const fn fixed(
    place: &'static str,
    kind: &'static CStr,
    options: Option<&'static CStr>,
    needed: bool,
) -> Fixed {
    Fixed { place, kind, options, needed }
}

const FIXED: &[Fixed] = &[
    fixed("/dev/pts", c"devpts", Some(c"gid=5,mode=620,ptmxmode=666"), true),
    fixed("/dev/shm", c"tmpfs", Some(c"mode=1777"), true),
    fixed("/dev/mqueue", c"mqueue", None, false),
    fixed("/run", c"tmpfs", Some(c"mode=0755"), true),
    fixed("/tmp", c"tmpfs", Some(c"mode=1777"), true),
    fixed(CGROUPS, c"cgroup2", Some(c"nsdelegate,memory_recursiveprot"), true),
    fixed("/sys/fs/bpf", c"bpf", Some(c"mode=0700"), false),
    fixed("/sys/kernel/security", c"securityfs", None, false),
    fixed("/sys/kernel/tracing", c"tracefs", None, false),
];

/// Settings of the kernel: what containers with many processes, files and watchers need.
const SETTINGS: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    // Containers may serve ports below 1024 and ping without privileges.
    ("net/ipv4/ip_unprivileged_port_start", "0"),
    ("net/ipv4/ping_group_range", "0 2147483647"),
    ("net/core/somaxconn", "4096"),
    ("fs/inotify/max_user_watches", "1048576"),
    ("fs/inotify/max_user_instances", "8192"),
    // A burst of ten thousand files is some forty thousand events for a watcher that is slow to read them.
    ("fs/inotify/max_queued_events", "262144"),
    ("fs/file-max", "2097152"),
    ("fs/aio-max-nr", "1048576"),
    // Elasticsearch and its kin refuse to start below.
    ("vm/max_map_count", "1048576"),
    // Compressed memory is cheap to swap to.
    ("vm/swappiness", "100"),
    ("vm/page-cluster", "0"),
    // For huge pages' sake the kernel keeps three times as much free, out of reach of every program.
    ("vm/min_free_kbytes", "16384"),
    ("kernel/pid_max", "4194304"),
    ("kernel/keys/maxkeys", "20000"),
    ("kernel/keys/maxbytes", "2000000"),
    ("kernel/panic", "-1"),
    ("kernel/modprobe", "/opt/cove/bin/modprobe"),
];

/// Mounts everything that is the same on every machine.
pub(crate) fn mount_fixed() -> Result<(), MountError> {
    for entry in FIXED {
        let flags = MountFlags::NOSUID | flags_of(entry.place);
        let mounted = fs::create_dir_all(entry.place).and_then(|()| {
            match rustix::mount::mount("none", entry.place, entry.kind, flags, entry.options) {
                Ok(()) | Err(Errno::BUSY) => Ok(()),
                Err(error) => Err(error.into()),
            }
        });
        if let Err(source) = mounted
            && entry.needed
        {
            return Err(MountError { place: entry.place, source });
        }
    }
    let links = [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
        ("pts/ptmx", "/dev/ptmx"),
    ];
    for (target, link) in links {
        let _ = fs::remove_file(link);
        symlink(target, link).map_err(|source| MountError { place: "/dev", source })?;
    }
    fs::create_dir_all("/run/lock").map_err(|source| MountError { place: "/run/lock", source })
}

/// Programs run from `/run` (containerd's shims) and `/tmp`; nothing runs from the others. Terminals are devices.
fn flags_of(place: &str) -> MountFlags {
    match place {
        "/run" | "/tmp" => MountFlags::NODEV,
        "/dev/pts" => MountFlags::NOEXEC,
        _ => MountFlags::NODEV | MountFlags::NOEXEC,
    }
}

/// Hands every controller down to the children of the root group, and puts the agent into its own.
pub(crate) fn delegate_cgroups(journal: &Journal) {
    let root = Path::new(CGROUPS);
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_ascii_whitespace() {
        if let Err(error) = std::fs::write(root.join("cgroup.subtree_control"), format!("+{controller}")) {
            journal.warn(format!("the cgroup controller `{controller}` cannot be handed down: {error}"));
        }
    }
    if let Err(error) = join_cgroup("agent", rustix::process::getpid().as_raw_nonzero().get()) {
        journal.warn(format!("the agent stays in the root cgroup: {error}"));
    }
}

/// Moves a process into a group directly below the root, which is made if absent.
pub(crate) fn join_cgroup(group: &str, pid: i32) -> io::Result<()> {
    let folder = Path::new(CGROUPS).join(group);
    fs::create_dir_all(&folder)?;
    // A kernel without the controller has no such file, and the group is of use all the same.
    let _ = std::fs::write(folder.join("cpu.weight"), weight_of(group).to_string());
    fs::write(folder.join("cgroup.procs"), pid.to_string())
}

/// The share of a group directly below the root, where all containers together have 100. What a shell says comes by
/// way of containerd's shims, the engine and the agent: none of them may wait for those who build.
fn weight_of(group: &str) -> u32 {
    match group {
        "agent" => 1000,
        _ => 500,
    }
}

/// Sets the kernel's settings. Those that a kernel lacks are skipped.
pub(crate) fn apply_settings(journal: &Journal) {
    for (name, value) in SETTINGS {
        match std::fs::write(Path::new("/proc/sys").join(name), value) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                journal.warn(format!("the kernel setting {name}={value} was refused: {error}"));
            }
            _ => {}
        }
    }
}
