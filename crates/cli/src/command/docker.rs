//! `cove docker context|socket`

use serde::Serialize;

use super::docker_socket;
use crate::arguments::{DockerCommand, Switch};
use crate::context::Context;
use crate::docker_context::{Change, DockerFiles, NAME};
use crate::failure::Failure;

/// The result for programs.
#[derive(Debug, Serialize)]
struct Answer {
    context: &'static str,
    host: String,
    exists: bool,
    changed: bool,
}

pub(super) fn run(context: &Context, command: DockerCommand) -> Result<(), Failure> {
    match command {
        DockerCommand::Context { remove } => set_context(context, remove),
        DockerCommand::Socket { system: None, .. } => docker_socket::show(context),
        DockerCommand::Socket { system: Some(Switch::On), force } => docker_socket::on(context, force),
        DockerCommand::Socket { system: Some(Switch::Off), .. } => docker_socket::off(context),
    }
}

fn set_context(context: &Context, remove: bool) -> Result<(), Failure> {
    let files = DockerFiles::from_environment()?;
    let socket = context.home.docker_socket();
    let change = if remove { files.remove()? } else { files.point_at(&socket)? };
    let answer = Answer {
        context: NAME,
        host: format!("unix://{socket}"),
        exists: !remove,
        changed: change != Change::Nothing,
    };
    context.output.show(&answer, |_| match change {
        Change::Removed => format!("Removed the docker context `{NAME}`."),
        Change::Nothing if remove => format!("There is no docker context `{NAME}`."),
        Change::Made | Change::Moved | Change::Nothing => format!(
            "The docker context `{NAME}` leads to {}.\nUse it with `docker --context {NAME} …`, or for good with \
             `docker context use {NAME}`.",
            answer.host
        ),
    })
}
