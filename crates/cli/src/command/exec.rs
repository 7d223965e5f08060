//! `cove exec` and `cove shell`

use std::collections::BTreeMap;
use std::io::IsTerminal;

use api::{ExecRequest, ExecTerminal};
use devcontainer_cli::terminal;

use super::ssh;
use crate::arguments::{ExecArguments, ProcessOptions, ShellArguments};
use crate::attach::{Joint, attach};
use crate::context::Context;
use crate::failure::Failure;
use crate::select;

/// Variables of the caller's terminal that programs inside need to draw on it.
const TERMINAL_VARIABLES: [&str; 2] = ["TERM", "COLORTERM"];

pub(super) async fn run(context: &Context, arguments: ExecArguments) -> Result<(), Failure> {
    let ExecArguments { environment, process, command } = arguments;
    in_environment(context, environment, process, command).await
}

pub(super) async fn shell(context: &Context, arguments: ShellArguments) -> Result<(), Failure> {
    let ShellArguments { environment, process } = arguments;
    in_environment(context, environment, process, Vec::new()).await
}

async fn in_environment(
    context: &Context,
    environment: Option<String>,
    process: ProcessOptions,
    command: Vec<String>,
) -> Result<(), Failure> {
    let (request, joint) = request(process, command)?;
    let client = context.client().await?;
    let mut environment = select::environment(&client, environment.as_deref()).await?;
    // One that a person stopped stays down until they start it.
    if environment.spec.starts_on_use() {
        environment = ssh::bring_up(context, &client, environment).await?;
    }
    let session = client.exec(environment.id.as_str(), &request).await?;
    attach(session, joint).await
}

/// What is asked of the daemon, and how the process is joined.
pub(super) fn request(
    process: ProcessOptions,
    command: Vec<String>,
) -> Result<(ExecRequest, Joint), Failure> {
    let joint = joint(&process)?;
    let mut env = BTreeMap::new();
    let terminal = (joint == Joint::Terminal).then(|| {
        env.extend(TERMINAL_VARIABLES.into_iter().filter_map(|name| {
            let value = std::env::var(name).ok()?;
            Some((name.to_owned(), value))
        }));
        let engine::TerminalSize { rows, columns } = terminal::size();
        ExecTerminal { rows, columns }
    });
    for variable in &process.variables {
        env.extend(assignment(variable)?);
    }
    let ProcessOptions { user, workdir, .. } = process;
    let input = joint != Joint::OutputOnly;
    Ok((
        ExecRequest { argv: command, env, cwd: workdir, user, terminal, input, ..ExecRequest::default() },
        joint,
    ))
}

fn joint(process: &ProcessOptions) -> Result<Joint, Failure> {
    let both = terminal::is_interactive();
    match (process.tty, process.no_tty) {
        (true, _) if !std::io::stdin().is_terminal() => {
            Err(Failure::request("standard input is no terminal, so `--tty` cannot be had")
                .with_hint("leave `--tty` out: the default looks what there is")
                .into())
        }
        (true, _) => Ok(Joint::Terminal),
        (false, false) if both => Ok(Joint::Terminal),
        // A terminal that only gives input would compete with, say, a pager for the keys.
        _ if process.interactive || !std::io::stdin().is_terminal() => Ok(Joint::Pipes),
        _ => Ok(Joint::OutputOnly),
    }
}

/// `NAME=VALUE`, or `NAME` for the caller's own value; one that the caller does not have is left out.
fn assignment(text: &str) -> Result<Option<(String, String)>, Failure> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, std::env::var(text).ok()),
    };
    if name.is_empty() {
        return Err(Failure::request(format!("`--env {text}` names no variable")).into());
    }
    Ok(value.map(|value| (name.to_owned(), value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_given_or_handed_over() {
        assert_eq!(assignment("A=b=c").unwrap(), Some(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(assignment("A=").unwrap(), Some(("A".to_owned(), String::new())));
        assert_eq!(assignment("COVE_TEST_NOBODY_SETS_THIS").unwrap(), None);
        assert_eq!(assignment("PATH").unwrap().map(|(name, _)| name), Some("PATH".to_owned()));
        assert!(assignment("=x").is_err());
    }
}
