//! `run-user-commands`: runs the lifecycle in a container that runs.

use std::process::ExitCode;

use provision::Secrets;
use provision::lifecycle::{Extent, Reached};

use super::{Found, Running};
use crate::Surroundings;
use crate::arguments::RunUserCommandsArguments;
use crate::engines::Said;
use crate::log::Log;
use crate::outcome::{self, Failure, Success};
use crate::secrets_file;
use crate::target::Asked;

/// What is said to fail.
const FAILING: &str = "An error occurred running user commands in the container.";

pub(crate) async fn run(arguments: RunUserCommandsArguments, surroundings: &Surroundings<'_>) -> ExitCode {
    let (secrets, unread) = match secrets_file::read(&arguments.secrets, surroundings) {
        Ok(secrets) => (secrets, None),
        Err(failure) => (Secrets::default(), Some(failure)),
    };
    let log = Log::new(arguments.log.log_level, arguments.log.log_format, secrets.masks(), true);
    let ran = match unread {
        Some(failure) => Err(failure),
        None => run_commands(&arguments, surroundings, &secrets, &log).await,
    };
    match ran {
        Ok(result) => {
            outcome::line(&outcome::Ran { outcome: Success::Success, result });
            ExitCode::SUCCESS
        }
        // Of this command the reference does not name the container again.
        Err(failure) => log.failure(&Failure { container_id: None, ..failure }),
    }
}

async fn run_commands(
    arguments: &RunUserCommandsArguments,
    surroundings: &Surroundings<'_>,
    secrets: &Secrets,
    log: &Log,
) -> Result<Reached, Failure> {
    let lookup = &arguments.lookup;
    let target = Asked::of(lookup, surroundings).read(FAILING)?;
    let said = Said { docker: &lookup.docker, compose: lookup.docker_compose_path.as_deref() };
    let found = Found::find(&target, true, said, surroundings, FAILING).await?;
    let running =
        Running { folders: &arguments.folders, probe: arguments.probe, remote_env: &arguments.remote_env };
    let mut inside = found.inside(running, surroundings, log);
    let place = inside.workplace(true).await;
    let place = place.map_err(|failure| Failure { description: FAILING.to_owned(), ..failure })?;
    let extent = Extent {
        skip_non_blocking: arguments.attach.skip_non_blocking_commands,
        prebuild: arguments.prebuild,
        stop_for_personalization: arguments.stop_for_personalization,
        skip_post_attach: arguments.attach.skip_post_attach,
    };
    inside.lifecycle(&place, &extent, secrets, &arguments.dotfiles).await
}
