//! `cargo xtask check` and `cargo xtask test`: what a change must pass.

use std::process::Command;

use crate::image::{self, Arch, ImageError};
use crate::macos::{self, MacError};
use crate::package::{self, PackageError};
use crate::schemathesis::{self, SchemathesisError};
use crate::setup::{SetupError, install_missing, setup, setup_for_the_app};
use crate::steps::{StepError, cargo, run, step};
use crate::ui::{self, UiError};
use crate::watchers::{self, WatchersError};
use crate::workflows::{self, WorkflowsError};

/// The gate did not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("could not prepare this machine")]
    Setup(#[from] SetupError),
    #[error("could not build the guest image")]
    Image(#[from] ImageError),
    #[error("the code does not hold for macOS")]
    Mac(#[from] MacError),
    #[error("could not package for macOS")]
    Package(#[from] PackageError),
    #[error("could not provide file watchers")]
    Watchers(#[from] WatchersError),
    #[error("could not provide a fuzzer of APIs")]
    Schemathesis(#[from] SchemathesisError),
    #[error("the workflows do not hold")]
    Workflows(#[from] WorkflowsError),
    #[error("could not build the page")]
    Ui(#[from] UiError),
    #[error("a check failed")]
    Step(#[from] StepError),
}

/// Formatting and lints, of the workflows too.
pub(crate) fn check() -> Result<(), CheckError> {
    setup_for_the_app()?;
    step("Formatting", || run(cargo().args(["fmt", "--all", "--check"])))?;
    step("Lints", || {
        run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
    })?;
    step("Workflows", workflows::lint)?;
    Ok(())
}

/// Everything: lints, and all tests on real parts.
pub(crate) fn test() -> Result<(), CheckError> {
    setup()?;
    ui::build()?;
    image::build(&image::Options::packed())?;
    if Arch::host() != Arch::Arm64 {
        // The guest of Macs is booted here too, by translation.
        image::build(&image::Options::of(Arch::Arm64))?;
    }
    check()?;
    let programs = macos::check()?;
    let app = package::rehearse(&programs)?;
    let parts = test_parts()?;
    let watchers = watchers::provide()?;
    let schemathesis = schemathesis::provide()?;
    step("Installing a browser", || install_missing(ui::PACKAGES.iter().copied()))?;
    // Programs first: tests of the whole product start them. With the tests, whose features are those of all: nothing is
    // built twice.
    step("Building", || run(cargo().args(["build", "--workspace", "--all-targets", "--locked"])))?;
    step("Testing", || {
        // A part that is missing is a failure here, not a reason to skip.
        run(undisturbed(&cargo())
            .args(["test", "--workspace", "--locked", "--no-fail-fast"])
            .envs(parts)
            .env("COVE_TEST_APP", app)
            .env("COVE_TEST_SCHEMATHESIS", schemathesis)
            .env("COVE_TEST_WATCHERS", watchers)
            .env("COVE_TEST_PROGRAMS", programs)
            .env("COVE_REQUIRE_APP", "1")
            .env("COVE_REQUIRE_POSTGRES", "1")
            .env("COVE_REQUIRE_UI", "1")
            .env("COVE_REQUIRE_VM", "1"))
    })?;
    Ok(())
}

/// A program, none of whose signals is ignored: what a shell starts with `&` never hears of ctrl-c, and neither would the
/// programs that tests interrupt.
fn undisturbed(program: &Command) -> Command {
    if cfg!(not(target_os = "linux")) {
        return Command::new(program.get_program());
    }
    let mut command = Command::new("env");
    command.arg("--default-signal").arg(program.get_program());
    command
}

/// Unpacks the engine and the registry that tests use, after the image was built. Gives the environment that finds
/// them, and that makes a missing one a failure.
pub(crate) fn test_parts() -> Result<[(&'static str, String); 4], CheckError> {
    let engine = step("Unpacking an engine for tests on this host", image::unpack_test_engine)?;
    // Version 3 of the registry is configured in another way.
    step("Unpacking a registry for tests", || {
        image::unpack_beside(Arch::host(), &engine, "docker-registry", "2.", "usr/bin/docker-registry")
    })?;
    let busybox = image::cache_folder().map_err(ImageError::from)?.join("test-busybox");
    step("Unpacking busybox for both processors, for tests", || {
        [Arch::Amd64, Arch::Arm64].into_iter().try_for_each(|arch| {
            let folder = busybox.join(arch.debian());
            image::unpack_beside(arch, &folder, "busybox-static", "1:1.37", "usr/bin/busybox")
        })
    })?;
    // The engine's client serves where this computer has none.
    let path = format!("{}:{engine}/usr/bin", std::env::var("PATH").unwrap_or_default());
    Ok([
        ("COVE_REQUIRE_ENGINE", "1".to_owned()),
        ("COVE_TEST_ENGINE", engine.into_string()),
        ("COVE_TEST_BUSYBOX", busybox.into_string()),
        ("PATH", path),
    ])
}
