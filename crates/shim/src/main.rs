//! Owns one virtual machine until told to stop.
//!
//! `cove-shim run --dir DIR` boots the machine that `DIR/machine.json` describes and serves `protocol::shim` on
//! `DIR/shim.sock`. The daemon may come and go; the machine ends with this process, however this process ends.
//!
//! Everything here runs on the main thread on purpose: Linux ends the machine's processes when the *thread* that
//! started them ends, see `tether`. On macOS there are none: the framework runs the machine for this process.

mod folder;
mod hypervisor;
mod log;
mod owner;
mod rosetta;
mod serve;
mod splice;
#[cfg(not(target_os = "macos"))]
mod tether;

use std::io::Write as _;
use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::{Parser, Subcommand};

/// Owns one virtual machine of Cove. Started by `coved`; not meant to be typed.
#[derive(Debug, Parser)]
#[command(name = "cove-shim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boots the machine of a folder and serves it until it ends.
    Run {
        /// The machine's folder, with its `machine.json`.
        #[arg(long)]
        dir: Utf8PathBuf,
        /// Where to remember whether the host's KVM works; `accelerator.json` in the folder by default.
        #[arg(long)]
        accelerator: Option<Utf8PathBuf>,
    },
    /// Installs Apple's Rosetta for Linux on this Mac, once its window was answered with yes.
    InstallRosetta,
    /// Runs a program that dies with the process that started it.
    #[cfg(not(target_os = "macos"))]
    #[command(hide = true)]
    Tether {
        /// Process id of the starter.
        #[arg(long)]
        parent: u32,
        /// The program and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<std::ffi::OsString>,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run { dir, accelerator } => owner::run(&dir, accelerator).map_err(|error| chain(&error)),
        Command::InstallRosetta => rosetta::install().map_err(|error| chain(&*error)),
        #[cfg(not(target_os = "macos"))]
        Command::Tether { parent, command } => Err(chain(&tether::become_program(parent, &command))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nobody may be listening, which changes nothing about the end.
            let _ = writeln!(std::io::stderr(), "cove-shim: {message}");
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
