//! The agent, built as one static program for the guest's processor.
//!
//! Where the installed Rust toolchain has the target's standard library, that is used. Otherwise the library is
//! built along, from source of exactly the compiler's version: the toolchain's own `rust-src` component where it is
//! installed, else Debian's package of it, pinned like every other package.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::arch::Arch;
use super::host_tools::{DPKG_DEB, ToolError, find, run};
use super::packages::{Depot, PackagesError, Wanted};
use super::places::Places;
use super::tree::empty;
use crate::output::say;

/// The agent could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentError {
    /// The cross compiler is missing.
    #[error("`{command}` is not installed; install the Debian packages {packages:?}")]
    NoLinker { command: &'static str, packages: [&'static str; 2] },
    /// Cargo or rustc could not be asked, or the library source did not unpack.
    #[error("could not prepare the build of the agent")]
    Prepare(#[from] ToolError),
    /// The library source is not to be had.
    #[error(
        "no source of Rust's standard library {version}, needed to build the agent for {arch}; `rustup component add rust-src` brings it"
    )]
    NoLibrary { version: String, arch: Arch, source: Box<PackagesError> },
    /// Cargo printed why.
    #[error("the agent does not build for {arch}")]
    Build { arch: Arch },
    /// Files could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Builds the agent and returns its path. Cargo decides whether there is anything to do.
pub(crate) fn build(places: &Places, depot: &Depot, arch: Arch) -> Result<Utf8PathBuf, AgentError> {
    let target = arch.rust_target();
    let target_folder = places.repository.join(format!("target/guest-{arch}"));
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    cargo.current_dir(&places.repository);
    // This variable outranks every other that could bring flags.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(&places.repository).join("\x1f"));
    cargo.args(["build", "--quiet", "--package", "agent", "--profile", "guest"]);
    cargo.args(["--target", target, "--target-dir", target_folder.as_str()]);
    if arch != Arch::host() {
        let (linker, packages) = arch.cross_compiler();
        find(linker).ok_or(AgentError::NoLinker { command: linker, packages })?;
        cargo.env(setting(target, "LINKER"), linker);
    }
    let toolchain = Toolchain::installed(&places.repository)?;
    if !toolchain.has_library(target) {
        let library = toolchain.library_source(places, depot, arch)?;
        cargo.arg("-Zbuild-std=std,panic_abort");
        cargo.env("RUSTC_BOOTSTRAP", "1").env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
    }
    say(format!("building the agent for {arch}"));
    let built = cargo.status().map_err(|source| ToolError::Start { program: "cargo".to_owned(), source })?;
    if !built.success() {
        return Err(AgentError::Build { arch });
    }
    Ok(target_folder.join(target).join("guest/cove-agent"))
}

/// Linked statically, and without the folders of this machine, which panic messages would carry.
fn flags(repository: &Utf8Path) -> [String; 3] {
    let home = std::env::var("HOME").unwrap_or_default();
    let cargo_home = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    [
        "-Ctarget-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={repository}=/cove"),
        format!("--remap-path-prefix={cargo_home}=/cargo"),
    ]
}

/// Cargo's environment variable for a setting of a target.
fn setting(target: &str, name: &str) -> String {
    format!("CARGO_TARGET_{}_{name}", target.to_uppercase().replace('-', "_"))
}

/// The Rust toolchain that builds the work tree.
struct Toolchain {
    sysroot: Utf8PathBuf,
    version: String,
}

impl Toolchain {
    fn installed(repository: &Utf8Path) -> Result<Self, ToolError> {
        let ask = |arguments: &[&str]| {
            let printed = run(Command::new("rustc").current_dir(repository).args(arguments))?;
            Ok::<_, ToolError>(String::from_utf8_lossy(&printed).into_owned())
        };
        let sysroot = ask(&["--print", "sysroot"])?.trim().into();
        let version = release(&ask(&["--version", "--verbose"])?);
        Ok(Self { sysroot, version })
    }

    fn has_library(&self, target: &str) -> bool {
        self.sysroot.join("lib/rustlib").join(target).join("lib").is_dir()
    }

    /// The folder `library` of the compiler's source.
    fn library_source(&self, places: &Places, depot: &Depot, arch: Arch) -> Result<Utf8PathBuf, AgentError> {
        let component = self.sysroot.join("lib/rustlib/src/rust/library");
        if component.join("Cargo.lock").exists() {
            return Ok(component);
        }
        let version = &self.version;
        let wanted = Wanted::Version { name: "rust-src".to_owned(), version: format!("{version}+") };
        let lock_file = places.definitions().join("rust-src.lock");
        // The version is the compiler's: there is nothing newer to move to, only something to lose.
        let lock = depot.provide(&lock_file, Arch::host(), &wanted, false).map_err(|source| {
            AgentError::NoLibrary { version: version.clone(), arch, source: Box::new(source) }
        })?;
        let folder = places.cache.join("rust-library").join(lock.digest().as_str());
        let library = folder.join(format!("usr/src/rustc-{version}/library"));
        if !folder.join("complete").exists() {
            empty(&folder)?;
            for pin in lock.pins() {
                say(format!("unpacking the source of Rust's standard library {version}"));
                run(DPKG_DEB.command()?.arg("--extract").args([&depot.pool.path(pin), &folder]))?;
            }
            fs_err::write(folder.join("complete"), "")?;
        }
        Ok(library)
    }
}

/// The release in what `rustc --version --verbose` prints.
fn release(printed: &str) -> String {
    printed.lines().find_map(|line| line.strip_prefix("release: ")).unwrap_or_default().to_owned()
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
