//! The command line: `serve` is the server, all else are its clients.

mod arguments;
mod backup;
mod call;
mod console;
mod file;
mod key;
mod login;
mod logins;
mod resources;
mod secret;
mod serve;
mod settle;
mod shown;
mod tokens;
mod watch;

use api::Problem;
use api::control::PrincipalKind;

pub use arguments::Arguments;
use arguments::{AuditCommand, AuthzCommand, Command, KeyCommand, RunnerCommand};
use call::Remote;

/// Does what a command line asks for.
///
/// # Errors
/// What kept it from being done, for people.
pub async fn run(arguments: Arguments) -> Result<(), Problem> {
    let Arguments { home, organization, access, command } = arguments;
    let remote = Remote::new(home.join("run/control.sock"), access, organization);
    match command {
        Command::Serve(options) => serve::serve(&home, options).await,
        Command::Apply(files) => resources::apply(&remote, &files.files).await,
        Command::Diff(files) => resources::diff(&remote, &files.files).await,
        Command::Get { kind, name, output, watch: true } => {
            watch::watch(&remote, &kind, name.as_deref(), output).await
        }
        Command::Get { kind, name, output, watch: false } => {
            resources::get(&remote, &kind, name.as_deref(), output).await
        }
        Command::Delete { kind, name } => resources::delete(&remote, &kind, &name).await,
        Command::Settle { environment, field, value } => {
            settle::settle(&remote, &environment, field, &value).await
        }
        Command::Runner(RunnerCommand::Token { name }) => resources::token(&remote, &name).await,
        Command::Runner(RunnerCommand::Revoke { name }) => resources::revoke(&remote, &name).await,
        Command::Secret(command) => secret::run(&remote, command).await,
        Command::Audit(AuditCommand::Verify) => resources::verify(&remote).await,
        Command::Audit(AuditCommand::Export) => resources::export(&remote).await,
        Command::Authz(AuthzCommand::Explain { user, runner, verb, kind, name }) => {
            let who = match (user, runner) {
                (Some(user), _) => (PrincipalKind::User, user),
                (None, runner) => (PrincipalKind::Runner, runner.unwrap_or_default()),
            };
            resources::explain(&remote, who, &verb, &kind, name.as_deref()).await
        }
        Command::Login { at } => login::login(&remote, &at).await,
        Command::Logout { at } => login::logout(at.as_deref()).await,
        Command::Token(command) => tokens::token(&remote, command).await,
        Command::Key(KeyCommand::Rotate) => key::rotate(&remote).await,
        Command::Whoami => tokens::whoami(&remote).await,
        Command::Console { user } => console::console(&remote, &user).await,
        Command::Backup { file } => backup::backup(&home, &file).await,
        Command::Restore { file } => backup::restore(&home, &file).await,
    }
}

/// A problem as people read it.
pub fn render(problem: &Problem) -> String {
    shown::problem(problem)
}
