//! Run `initializeCommand` on this computer, in the workspace folder, as the person who runs the daemon.

use std::time::Instant;

use api::{HookStage, Problem, ProblemCode};
use provision::initialize::{self, InitializeError};
use reconciler::Trust;

use super::Turn;
use crate::consent;

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let config = turn.config()?;
    let (Some(command), Some(wanted)) = (&config.initialize_command, consent::of_initialize(&config)) else {
        return Ok(());
    };
    // Checked again on what is about to run: the file may have changed since the plan was made.
    if turn.parts.judge(turn.environment).trust(&wanted) != Trust::Given {
        return Err(Problem::new(
            ProblemCode::ConsentNeeded,
            "`initializeCommand` changed since it was trusted",
        ));
    }
    let begun = Instant::now();
    let folder = turn.environment.spec.source.folder();
    let masks = turn.parts.secrets_of(&turn.environment.id)?.masks();
    let ran = initialize::run(command, folder, &masks, turn.report).await;
    ran.map_err(|error| failed(&error))?;
    let millis = begun.elapsed().as_millis() as u64;
    let subject = &turn.environment.spec.retry.0;
    turn.parts.store.hook_succeeded(&turn.environment.id, "", subject, HookStage::Initialize, millis)?;
    Ok(())
}

fn failed(error: &InitializeError) -> Problem {
    let problem = Problem::new(ProblemCode::HookFailed, error.to_string()).caused_by(error);
    match error {
        InitializeError::Start { .. } => problem,
        InitializeError::Failed { status, log_tail, .. } => {
            let problem = problem.with_log(log_tail.clone());
            match status.code() {
                Some(code) => problem.with_exit_code(code),
                None => problem,
            }
        }
    }
}
