//! Run a lifecycle hook in the container, as the remote user, with the environment that user works in.
//!
//! That it ended well is recorded after it did, so one that failed, or was cut off, is run again by the next try.

use std::time::Instant;

use api::{HookStage, Problem, ProblemCode};
use engine::CommandError;

use super::Turn;
use crate::observe;
use crate::problems;
use crate::workplace::Workplace;

pub(super) async fn run(turn: &Turn<'_>, hook: HookStage) -> Result<(), Problem> {
    let config = turn.config()?;
    let engine = turn.parts.machine.engine();
    let Some(state) = observe::main_container(turn.parts, turn.environment).await? else {
        return Err(Problem::new(ProblemCode::ContainerFailed, "the container is gone"));
    };
    let Some(run) = observe::run_of(&state) else {
        return Err(Problem::new(
            ProblemCode::ContainerFailed,
            "the container ended before its hooks had run",
        ));
    };
    let begun = Instant::now();
    let workplace = Workplace::of(&engine, &config, &state, &turn.parts.shells).await?;
    let workplace = workplace.with_secrets(turn.parts.secrets.of(&turn.environment.id)?);
    let resolved = crate::configuration::resolve(&config, Some(&state));
    for command in observe::commands_of(&resolved.lifecycle, hook) {
        let command = workplace.adapt(command);
        engine
            .run_command(&command, &workplace.context(), hook.property(), turn.report)
            .await
            .map_err(|error| failed(&error, turn.environment.metadata.name.as_str()))?;
    }
    let millis = begun.elapsed().as_millis() as u64;
    let subject = if hook.once_per_container() { &state.id } else { &run };
    turn.parts.store.hook_succeeded(&turn.environment.id, &state.id, subject, hook, millis)?;
    Ok(())
}

fn failed(error: &CommandError, environment: &str) -> Problem {
    match error {
        CommandError::Exec { source, .. } => problems::from_exec(source),
        CommandError::Failed { exit_code, log_tail, .. } => {
            Problem::new(ProblemCode::HookFailed, error.to_string())
                .with_log(log_tail.clone())
                .with_exit_code(*exit_code)
                .with_command("look at the container, which is up", format!("cove shell {environment}"))
                .with_command("run it again", format!("cove start {environment}"))
        }
    }
}
