//! `set-up`: makes a container that somebody else made a dev container.

use std::process::ExitCode;

use devcontainer::reference::View;
use provision::lifecycle::Extent;
use provision::{Masks, Secrets};

use super::{Found, Running};
use crate::Surroundings;
use crate::arguments::SetUpArguments;
use crate::engines::Said;
use crate::log::Log;
use crate::outcome::{self, Failure, Success};
use crate::target::{Asked, absolute};

/// What is said to fail.
const FAILING: &str = "An error occurred running user commands in the container.";

pub(crate) async fn run(arguments: SetUpArguments, surroundings: &Surroundings<'_>) -> ExitCode {
    let log = Log::new(arguments.log.log_level, arguments.log.log_format, Masks::default(), true);
    match set_up(&arguments, surroundings, &log).await {
        Ok(done) => {
            outcome::line(&done);
            ExitCode::SUCCESS
        }
        // Of this command the reference does not name the container again.
        Err(failure) => log.failure(&Failure { container_id: None, ..failure }),
    }
}

async fn set_up(
    arguments: &SetUpArguments,
    surroundings: &Surroundings<'_>,
    log: &Log,
) -> Result<outcome::SetUp, Failure> {
    let asked = Asked {
        config: arguments.config.as_deref().map(|path| absolute(&surroundings.folder, path)),
        container_id: Some(arguments.container_id.clone()),
        ..Asked::default()
    };
    let target = asked.read(FAILING)?;
    let said = Said { docker: &arguments.docker, compose: None };
    let found = Found::find(&target, false, said, surroundings, FAILING).await?;
    let running =
        Running { folders: &arguments.folders, probe: arguments.probe, remote_env: &arguments.remote_env };
    let mut inside = found.inside(running, surroundings, log);
    inside.patch_system_files().await;
    let place = inside.workplace(!arguments.skip_post_create).await;
    let place = place.map_err(|failure| Failure { description: FAILING.to_owned(), ..failure })?;
    if !arguments.skip_post_create {
        let skip_non_blocking = arguments.skip_non_blocking_commands;
        let extent = Extent { skip_non_blocking, ..Extent::default() };
        inside.lifecycle(&place, &extent, &Secrets::default(), &arguments.dotfiles).await?;
    }
    let view = View { config: &found.config, scheme: target.scheme, container_env: Some(&found.state.env) };
    let include = arguments.include;
    Ok(outcome::SetUp {
        outcome: Success::Success,
        configuration: include.include_configuration.then(|| view.configuration().into()),
        merged_configuration: include
            .include_merged_configuration
            .then(|| view.merged_for_image(&found.of_label, &[]).into()),
    })
}
