//! Everything `make` does: this file only reads the command line and hands over.

mod image;
mod output;

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
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Image(options) => image::build(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(&error);
            ExitCode::FAILURE
        }
    }
}
