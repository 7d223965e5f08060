//! The Rust toolchain that builds the work tree, and what it lacks for targets that are not this machine.

mod library;
mod sysroot;

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use crate::image::{ToolError, run_tool};
use crate::steps::cargo;

pub(crate) use library::LibraryError;
pub(crate) use sysroot::{Sysroot, SysrootError};

/// The installed toolchain.
pub(crate) struct Toolchain {
    sysroot: Utf8PathBuf,
    /// What `rustc --version --verbose` prints: names the compiler exactly.
    identity: String,
}

impl Toolchain {
    /// Asks the compiler that this work tree is built with.
    pub(crate) fn installed(repository: &Utf8Path) -> Result<Self, ToolError> {
        let ask = |arguments: &[&str]| {
            let printed = run_tool(Command::new("rustc").current_dir(repository).args(arguments))?;
            Ok::<_, ToolError>(String::from_utf8_lossy(&printed).into_owned())
        };
        let sysroot = ask(&["--print", "sysroot"])?.trim().into();
        Ok(Self { sysroot, identity: ask(&["--version", "--verbose"])? })
    }

    /// The release, such as `1.95.0`.
    pub(crate) fn version(&self) -> &str {
        release(&self.identity)
    }

    /// Whether it brings the standard library of a target.
    pub(crate) fn has_library(&self, target: &str) -> bool {
        self.sysroot.join("lib/rustlib").join(target).join("lib").is_dir()
    }

    /// The linker that comes with it, which links for every system.
    pub(crate) fn linker(&self) -> Utf8PathBuf {
        let host = self.identity.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        self.sysroot.join("lib/rustlib").join(host).join("bin/rust-lld")
    }

    /// Where its own shared libraries are, for programs of it that do not find them.
    pub(crate) fn libraries(&self) -> Utf8PathBuf {
        self.sysroot.join("lib")
    }
}

/// A Cargo that takes these flags for its target, whatever the person's environment says. Words may hold spaces.
pub(crate) fn cargo_with_flags(repository: &Utf8Path, flags: &[String]) -> Command {
    let mut command = cargo();
    command.current_dir(repository);
    // This variable outranks every other that could bring flags.
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).env_remove("CARGO_BUILD_TARGET");
    command
}

/// Cargo's environment variable for a setting of a target.
pub(crate) fn setting(target: &str, name: &str) -> String {
    format!("CARGO_TARGET_{}_{name}", target.to_uppercase().replace('-', "_"))
}

/// The release in what `rustc --version --verbose` prints.
fn release(printed: &str) -> &str {
    printed.lines().find_map(|line| line.strip_prefix("release: ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_from_the_compiler() {
        assert_eq!(
            release("rustc 1.95.0 (5 2026)\nbinary: rustc\nrelease: 1.95.0\nLLVM version: 22\n"),
            "1.95.0"
        );
    }

    #[test]
    fn cargo_settings_are_named_after_the_target() {
        assert_eq!(
            setting("aarch64-unknown-linux-gnu", "LINKER"),
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"
        );
    }
}
