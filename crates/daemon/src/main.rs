//! `coved`: the daemon's program.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use daemon::lock::LockError;
use daemon::wiring::ServeError;
use daemon::{Paths, logging, server, wiring};

/// Keeps dev containers in their wanted state. Started by `cove` when it is needed.
#[derive(Debug, Parser)]
#[command(name = "coved", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the state folder (`COVE_HOME`, or `~/.cove`) until it is told to end. The log goes to standard error.
    Serve {
        /// For launchd and systemd: the log goes to `coved.log`, and a daemon that runs already is given way to.
        #[arg(long)]
        as_service: bool,
    },
    /// Prints the OpenAPI document of the HTTP API.
    Openapi,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Serve { as_service: false } => serve(),
        Command::Serve { as_service: true } => serve_as_service(),
        Command::Openapi => {
            writeln!(io::stdout().lock(), "{}", server::openapi::json()).map_err(ServeError::from)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to hear that standard error is closed.
            let _ = report(&error);
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), ServeError> {
    let paths = Paths::from_env()?;
    logging::start(&paths.daemon_log());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(wiring::serve(&paths));
    // What still runs is a file operation at most; nothing that is awaited would ever be answered.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    served
}

/// As [`serve`]. Where another daemon serves the folder all is well: whoever started this one would otherwise start it
/// again and again.
fn serve_as_service() -> Result<(), ServeError> {
    let paths = Paths::from_env()?;
    paths.prepare()?;
    logging::write_to(&paths.daemon_log())?;
    match serve() {
        Err(ServeError::Lock(error @ LockError::Held { .. })) => {
            tracing::info!(%error, "ending at once");
            Ok(())
        }
        served => served,
    }
}

fn report(error: &dyn Error) -> io::Result<()> {
    let mut out = io::stderr().lock();
    writeln!(out, "coved: {error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        writeln!(out, "  caused by: {error}")?;
        cause = error.source();
    }
    Ok(())
}
