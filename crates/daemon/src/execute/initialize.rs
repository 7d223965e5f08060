//! Run `initializeCommand` on this computer, in the workspace folder, as the person who asked: with their variables,
//! which may be others than the daemon's.

use std::collections::BTreeMap;
use std::time::Instant;

use api::{HookStage, Problem, ProblemCode};
use provision::initialize::{self, Group, InitializeError};
use provision::{Masks, Secrets};
use reconciler::Trust;

use super::Turn;
use crate::consent;
use crate::masks;

/// Shorter values of a person's variables hide too much of a log where they are masked.
const SHORTEST_SECRET: usize = 6;

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
    let variables = turn.parts.callers.of(&turn.environment.spec.retry);
    let secrets = turn.parts.secrets_of(&turn.environment.id)?;
    let masks = if variables.is_empty() {
        turn.report.line("the variables of who asked are not known any more; those of the daemon are used");
        let own = std::env::vars_os()
            .map(|(name, value)| [name, value].map(|it| it.to_string_lossy().into_owned()));
        masks_of(&secrets, &own.map(|[name, value]| (name, value)).collect())
    } else {
        masks_of(&secrets, &variables)
    };
    let given = Some(&variables).filter(|variables| !variables.is_empty());
    let ran = initialize::run(command, folder, given, Group::Own, &masks, turn.report).await;
    ran.map_err(|error| masks::problem(&masks, failed(&error)))?;
    let millis = begun.elapsed().as_millis() as u64;
    let subject = &turn.environment.spec.retry.0;
    turn.parts.store.hook_succeeded(&turn.environment.id, "", subject, HookStage::Initialize, millis)?;
    Ok(())
}

/// Hides what a person handed over as a secret, and what is called like one among their variables: a command that lists
/// them all must not write them into the store.
fn masks_of(secrets: &Secrets, variables: &BTreeMap<String, String>) -> Masks {
    let alike = variables
        .iter()
        .filter(|(name, value)| reconciler::is_secret_variable(name) && value.len() >= SHORTEST_SECRET);
    let texts = secrets.variables().values().chain(alike.map(|(_, value)| value));
    Masks::new(texts.map(String::as_str))
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
