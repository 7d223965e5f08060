//! `cove-control`: see crate `control_plane`.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use control_plane::command::{self, Arguments};

#[tokio::main]
async fn main() -> ExitCode {
    let level = tracing_subscriber::EnvFilter::try_from_env("COVE_LOG").unwrap_or_else(|_| "info".into());
    // A log that is kept has no colours in it.
    let colours =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt().with_env_filter(level).with_ansi(colours).with_writer(std::io::stderr).init();
    match command::run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            use std::io::Write as _;
            // Nobody may be reading.
            let _ = writeln!(std::io::stderr(), "{}", command::render(&problem));
            ExitCode::FAILURE
        }
    }
}
