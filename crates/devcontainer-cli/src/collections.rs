//! `features …`, `templates …`, `outdated` and `upgrade`: commands about collections, which need no engine (but
//! `features test`, which brings containers up).

use std::process::ExitCode;

use clap::Subcommand;

use crate::Surroundings;

/// The commands of this module.
#[derive(Debug, Subcommand)]
pub(crate) enum Collections {}

/// Runs one of them. Gives the exit status of the process.
pub(crate) async fn run(command: Collections, _surroundings: &Surroundings<'_>) -> ExitCode {
    match command {}
}
