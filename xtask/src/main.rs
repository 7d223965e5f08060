//! Everything `make` does: this file only reads the command line and hands over.

mod bench;
mod check;
mod conformance;
mod fuzz;
mod image;
mod mac_verify;
mod macos;
mod output;
mod package;
mod pip;
mod run;
mod rust;
mod schemathesis;
mod setup;
mod steps;
mod ui;
mod watchers;
mod workflows;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs and checks Cove.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the guest image: kernel, initramfs, root file system and the base dev image
    Image(image::Options),
    /// Install what this machine lacks to build, run and test Cove
    Setup,
    /// From a fresh checkout to an example that answers
    Run,
    /// Build the app and open it
    App,
    /// Build the page that the daemon and the app show
    Ui(ui::Options),
    /// Formatting and lints
    Check,
    /// Type-check, lint and link for macOS, and build for arm64 Linux
    CheckMacos,
    /// Cove.app, its disk image, and what Homebrew and the updater read
    Package(package::Options),
    /// Lints, and every test on real parts
    Test,
    /// Hold Cove against the Dev Container specification and its reference; writes docs/conformance.md
    Conformance(conformance::Options),
    /// Feed the readers of foreign bytes with what a fuzzer makes up
    Fuzz(fuzz::Options),
    /// On a Mac: prove what only a Mac can; paste what it prints
    MacVerify(mac_verify::Options),
    /// Compare the time to an answering engine with that of a Debian system
    Bench(bench::Options),
}

fn main() -> ExitCode {
    if let Some(done) = macos::as_compiler() {
        return done;
    }
    let done: Result<(), Box<dyn Error>> = match Arguments::parse().command {
        Command::Image(options) => image::build(&options).map_err(Into::into),
        Command::Setup => setup::setup().and_then(|()| setup::setup_for_the_app()).map_err(Into::into),
        Command::Run => run::example().map_err(Into::into),
        Command::App => run::app().map_err(Into::into),
        Command::Ui(options) => ui::ui(&options).map_err(Into::into),
        Command::Check => check::check().map_err(Into::into),
        Command::CheckMacos => macos::check().map(drop).map_err(Into::into),
        Command::Package(options) => package::package(&options).map_err(Into::into),
        Command::Test => check::test().map_err(Into::into),
        Command::Conformance(options) => conformance::conformance(&options).map_err(Into::into),
        Command::MacVerify(options) => mac_verify::verify(&options).map_err(Into::into),
        Command::Fuzz(options) => fuzz::fuzz(&options).map_err(Into::into),
        Command::Bench(options) if options.devcontainer => {
            conformance::bench(&options.folder()).map_err(Into::into)
        }
        Command::Bench(options) => bench::run(&options).map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(error.as_ref());
            ExitCode::FAILURE
        }
    }
}
