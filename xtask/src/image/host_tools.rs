//! The programs of the host that the image build calls, and the Debian packages that bring them.

use std::io;
use std::process::{Command, Stdio};

use camino::Utf8PathBuf;

/// What must be installed on a Debian host before `cargo xtask image`, the cross compilers aside.
pub(crate) const HOST_PACKAGES: &[&str] = &[
    "apt",
    "binutils",
    "debian-archive-keyring",
    "dpkg",
    "erofs-utils",
    "gcc",
    "kmod",
    "libc6-dev",
    "mmdebstrap",
    "tar",
    "uidmap",
    "xz-utils",
];

pub(crate) const APT_CACHE: Tool = Tool { name: "apt-cache", package: "apt" };
pub(crate) const APT_GET: Tool = Tool { name: "apt-get", package: "apt" };
pub(crate) const APT_HELPER: Tool = Tool { name: "/usr/lib/apt/apt-helper", package: "apt" };
pub(crate) const DEPMOD: Tool = Tool { name: "depmod", package: "kmod" };
pub(crate) const DPKG_DEB: Tool = Tool { name: "dpkg-deb", package: "dpkg" };
pub(crate) const MKFS_EROFS: Tool = Tool { name: "mkfs.erofs", package: "erofs-utils" };
pub(crate) const MMDEBSTRAP: Tool = Tool { name: "mmdebstrap", package: "mmdebstrap" };
pub(crate) const PIP: Tool = Tool { name: "/usr/bin/pip3", package: "python3-pip" };
pub(crate) const READELF: Tool = Tool { name: "readelf", package: "binutils" };
pub(crate) const TAR: Tool = Tool { name: "tar", package: "tar" };
pub(crate) const XORRISO: Tool = Tool { name: "xorriso", package: "xorriso" };
pub(crate) const XZ: Tool = Tool { name: "xz", package: "xz-utils" };

/// A program of the host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    name: &'static str,
    package: &'static str,
}

/// A program of the host is missing or failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// Not on `PATH` and not among the system's programs.
    #[error(
        "`{name}` is not installed; install the Debian package `{package}` (`apt-get install {package}`)"
    )]
    Missing { name: &'static str, package: &'static str },
    /// Could not be started, or its pipes broke.
    #[error("could not run `{program}`")]
    Start { program: String, source: io::Error },
    /// Ended with a failure; its last lines say why.
    #[error("`{program}` failed ({status}): {said}")]
    Failed { program: String, status: std::process::ExitStatus, said: String },
}

impl Tool {
    /// A command that calls the tool with messages in English, wherever the system keeps it.
    ///
    /// # Errors
    /// [`ToolError::Missing`] names the package to install.
    pub(crate) fn command(self) -> Result<Command, ToolError> {
        let path = find(self.name).ok_or(ToolError::Missing { name: self.name, package: self.package })?;
        let mut command = Command::new(path);
        command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        Ok(command)
    }
}

/// Looks a program up on `PATH`, then where Debian keeps the ones for the administrator, which the `PATH` of an
/// ordinary user does not name.
pub(crate) fn find(name: &str) -> Option<Utf8PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .map(|folder| Utf8PathBuf::from(folder).join(name))
        .find(|candidate| candidate.is_file())
}

/// Runs a command to its end and returns what it wrote to standard output.
///
/// # Errors
/// [`ToolError::Failed`] carries the tail of standard error.
pub(crate) fn run(command: &mut Command) -> Result<Vec<u8>, ToolError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|source| ToolError::Start { program: program.clone(), source })?;
    finish(program, output)
}

fn finish(program: String, output: std::process::Output) -> Result<Vec<u8>, ToolError> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said = lines[lines.len().saturating_sub(8)..].join("; ");
    Err(ToolError::Failed { program, status: output.status, said })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_names_its_package() {
        let tool = Tool { name: "no-such-tool-here", package: "the-package" };
        let error = tool.command().expect_err("the tool does not exist").to_string();
        assert!(error.contains("the-package"), "{error}");
    }

    #[test]
    fn a_failure_carries_what_the_program_said() {
        let error = run(Command::new("sh").args(["-c", "echo because >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("because") && error.contains('3'), "{error}");
    }
}
