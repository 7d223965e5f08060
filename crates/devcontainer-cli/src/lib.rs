//! The drop-in `devcontainer` command: the reference's commands, flags and JSON, on any engine.
//!
//! Results are one line of JSON on standard output, logs go to standard error; see [`log`] and [`outcome`]. The work
//! itself is that of crate `provision`; this crate reads arguments, chooses the engine and calls the steps in a row.

mod arguments;
mod build;
mod collecting;
mod collections;
mod engines;
mod existing;
mod host;
mod inside;
mod interrupt;
mod log;
mod names;
mod outcome;
mod read_configuration;
mod secrets_file;
mod stop;
mod target;
pub mod terminal;
mod up;

use std::ffi::OsString;
use std::process::ExitCode;

pub use host::{Host, HostEngine, HostError, OwnEngine};

use crate::arguments::Command;
use crate::stop::Ending;

/// The version of the reference whose behaviour this command has. Tools ask for it with `--version`.
pub const REFERENCE_VERSION: &str = "0.89.0";

/// What every command gets: the surroundings of one run of the program.
pub(crate) struct Surroundings<'a> {
    /// Who gives Cove's engine.
    pub(crate) host: &'a dyn Host,
    /// The working folder, absolute.
    pub(crate) folder: camino::Utf8PathBuf,
    /// To which hosts registries may send us for a token.
    pub(crate) auth_hosts: oci::AuthHosts,
}

/// Runs the command with these arguments, the program's name not among them. `host` gives Cove's own engine.
pub fn main(arguments: impl IntoIterator<Item = OsString>, host: &dyn Host) -> ExitCode {
    let (command, auth_hosts) = match arguments::parse(arguments) {
        Ok(parsed) => parsed,
        Err(status) => return status,
    };
    let folder = match std::env::current_dir().map(camino::Utf8PathBuf::from_path_buf) {
        Ok(Ok(folder)) => folder,
        Ok(Err(folder)) => {
            return outcome::cannot_begin(&format!("the path `{}` is not UTF-8", folder.display()));
        }
        Err(error) => return outcome::cannot_begin(&format!("the working folder cannot be used: {error}")),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return outcome::cannot_begin(&format!("could not start threads: {error}")),
    };
    let surroundings = Surroundings { host, folder, auth_hosts };
    let status = runtime.block_on(async {
        let ended = tokio::select! {
            status = run(command, &surroundings) => Ok(status),
            number = interrupt::called_off() => Err(number),
        };
        match ended {
            Ok(status) => status,
            Err(number) => {
                // What ran in the container is ended too, which takes a moment.
                tokio::time::sleep(interrupt::MOMENT).await;
                ExitCode::from(128 + number)
            }
        }
    });
    // A thread may still wait for standard input; the process ends without it.
    runtime.shutdown_background();
    status
}

async fn run(command: Command, surroundings: &Surroundings<'_>) -> ExitCode {
    match command {
        Command::Up(arguments) => up::run(*arguments, surroundings).await,
        Command::SetUp(arguments) => existing::set_up(*arguments, surroundings).await,
        Command::Build(arguments) => build::run(*arguments, surroundings).await,
        Command::RunUserCommands(arguments) => existing::run_user_commands(*arguments, surroundings).await,
        Command::ReadConfiguration(arguments) => read_configuration::run(*arguments, surroundings).await,
        Command::Exec(arguments) => existing::exec(*arguments, surroundings).await,
        Command::Stop(arguments) => stop::run(*arguments, surroundings, Ending::Stop).await,
        Command::Down(arguments) => stop::run(*arguments, surroundings, Ending::Down).await,
        Command::List(arguments) => stop::list(*arguments, surroundings).await,
        Command::Collections(command) => collections::run(command, surroundings).await,
    }
}
