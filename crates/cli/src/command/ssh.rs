//! `cove ssh-config`, `cove ssh-proxy` and `cove ssh`

use std::fmt::Write as _;
use std::os::unix::process::CommandExt;
use std::process::Command;

use api::{DesiredPhase, Environment, Phase, Problem, ProblemCode};
use client::Client;
use serde::Serialize;

use super::lifecycle;
use crate::arguments::{SshArguments, SshConfigCommand};
use crate::attach::{Joint, attach};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::select;
use crate::ssh::{OwnConfig, PersonsConfig, environment_of, host_of};

/// The result for programs.
#[derive(Debug, Serialize)]
struct Answer {
    file: String,
    config: String,
    line: String,
    included: bool,
    changed: bool,
    overridden: Vec<Overridden>,
}

#[derive(Debug, Serialize)]
struct Overridden {
    option: &'static str,
    value: String,
}

pub(super) fn config(context: &Context, command: SshConfigCommand) -> Result<(), Failure> {
    let own = OwnConfig::provide(&context.home)?;
    let person = PersonsConfig::from_environment()?;
    let line = own.line()?;
    let changed = match command {
        SshConfigCommand::Show => false,
        SshConfigCommand::Install { yes } => install(context.output, &person, &line, yes)?,
        SshConfigCommand::Remove => person.remove(&line)?,
    };
    let included = person.includes(&line)?;
    let overridden = if included { own.overridden_in(&person.file) } else { Vec::new() };
    let answer = Answer {
        file: person.file.to_string(),
        config: own.file.to_string(),
        line,
        included,
        changed,
        overridden: overridden.into_iter().map(|(option, value)| Overridden { option, value }).collect(),
    };
    context.output.show(&answer, |_| in_words(&answer, command))
}

/// Adds the line if a person agrees.
fn install(output: Output, person: &PersonsConfig, line: &str, yes: bool) -> Result<bool, Failure> {
    if person.includes(line)? {
        // It may have to be moved to the front, to which somebody agreed before.
        return Ok(person.add(line)?);
    }
    if !yes {
        if !output.can_ask() {
            let title = format!("nobody is there to be asked whether `{}` may be changed", person.file);
            return Err(Failure::request(title)
                .with_command("agree", "cove ssh-config install --yes")
                .into());
        }
        output
            .note(&format!("This begins {} with the line\n  {line}\nand changes nothing else.", person.file));
        if !Output::confirm("Add it?") {
            return Err(Failure::Status(1));
        }
    }
    Ok(person.add(line)?)
}

fn in_words(answer: &Answer, command: SshConfigCommand) -> String {
    let Answer { file, config, line, included, changed, overridden } = answer;
    if !included {
        return match command {
            SshConfigCommand::Remove if *changed => format!("{file} is as it was before Cove."),
            SshConfigCommand::Remove => format!("{file} does not include Cove's configuration."),
            _ => format!(
                "{file} does not include Cove's configuration. `cove ssh-config install` begins it with\n  {line}\n\
                 Without that: ssh -F {config} ENV.cove"
            ),
        };
    }
    let mut text = format!("{file} includes Cove's configuration: ssh ENV.cove reaches an environment.");
    for Overridden { option, value } in overridden {
        let _ = write!(text, "\nBut for it, something else sets {option}: {value}");
    }
    if !overridden.is_empty() {
        text.push_str("\nWhat comes first wins: let the line above be the first of the file.");
    }
    text
}

/// Carries one connection of an ssh client to the environment that its host names.
pub(super) async fn proxy(context: &Context, host: &str) -> Result<(), Failure> {
    let client = context.client().await?;
    let name = environment_of(host);
    let environment = client.environment(name).await?;
    bring_up(context, &client, environment).await?;
    attach(client.ssh(name).await?, Joint::Pipes).await
}

/// The environment as it runs: started, with its progress on standard error, if it does not. One that runs though its
/// start ended in a problem, as after a failed hook, can be worked in, and the problem is a warning.
pub(super) async fn bring_up(
    context: &Context,
    client: &Client,
    environment: Environment,
) -> Result<Environment, Failure> {
    if environment.status.phase == Phase::Running && has_container(&environment) {
        return Ok(environment);
    }
    let problem = match lifecycle::bring_up(context, client, &environment).await {
        Err(Failure::Problem(problem)) => problem,
        end => return end,
    };
    match client.environment(environment.id.as_str()).await {
        Ok(now) if has_container(&now) => {
            context.output.warning(&problem);
            Ok(now)
        }
        _ => Err(problem.into()),
    }
}

/// Whether its container runs, and is to.
fn has_container(environment: &Environment) -> bool {
    environment.spec.desired_phase == DesiredPhase::Running
        && environment.status.container.as_ref().is_some_and(|container| container.running)
}

/// Becomes ssh, with Cove's configuration alone.
pub(super) async fn run(context: &Context, arguments: SshArguments) -> Result<(), Failure> {
    let own = OwnConfig::provide(&context.home)?;
    let client = context.client().await?;
    let environment = select::environment(&client, arguments.environment.as_deref()).await?;
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", own.file.as_str(), "--", &host_of(environment.metadata.name.as_str())]);
    let error = ssh.args(&arguments.command).exec();
    Err(Problem::new(ProblemCode::SshConfig, "`ssh` cannot be started")
        .caused_by(&error)
        .with_command("it is not needed for a shell", format!("cove shell {}", environment.metadata.name))
        .into())
}
