//! `cargo xtask check-macos`: as much of the Mac as a Linux machine can prove.
//!
//! Everything but the guest agent is type-checked and linted for `aarch64-apple-darwin`, and `cove`, `coved`,
//! `cove-shim` and the app are linked into real Mach-O programs, C code included, with Rust's own linker. What the linker cannot
//! know is checked here: that every symbol left to the start of a program is one that Apple's frameworks have, and
//! that methods of delegates are those that Apple's protocols declare. All but the app are built for arm64
//! Linux along the way. Nothing of it runs: only a Mac can say that it does.

mod delegates;
mod programs;
mod sdk;
mod symbols;
mod zig;

use std::process::{Command, ExitCode};

use camino::{Utf8Path, Utf8PathBuf};

use crate::image::{Arch, HOST_PACKAGES, NoCache, Places, ToolError};
use crate::pip::PipError;
use crate::rust::{Sysroot, SysrootError, Toolchain, cargo_with_flags, setting};
use crate::setup::{SetupError, install_missing};
use crate::steps::{StepError, run, step};

const MAC: &str = "aarch64-apple-darwin";

const LINUX: &str = "aarch64-unknown-linux-gnu";

/// The oldest macOS that programs are made for.
pub(crate) const MACOS_VERSION: &str = "14.0";

/// Debian packages beside those of the image build.
const PACKAGES: [&str; 3] = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "python3-pip"];

/// The packages that never see a Mac: the first process of a Linux guest, what works in its containers, and a team's server.
const LINUX_ONLY: [&str; 3] = ["agent", "control-plane", "inside"];

/// The code does not hold for a Mac, or could not be checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MacError {
    #[error("could not prepare this machine")]
    Setup(#[from] SetupError),
    #[error("no place for what is built once")]
    Places(#[from] NoCache),
    #[error("could not find a Rust toolchain")]
    Toolchain(#[from] ToolError),
    #[error("could not provide Rust's standard library")]
    Sysroot(#[from] SysrootError),
    #[error("could not provide a C compiler for the Mac")]
    Zig(#[from] PipError),
    #[error("a check failed")]
    Step(#[from] StepError),
    #[error("the build of the programs could not be followed")]
    Programs(#[from] programs::ProgramsError),
    #[error(transparent)]
    Symbols(#[from] symbols::SymbolsError),
    #[error(transparent)]
    Delegates(#[from] delegates::DelegatesError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// This program under the name of a compiler does that compiler's work.
pub(crate) fn as_compiler() -> Option<ExitCode> {
    zig::as_compiler()
}

/// All of it. Gives the folder of the programs for the Mac.
pub(crate) fn check() -> Result<Utf8PathBuf, MacError> {
    step("Checking for macOS and arm64 Linux", || {
        install_missing(HOST_PACKAGES.iter().chain(&PACKAGES).copied())?;
        let places = Places::new(Arch::host(), None)?;
        let toolchain = Toolchain::installed(&places.repository)?;
        let mac = step("Rust's library for macOS", || Mac::provide(&toolchain, &places))?;
        step("Lints for macOS", || mac.lint())?;
        let programs = step("Linking for macOS", || link(mac.cargo(&[])?, &[]))?;
        step("Delegates", || delegates::check(&places.repository))?;
        step("Building for arm64 Linux", || linux(&toolchain, &places))?;
        Ok(programs)
    })
}

/// Builds the programs for the Mac as they are released: optimised, without symbols and without the paths of whoever
/// builds them. On a Mac by Apple's linker, elsewhere like [`check`] does. Gives their folder.
pub(crate) fn release_programs() -> Result<Utf8PathBuf, MacError> {
    step("Building the programs for release", || {
        let places = Places::new(Arch::Arm64, None)?;
        let home = std::env::var("HOME").unwrap_or_default();
        // The last that fits is taken: the checkout is often below the home folder.
        let paths = [(home.as_str(), "~"), (places.repository.as_str(), "cove")];
        let known = paths.iter().filter(|(path, _)| path.len() > 1);
        let flags: Vec<_> = known.map(|(path, name)| format!("--remap-path-prefix={path}={name}")).collect();
        if cfg!(target_os = "macos") {
            let mut cargo = cargo_with_flags(&places.repository, &flags);
            cargo.env("MACOSX_DEPLOYMENT_TARGET", MACOS_VERSION);
            return link(cargo, &["--release"]);
        }
        install_missing(HOST_PACKAGES.iter().chain(&PACKAGES).copied())?;
        let mac = Mac::provide(&Toolchain::installed(&places.repository)?, &places)?;
        link(mac.cargo(&flags)?, &["--release"])
    })
}

/// Links the programs for the Mac, checks what they leave to their start, and gives their folder.
fn link(cargo: Command, profile: &[&str]) -> Result<Utf8PathBuf, MacError> {
    let mut folder = Utf8PathBuf::new();
    let programs = [programs::PROGRAMS, &[programs::APP]].concat();
    for program in programs::build(cargo, MAC, profile, &programs)? {
        symbols::check(&program)?;
        programs::tell(&program)?;
        folder = program.parent().unwrap_or(&folder).to_owned();
    }
    Ok(folder)
}

/// What programs for the Mac are made with.
struct Mac {
    repository: Utf8PathBuf,
    sysroot: Sysroot,
    linker: Utf8PathBuf,
    rust_libraries: Utf8PathBuf,
    zig: zig::Zig,
    sdk: Utf8PathBuf,
}

impl Mac {
    fn provide(toolchain: &Toolchain, places: &Places) -> Result<Self, MacError> {
        let sysroot = Sysroot::provide(toolchain, places, MAC)?;
        let zig = zig::Zig::provide(places)?;
        let sdk = sdk::write(&places.cache, &zig.system_library())?;
        Ok(Self {
            repository: places.repository.clone(),
            sysroot,
            linker: toolchain.linker(),
            rust_libraries: toolchain.libraries(),
            zig,
            sdk,
        })
    }

    /// The same for lints and links, so that C code is compiled once.
    fn cargo(&self, more: &[String]) -> std::io::Result<Command> {
        let mut flags = vec![self.sysroot.flag(), "-Clinker-flavor=ld64.lld".to_owned()];
        flags.extend_from_slice(more);
        // Apple's frameworks are there by name only: what they have is left to the start of the program.
        flags.extend(["-Clink-arg=-undefined", "-Clink-arg=dynamic_lookup"].map(str::to_owned));
        let mut cargo = cargo_with_flags(&self.repository, &flags);
        self.zig.compile_for_the_mac(&mut cargo)?;
        cargo.env(setting(MAC, "LINKER"), &self.linker);
        cargo.env("SDKROOT", &self.sdk).env("MACOSX_DEPLOYMENT_TARGET", MACOS_VERSION);
        // For Rust's objcopy, where a profile strips.
        cargo.env("LD_LIBRARY_PATH", &self.rust_libraries);
        Ok(cargo)
    }

    fn lint(&self) -> Result<(), MacError> {
        let mut cargo = self.cargo(&[])?;
        cargo.args(["clippy", "--workspace", "--all-targets", "--locked"]);
        cargo.args(LINUX_ONLY.map(|package| format!("--exclude={package}")));
        run(cargo.args(["--target", MAC, "--", "-D", "warnings"]))?;
        Ok(())
    }
}

/// Builds the programs for Linux hosts with this other processor.
fn linux(toolchain: &Toolchain, places: &Places) -> Result<(), MacError> {
    let mut flags = Vec::new();
    if !toolchain.has_library(LINUX) {
        flags.push(Sysroot::provide(toolchain, places, LINUX)?.flag());
    }
    let mut cargo = cargo_with_flags(&places.repository, &flags);
    if Arch::host() != Arch::Arm64 {
        cargo.env(setting(LINUX, "LINKER"), Arch::Arm64.cross_compiler().0);
    }
    for program in programs::build(cargo, LINUX, &[], programs::PROGRAMS)? {
        programs::tell(&program)?;
    }
    Ok(())
}

/// The name of a file for messages.
fn name(file: &Utf8Path) -> &str {
    file.file_name().unwrap_or(file.as_str())
}
