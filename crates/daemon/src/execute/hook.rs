//! Run a lifecycle hook in the container, or install dotfiles, as the remote user, with the environment that user
//! works in.
//!
//! That it ended well is recorded after it did, so one that failed, or was cut off, is run again by the next try.

use std::time::Instant;

use api::{EventKind, HookStage, Problem, ProblemCode};
use engine::{ContainerState, Engine};
use provision::dotfiles::{self, DEFAULT_TARGET};
use provision::lifecycle::{Hook, HookError, Lifecycle, Markers, Record};
use provision::{Secrets, Workplace};

use super::Turn;
use crate::masks;
use crate::observe;
use crate::place;
use crate::problems;
use crate::reconcile::DotfilesFailed;

/// The folder in a person's home where dev container tools keep what they did in a container.
const DATA_FOLDER: &str = ".devcontainer";

pub(super) async fn run(turn: &mut Turn<'_>, stage: HookStage) -> Result<(), Problem> {
    let config = turn.config()?;
    let Some(found) = observe::main_container(turn.parts, turn.environment).await? else {
        return Err(Problem::new(ProblemCode::ContainerFailed, "the container is gone"));
    };
    let Some(run) = observe::run_of(&found) else {
        return Err(Problem::new(
            ProblemCode::ContainerFailed,
            "the container ended before its hooks had run",
        ));
    };
    let begun = Instant::now();
    let (place, resolved) = place::of(turn.parts, &config, &found, turn.report).await?;
    let secrets = turn.parts.secrets_of(turn.environment)?;
    if let Some(hook) = hook_of(stage) {
        let lifecycle = Lifecycle {
            place: &place,
            resolved: &resolved,
            origins: &provision::container::origins(&provision::container::metadata(&found.labels)),
            // What ended well is recorded by this step, and the planner decides what runs.
            record: &(),
            secrets: &secrets,
            dotfiles: None,
            progress: turn.report,
        };
        let ran = lifecycle.commands(hook).await;
        ran.map_err(|error| failed(&error, turn.environment.metadata.name.as_str()))?;
        leave_mark(&turn.parts.machine.engine(), &place, &found, hook).await;
    } else {
        if let Err(problem) = install_dotfiles(turn, &place, &secrets).await {
            // Told of, and no reason to stop: the container is of use without them.
            turn.report.emit(EventKind::Warning { problem: problem.clone() });
            let retry = turn.environment.spec.retry.clone();
            turn.memory.dotfiles = Some(DotfilesFailed { retry, problem });
            return Ok(());
        }
        turn.memory.dotfiles = None;
    }
    let millis = begun.elapsed().as_millis() as u64;
    let subject = if stage.once_per_container() { &found.id } else { &run };
    turn.parts.store.hook_succeeded(&turn.environment.id, &found.id, subject, stage, millis)?;
    Ok(())
}

/// The hook of a stage in the container; `None` for dotfiles, and for the one that does not run there.
fn hook_of(stage: HookStage) -> Option<Hook> {
    Hook::ALL.into_iter().find(|hook| hook.property() == stage.property())
}

/// Leaves the mark in the container by which other dev container tools know that a hook ran there. Cove itself goes by
/// its store: what is in a container anybody in it can write.
async fn leave_mark(engine: &Engine, place: &Workplace, container: &ContainerState, hook: Hook) {
    if hook == Hook::PostAttach {
        return;
    }
    if let Err(error) = Markers::new(engine, place, container, None).done(hook).await {
        tracing::info!(%error, "another tool would run the hook again");
    }
}

/// Installs a person's dotfiles.
///
/// # Errors
/// Why they could not be, without secrets.
async fn install_dotfiles(turn: &Turn<'_>, place: &Workplace, secrets: &Secrets) -> Result<(), Problem> {
    let Some(wanted) = &turn.environment.spec.dotfiles else { return Ok(()) };
    let wanted = dotfiles::Dotfiles {
        repository: wanted.repository.clone(),
        install_command: wanted.install_command.clone(),
        target: wanted.target_path.clone().unwrap_or_else(|| DEFAULT_TARGET.to_owned()),
        data_folder: format!("{}/{DATA_FOLDER}", place.home().trim_end_matches('/')),
    };
    dotfiles::install(place, &wanted, secrets, turn.report).await.map_err(|error| {
        let title = format!("the dotfiles of `{}` were not installed", wanted.repository);
        let name = &turn.environment.metadata.name;
        let problem = problems::from_command(&error, ProblemCode::HookFailed, title)
            .with_command("look at it in the container", format!("cove shell {name}"))
            .with_command("try again to fetch them", "cove up")
            .with_command("run their script again, in a new container", "cove up --rebuild");
        masks::problem(&secrets.masks(), problem)
    })
}

fn failed(error: &HookError, environment: &str) -> Problem {
    match error {
        HookError::Command { source, .. } => {
            problems::from_command(source, ProblemCode::HookFailed, source.to_string())
                .with_command("look at the container, which is up", format!("cove shell {environment}"))
                .with_command("run it again", format!("cove start {environment}"))
        }
        HookError::Record(error) => Problem::new(ProblemCode::Internal, error.to_string()).caused_by(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_in_the_container_is_a_hook_but_dotfiles() {
        let without: Vec<HookStage> =
            HookStage::ALL.into_iter().filter(|stage| hook_of(*stage).is_none()).collect();
        assert_eq!(without, [HookStage::Initialize, HookStage::Dotfiles]);
    }
}
