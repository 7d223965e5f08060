//! The disk of the Debian machine: made once by mmdebstrap, then kept in the cache for as long as its recipe stays.
//!
//! The packages are those that Debian's own recipe puts into its cloud images, with their maintainer scripts run,
//! and Docker with the packages it recommends. It boots by its own initrd, without a boot loader: that spares it
//! time. The files in `bench/debian/` are added.

use std::io;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use crate::image::{Digest, Hasher, MMDEBSTRAP, Mirror, MirrorError, ToolError, find_program, run_tool};
use crate::output::say;
use crate::steps::{StepError, step};

const SUITE: &str = "trixie";

/// Size of the disk; sparse.
const DISK: &str = "8G";

/// What a cloud image has for booting and being administered.
const CLOUD_IMAGE: &[&str] = &[
    "apparmor",
    "apt-utils",
    "cloud-guest-utils",
    "cloud-init",
    "dbus",
    "init",
    "initramfs-tools",
    "iptables",
    "iputils-ping",
    "less",
    "libnss-myhostname",
    "libnss-resolve",
    "libpam-systemd",
    "linux-image-cloud-amd64",
    "nano",
    "netbase",
    "netplan.io",
    "openssh-server",
    "polkitd",
    "ssh-import-id",
    "sudo",
    "systemd-resolved",
    "systemd-timesyncd",
    "unattended-upgrades",
    "vim-tiny",
    "whiptail",
    "zstd",
];

/// What `apt-get install docker.io` adds to that.
const DOCKER: &[&str] =
    &["ca-certificates", "dbus-user-session", "docker-cli", "docker.io", "git", "needrestart", "xz-utils"];

/// Files in the image that are made for the benchmark, and whether they are programs.
const FILES: &[(&str, bool)] = &[
    ("etc/fstab", false),
    ("etc/systemd/system/bench-docker.service", false),
    ("etc/systemd/system/bench-docker.socket", false),
    ("etc/systemd/system/bench-report.service", false),
    ("usr/local/sbin/bench-report", true),
    ("var/lib/cloud/seed/nocloud/meta-data", false),
    ("var/lib/cloud/seed/nocloud/user-data", false),
];

/// Packages whose versions stand in the results.
const TOLD: &[&str] = &["linux-image-cloud-amd64", "systemd", "cloud-init", "containerd", "docker.io"];

/// The disk could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DebianImageError {
    #[error("could not tell which Debian mirror this machine uses")]
    Mirror(#[from] MirrorError),
    #[error("a tool of the build failed")]
    Tool(#[from] ToolError),
    #[error("`mkfs.ext4` is not installed; install the Debian package `e2fsprogs`")]
    NoMkfs,
    #[error("could not move the disk to its place")]
    Step(#[from] StepError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The finished system.
#[derive(Debug)]
pub(crate) struct DebianImage {
    folder: Utf8PathBuf,
}

impl DebianImage {
    /// Its disk, as no machine has used it yet.
    pub(crate) fn disk(&self) -> Utf8PathBuf {
        self.folder.join("disk.img")
    }

    /// Its kernel.
    pub(crate) fn kernel(&self) -> Utf8PathBuf {
        self.folder.join("kernel")
    }

    /// Its initrd.
    pub(crate) fn initrd(&self) -> Utf8PathBuf {
        self.folder.join("initrd")
    }

    /// Names and versions of the packages that matter most.
    pub(crate) fn versions(&self) -> io::Result<Vec<(String, String)>> {
        let text = fs_err::read_to_string(self.folder.join("packages"))?;
        let all = text.lines().filter_map(|line| line.split_once(' '));
        let told = all.filter(|(name, _)| TOLD.contains(name));
        Ok(told.map(|(name, version)| (name.to_owned(), version.to_owned())).collect())
    }
}

/// A command that copies a disk without filling its holes.
pub(crate) fn sparse_copy(from: &Utf8Path, to: &Utf8Path) -> Command {
    let mut command = Command::new("cp");
    command.args(["--sparse=always", "--reflink=auto", from.as_str(), to.as_str()]);
    command
}

/// Makes the system unless it is there. `files` is the folder of the files to add.
pub(crate) fn provide(cache: &Utf8Path, files: &Utf8Path) -> Result<DebianImage, DebianImageError> {
    let hooks = hooks(files, &mkfs()?);
    let folder = cache.join(format!("debian-{}", &inputs(files, &hooks)?.as_str()[..16]));
    let image = DebianImage { folder };
    if !image.folder.exists() {
        // A build that was stopped leaves a folder of another name.
        let partial = cache.join("debian.partial");
        if partial.exists() {
            fs_err::remove_dir_all(&partial)?;
        }
        fs_err::create_dir_all(&partial)?;
        step("Making the Debian system to compare with (minutes)", || build(&partial, &hooks))?;
        fs_err::rename(&partial, &image.folder)?;
    }
    say(format!("Debian system: {}", image.folder));
    Ok(image)
}

fn mkfs() -> Result<Utf8PathBuf, DebianImageError> {
    find_program("mkfs.ext4").ok_or(DebianImageError::NoMkfs)
}

fn inputs(files: &Utf8Path, hooks: &[String]) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    hasher.add_part(SUITE);
    hasher.add_parts(CLOUD_IMAGE.iter().chain(DOCKER));
    hasher.add_parts(hooks);
    hasher.add_tree(files)?;
    Ok(hasher.finish())
}

/// What is done inside, in order: the files, the services, and what the recipe of the cloud images cleans up. The
/// disk is made as the last of it, because only there do the files have their owners when no root builds it.
fn hooks(files: &Utf8Path, mkfs: &Utf8Path) -> Vec<String> {
    let mut hooks = Vec::new();
    for (name, program) in FILES {
        let folder = Utf8Path::new(name).parent().unwrap_or(Utf8Path::new(""));
        let mode = if *program { "0755" } else { "0644" };
        hooks.push(format!("mkdir -p \"$1/{folder}\""));
        hooks.push(format!("upload {files}/{name} /{name}"));
        hooks.push(format!("chmod {mode} \"$1/{name}\""));
    }
    let fixed = [
        "chroot \"$1\" systemctl enable bench-docker.socket bench-report.service",
        "chroot \"$1\" dpkg-query --show --showformat '${Package} ${Version}\\n' > \"$1/packages\"",
        "download /packages packages",
        "cp -L \"$1/vmlinuz\" \"$1/kernel\"",
        "download /kernel kernel",
        "cp -L \"$1/initrd.img\" \"$1/initrd\"",
        "download /initrd initrd",
        "rm -f \"$1/packages\" \"$1/kernel\" \"$1/initrd\" \"$1\"/etc/ssh/ssh_host_* \"$1/etc/apt/apt.conf.d/99mmdebstrap\"",
        "rm -rf \"$1\"/var/lib/apt/lists/* \"$1\"/var/cache/apt/* \"$1/etc/hostname\" \"$1/var/lib/dbus/machine-id\"",
        ": > \"$1/etc/machine-id\"",
        "ln -sf ../run/systemd/resolve/stub-resolv.conf \"$1/etc/resolv.conf\"",
    ];
    hooks.extend(fixed.map(str::to_owned));
    // What mmdebstrap has mounted in the system for its scripts does not belong on its disk.
    let mounted = "dev proc sys run tmp";
    let left_out = format!(" --exclude ./{}", mounted.replace(' ', " --exclude ./"));
    let tar = "tar --numeric-owner --xattrs";
    hooks.push(format!("{tar} -C \"$1\" --one-file-system{left_out} -cf \"$1.tar\" ."));
    hooks.push(format!("mkdir \"$1.root\" && {tar} -C \"$1.root\" -xpf \"$1.tar\" && rm \"$1.tar\""));
    hooks.push(format!("cd \"$1.root\" && mkdir {mounted} && chmod 1777 tmp"));
    hooks.push(format!("{mkfs} -q -F -L root -d \"$1.root\" \"$1.img\" {DISK}"));
    hooks.push("mv \"$1.img\" \"$1/disk.img\" && rm -rf \"$1.root\"".to_owned());
    hooks.push("download /disk.img disk.full".to_owned());
    hooks
}

fn build(folder: &Utf8Path, hooks: &[String]) -> Result<(), DebianImageError> {
    let mirror = Mirror::of_this_machine()?;
    let packages: Vec<&str> = CLOUD_IMAGE.iter().chain(DOCKER).copied().collect();
    let mut bootstrap = MMDEBSTRAP.command()?;
    // What is downloaded goes to the working folder.
    bootstrap.current_dir(folder);
    bootstrap.args(["--quiet", "--variant=minbase", "--format=null"]);
    bootstrap.args(["--aptopt=APT::Install-Recommends \"false\"", "--skip=check/empty"]);
    bootstrap.arg(format!("--include={}", packages.join(",")));
    bootstrap.args(hooks.iter().map(|hook| format!("--customize-hook={hook}")));
    bootstrap.args([SUITE, "-"]);
    let archive = &mirror.archive;
    bootstrap.arg(format!("deb {archive} {SUITE} main"));
    bootstrap.arg(format!("deb {archive} {SUITE}-updates main"));
    if let Some(security) = &mirror.security {
        bootstrap.arg(format!("deb {security} {SUITE}-security main"));
    }
    run_tool(&mut bootstrap)?;
    crate::steps::run(&mut sparse_copy(&folder.join("disk.full"), &folder.join("disk.img")))?;
    fs_err::remove_file(folder.join("disk.full"))?;
    Ok(())
}
