//! `cargo xtask setup`: what a Debian machine needs to build, run and test Cove, installed where it is missing.

use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use crate::image::{HOST_PACKAGES, Mirror, MirrorError, NoCache, cache_folder};
use crate::output::say;
use crate::steps::{StepError, capture, run, step};

/// The first version that translates owners between guest and host the way Cove needs.
const VIRTIOFSD: SourceTool =
    SourceTool { package: "virtiofsd", program: "virtiofsd", version: "1.14.0", arguments: &[] };

/// Packages beside those of the image build. Linux hosts only; a Mac needs none of them.
const PACKAGES: &[&str] = &[
    "ca-certificates",
    "curl",
    "gcc-aarch64-linux-gnu",
    "git",
    "libc6-dev-arm64-cross",
    "libcap-ng-dev",
    "libseccomp-dev",
    "qemu-system-arm",
    "qemu-system-x86",
];

/// Packages that only the tests need: an engine on this host and what it works with, a database.
const TEST_PACKAGES: &[&str] = &[
    "bsdutils",
    "bubblewrap",
    "busybox-static",
    "inotify-tools",
    "iproute2",
    "iptables",
    "openssh-client",
    "openssl",
    "p7zip-full",
    "postgresql",
    "procps",
    "rsync",
    "ruby",
    "runc",
    "systemd",
    "util-linux",
];

/// What the app is built with, and the desktop without a screen that its tests show it on. A Mac needs none of them.
const APP_PACKAGES: &[&str] = &[
    "dbus-daemon",
    "libayatana-appindicator3-1",
    "libwebkit2gtk-4.1-dev",
    "pkg-config",
    "webkit2gtk-driver",
    "xvfb",
];

/// What Debian's PostgreSQL does when it is installed.
const CLUSTERS: &str = "/etc/postgresql-common/createcluster.conf";

/// The oldest QEMU worth running; Debian 12 has 7.2 and a newer one in its backports.
const QEMU_MAJOR: u32 = 8;

/// Something could not be installed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("could not install what is missing")]
    Step(#[from] StepError),
    #[error("could not tell which Debian mirror this machine uses")]
    Mirror(#[from] MirrorError),
    #[error("could not prepare a place for tools")]
    Files(#[from] std::io::Error),
    #[error("could not find a place for tools")]
    NoCache(#[from] NoCache),
}

/// Where tools that are built from source go.
pub(crate) fn tools_folder() -> Result<Utf8PathBuf, SetupError> {
    Ok(cache_folder()?.join("tools"))
}

/// Installs what is missing.
pub(crate) fn setup() -> Result<(), SetupError> {
    step("Installing what is missing", || {
        let wanted = HOST_PACKAGES.iter().chain(PACKAGES).chain(TEST_PACKAGES).copied();
        install_missing(wanted)?;
        VIRTIOFSD.provide()
    })
}

/// Installs what the app needs beside that, where it is missing. A part of its own: it is large, and nothing but the
/// app and the checks of the whole workspace need it.
pub(crate) fn setup_for_the_app() -> Result<(), SetupError> {
    step("Installing what the app needs", || install_missing(APP_PACKAGES.iter().copied()))
}

/// Installs those of the Debian packages that are missing.
pub(crate) fn install_missing(wanted: impl Iterator<Item = &'static str>) -> Result<(), SetupError> {
    let mut missing: Vec<&str> = wanted.filter(|package| !installed(package)).collect();
    missing.sort_unstable();
    missing.dedup();
    if missing.is_empty() {
        say("    every Debian package is there");
        return Ok(());
    }
    say(format!("    Debian packages: {}", missing.join(" ")));
    install(&missing)
}

fn installed(package: &str) -> bool {
    let query =
        Command::new("dpkg-query").args(["-W", "-f=${Status}", package]).stderr(Stdio::null()).output();
    query.is_ok_and(|output| output.stdout.ends_with(b"install ok installed"))
}

fn install(packages: &[&str]) -> Result<(), SetupError> {
    run(&mut apt(&["update", "-qq"]))?;
    let (qemu, others): (Vec<&str>, Vec<&str>) =
        packages.iter().partition(|package| package.starts_with("qemu-system"));
    let (postgres, others): (Vec<&str>, Vec<&str>) =
        others.into_iter().partition(|package| *package == "postgresql");
    if !postgres.is_empty() {
        install_postgres(&postgres)?;
    }
    if !others.is_empty() {
        run(apt(&["install", "-y", "--no-install-recommends"]).args(others))?;
    }
    if !qemu.is_empty() {
        install_qemu(&qemu)?;
    }
    Ok(())
}

/// Installs QEMU; from the backports of Debian's stable-before when the release's own is old. The backports are
/// asked through lists of their own, so that nothing else on the machine is upgraded and its configuration stays.
fn install_qemu(packages: &[&str]) -> Result<(), SetupError> {
    let policy =
        capture(Command::new("apt-cache").args(["policy", "qemu-system-x86"]).env("LC_ALL", "C.UTF-8"))?;
    let candidate =
        policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:")).unwrap_or_default();
    if major_of(candidate).is_none_or(|major| major >= QEMU_MAJOR) {
        return Ok(run(apt(&["install", "-y", "--no-install-recommends"]).args(packages))?);
    }
    let mirror = Mirror::of_this_machine()?;
    let folder = tools_folder()?.join("backports");
    fs_err::create_dir_all(folder.join("lists/partial"))?;
    fs_err::create_dir_all(folder.join("sources"))?;
    let source = format!(
        "Types: deb\nURIs: {}\nSuites: bookworm bookworm-updates bookworm-backports\nComponents: main\nSigned-By: \
         /usr/share/keyrings/debian-archive-keyring.gpg\n",
        mirror.archive
    );
    fs_err::write(folder.join("sources/backports.sources"), source)?;
    let with_backports = |arguments: &[&str]| {
        let mut command = apt(&[]);
        command
            .args(["-o", "Dir::Etc::SourceList=/dev/null"])
            .args(["-o", &format!("Dir::Etc::SourceParts={folder}/sources")])
            .args(["-o", &format!("Dir::State::Lists={folder}/lists")])
            .args(arguments);
        command
    };
    run(&mut with_backports(&["update", "-qq"]))?;
    let install = ["install", "-y", "--no-install-recommends", "-t", "bookworm-backports"];
    Ok(run(with_backports(&install).args(packages))?)
}

/// Installs PostgreSQL. Its package makes a database of its own and starts it with the computer, where nothing says otherwise:
/// tests start theirs, and whoever only builds Cove wants none. What the machine's configuration says of that is put back.
fn install_postgres(packages: &[&str]) -> Result<(), SetupError> {
    let install = ["install", "-y", "--no-install-recommends"];
    run(apt(&install).arg("postgresql-common"))?;
    let before = format!("{CLUSTERS}.before-cove");
    let (switches, before) = (CLUSTERS, before.as_str());
    run(as_root("cp").args(["--preserve", switches, before]))?;
    run(as_root("pg_conftool").args([switches, "set", "create_main_cluster", "off"]))?;
    let installed = run(apt(&install).args(packages));
    run(as_root("mv").args([before, switches]))?;
    Ok(installed?)
}

/// The major version in a Debian version such as `1:7.2+dfsg-7`.
fn major_of(version: &str) -> Option<u32> {
    let upstream = version.trim().rsplit(':').next()?;
    upstream.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// apt-get.
fn apt(arguments: &[&str]) -> Command {
    let mut command = as_root("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// A program that changes the machine, through sudo for an ordinary user.
fn as_root(program: &str) -> Command {
    let root = capture(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let mut command = if root { Command::new(program) } else { Command::new("sudo") };
    if !root {
        command.arg(program);
    }
    command.stdin(Stdio::null());
    command
}

/// A program that is built from its source, once, in one version.
pub(crate) struct SourceTool {
    /// What Cargo calls it.
    pub(crate) package: &'static str,
    /// Its file.
    pub(crate) program: &'static str,
    /// The version.
    pub(crate) version: &'static str,
    /// What Cargo is told beside that.
    pub(crate) arguments: &'static [&'static str],
}

impl SourceTool {
    /// Builds it, unless it is there.
    pub(crate) fn provide(&self) -> Result<(), SetupError> {
        let tools = tools_folder()?;
        let Self { package, program, version, arguments } = self;
        if is_version(&tools.join("bin").join(program), version) {
            say(format!("    {program} {version} is there"));
            return Ok(());
        }
        say(format!("    {program} {version} is built from its source, once"));
        let mut install = Command::new("cargo");
        install.args(["install", "--quiet", "--locked", package, "--version", version]);
        install.args(*arguments).arg("--root").arg(&tools);
        // In a folder of its own, so that the settings of this checkout do not reach it.
        install.current_dir("/").env("CARGO_TARGET_DIR", tools.join("build"));
        run(&mut install)?;
        fs_err::remove_dir_all(tools.join("build"))?;
        Ok(())
    }
}

fn is_version(program: &Utf8Path, version: &str) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_debian_s() {
        assert_eq!(major_of(" 1:7.2+dfsg-7+deb12u18+b3"), Some(7));
        assert_eq!(major_of("1:10.0.2+ds-2+deb13u1~bpo12+1"), Some(10));
        assert_eq!(major_of("(none)"), None);
    }
}
