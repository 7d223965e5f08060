//! `coved`: the daemon's program.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};
use daemon::control::JoinWish;
use daemon::lock::LockError;
use daemon::wiring::{ServeError, Sits};
use daemon::{Paths, logging, server, wiring};

/// Keeps dev containers in their wanted state. Started by `cove` when it is needed.
#[derive(Debug, Parser)]
#[command(name = "coved", version, args_conflicts_with_subcommands = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Serves the state folder on a host that nobody sits at: the log goes to standard error, and the key of secrets lies in
    /// a file of the state folder, since there is no keyring to ask
    #[arg(long)]
    headless: bool,
    #[command(flatten)]
    join: Join,
}

/// The control plane that a headless host becomes a runner of, unless it is one already.
#[derive(Debug, Args)]
struct Join {
    /// Where it is: `https://control.example.com:8443`
    #[arg(long = "join", value_name = "ADDRESS", requires_all = ["headless", "authority", "token_file"])]
    address: Option<String>,
    /// SHA-256 of its authority, as `cove-control runner token` says it
    #[arg(long, value_name = "SHA256", requires = "address")]
    authority: Option<String>,
    /// A file with the token, which its owner alone can read
    #[arg(long, value_name = "FILE", requires = "address")]
    token_file: Option<Utf8PathBuf>,
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
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::Serve { as_service: false }) => serve(Sits::Somebody),
        Some(Command::Serve { as_service: true }) => serve_as_service(),
        Some(Command::Openapi) => {
            writeln!(io::stdout().lock(), "{}", server::openapi::json()).map_err(ServeError::from)
        }
        None => serve(Sits::Nobody(arguments.join.wish())),
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

impl Join {
    fn wish(self) -> Option<JoinWish> {
        let (address, authority) = self.address.zip(self.authority)?;
        Some(JoinWish { address, authority, token_file: self.token_file? })
    }
}

fn serve(sits: Sits) -> Result<(), ServeError> {
    let paths = Paths::from_env()?;
    logging::start(&paths.daemon_log());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(wiring::serve(&paths, sits));
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
    match serve(Sits::Somebody) {
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
