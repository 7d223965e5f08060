//! Our own programs in the image, each built as one static program for the guest's processor.
//!
//! Where the installed Rust toolchain has the target's standard library, that is used. Otherwise the library is
//! built along, from its source.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::arch::Arch;
use super::host_tools::{ToolError, find};
use super::packages::Depot;
use super::places::Places;
use crate::output::say;
use crate::rust::{LibraryError, Toolchain, setting};
use crate::steps::target_folder;

/// A program could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// The cross compiler is missing.
    #[error("`{command}` is not installed; install the Debian packages {packages:?}")]
    NoLinker { command: &'static str, packages: [&'static str; 2] },
    /// Rustc could not be asked, or Cargo did not start.
    #[error("could not prepare the build of a program of the guest")]
    Prepare(#[from] ToolError),
    /// The library source is not to be had.
    #[error("could not build `{program}` for {arch} with a standard library of its own")]
    Library { program: &'static str, arch: Arch, source: LibraryError },
    /// Cargo printed why.
    #[error("`{program}` does not build for {arch}")]
    Build { program: &'static str, arch: Arch },
    /// Files could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A program of ours in the guest.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    /// Its package. Each is built alone, so that none gets what only another asks of a shared crate.
    package: &'static str,
    /// Its file name.
    name: &'static str,
}

/// The first process of the guest.
pub(crate) const AGENT: Program = Program { package: "agent", name: "cove-agent" };

/// What works inside of containers.
pub(crate) const INSIDE: Program = Program { package: "inside", name: "cove-inside" };

/// Builds a program and returns its path. Cargo decides whether there is anything to do.
pub(crate) fn build(
    places: &Places,
    depot: &Depot,
    arch: Arch,
    Program { package, name }: Program,
) -> Result<Utf8PathBuf, ProgramError> {
    let target = arch.rust_target();
    let folder = target_folder(&places.repository).join(format!("guest-{arch}"));
    let mut cargo = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    cargo.current_dir(&places.repository);
    // This variable outranks every other that could bring flags.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(&places.repository).join("\x1f"));
    cargo.args(["build", "--quiet", "--package", package, "--profile", "guest"]);
    cargo.args(["--target", target, "--target-dir", folder.as_str()]);
    if arch != Arch::host() {
        let (linker, packages) = arch.cross_compiler();
        find(linker).ok_or(ProgramError::NoLinker { command: linker, packages })?;
        cargo.env(setting(target, "LINKER"), linker);
    }
    let toolchain = Toolchain::installed(&places.repository)?;
    if !toolchain.has_library(target) {
        let library = toolchain.library_source(places, depot).map_err(|source| ProgramError::Library {
            program: name,
            arch,
            source,
        })?;
        cargo.arg("-Zbuild-std=std,panic_abort");
        cargo.env("RUSTC_BOOTSTRAP", "1").env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
    }
    say(format!("building `{name}` for {arch}"));
    let built = cargo.status().map_err(|source| ToolError::Start { program: "cargo".to_owned(), source })?;
    if !built.success() {
        return Err(ProgramError::Build { program: name, arch });
    }
    Ok(folder.join(target).join("guest").join(name))
}

/// Linked statically, and without the folders of this machine, which panic messages would carry.
fn flags(repository: &Utf8Path) -> [String; 4] {
    let home = std::env::var("HOME").unwrap_or_default();
    let cargo_home = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    [
        "-Ctarget-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={repository}=/cove"),
        format!("--remap-path-prefix={}=/cove/target", target_folder(repository)),
        format!("--remap-path-prefix={cargo_home}=/cargo"),
    ]
}
