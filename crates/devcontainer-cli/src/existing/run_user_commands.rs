//! `run-user-commands`: runs the lifecycle in a container that runs.

use std::process::ExitCode;

use provision::Secrets;
use provision::lifecycle::{Extent, Reached};

use super::{folder_of, held, is_own};
use crate::Surroundings;
use crate::arguments::RunUserCommandsArguments;
use crate::engines::Said;
use crate::inside::Inside;
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
    let host = surroundings.awake(said).await?;
    let (state, labels) =
        target.find(&host.engine).await.map_err(|error| Failure::caused(FAILING, &error))?;
    let missing =
        || Failure { description: FAILING.to_owned(), ..Failure::plain("Dev container not found.") };
    let state = state.ok_or_else(missing)?;
    let held = held(target.config.as_ref(), &state, is_own(&target, &state, &labels))?;
    let mut inside = Inside {
        engine: &host.engine,
        state: &state,
        resolved: held.resolved,
        entries: held.entries,
        folder: folder_of(&held.config),
        folders: &arguments.folders,
        default_probe: arguments.probe.default_user_env_probe.into(),
        remote_env: &arguments.remote_env,
        surroundings,
        log,
    };
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
