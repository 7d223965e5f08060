//! The commands, one file each or a few that belong together.

mod audit;
mod automations;
mod control;
mod daemon;
mod docker;
mod docker_socket;
mod doctor;
mod exec;
mod explain;
mod grants;
mod keep_alive;
mod lifecycle;
mod list;
mod logs;
mod machine;
mod machine_status;
mod mcp;
mod migrate;
mod open;
mod plan;
mod ports;
mod prebuild;
mod rosetta;
mod secret;
mod service;
mod show;
mod ssh;
mod ui;
mod up;

use clap_complete::env::Shells;

use crate::arguments::{Command, Shell};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Carries a command out.
pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(arguments) => up::run(context, arguments).await,
        Command::Ls => list::run(context).await,
        Command::Show(arguments) => show::run(context, arguments).await,
        Command::Ports(arguments) => ports::run(context, arguments).await,
        Command::Plan(arguments) => plan::run(context, arguments).await,
        Command::Exec(arguments) => exec::run(context, arguments).await,
        Command::Shell(arguments) => exec::shell(context, arguments).await,
        Command::KeepAlive(arguments) => keep_alive::run(context, arguments).await,
        Command::Open(arguments) => open::run(context, arguments).await,
        Command::Ssh(arguments) => ssh::run(context, arguments).await,
        Command::SshConfig(command) => ssh::config(context, command),
        Command::SshProxy { host } => ssh::proxy(context, &host).await,
        Command::Logs(arguments) => logs::environment(context, arguments).await,
        Command::Mcp(arguments) => mcp::run(context, arguments).await,
        Command::Grant(arguments) => grants::grant(context, arguments).await,
        Command::Revoke(arguments) => grants::revoke(context, arguments).await,
        Command::Audit(arguments) => audit::run(context, arguments).await,
        Command::Prebuild(arguments) => prebuild::run(context, arguments).await,
        Command::Ui(arguments) => ui::run(context, &arguments).await,
        Command::Stop(arguments) => lifecycle::stop(context, arguments).await,
        Command::Start(arguments) => lifecycle::start(context, arguments).await,
        Command::Rm(arguments) => lifecycle::remove(context, arguments).await,
        Command::Automations(command) => automations::run(context, command).await,
        Command::Control(command) => control::run(context, command).await,
        Command::Secret(command) => secret::run(context, command).await,
        Command::Machine(command) => machine::run(context, command).await,
        Command::Docker(command) => docker::run(context, command),
        Command::Migrate(arguments) => migrate::run(context, arguments).await,
        Command::Doctor(arguments) => doctor::run(context, arguments).await,
        // It has a runtime of its own, and begins before this one; only options before it lead here.
        Command::Devcontainer { .. } => {
            Err(Failure::request("`devcontainer` comes first: `cove devcontainer …`").into())
        }
        Command::Daemon(arguments) => daemon::run(context, arguments).await,
        Command::Completion { shell } => completion(shell),
        Command::Explain { code } => explain::run(context, code),
    }
}

fn completion(shell: Shell) -> Result<(), Failure> {
    let shells = Shells::builtins();
    let engine = shells.completer(shell.name()).expect("the shells that can be named are the engine's own");
    let mut script = Vec::new();
    engine
        .write_registration("COMPLETE", "cove", "cove", "cove", &mut script)
        .expect("writing to memory cannot fail");
    output::write(&script)
}
