//! Run `initializeCommand` on this computer, in the workspace folder, as the person who asked: with their variables,
//! which may be others than the daemon's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Instant;

use api::{HookStage, Problem, ProblemCode};
use camino::Utf8Path;
use host::sandbox::{Sandbox, SandboxError};
use provision::initialize::{self, Group, InitializeError};
use provision::{Masks, Secrets};
use reconciler::Trust;

use super::Turn;
use crate::consent;
use crate::masks;
use crate::paths::user_home;
use crate::prebuild::Initialized;

/// What a person can do about a command that the sandbox hinders.
const WITHOUT: &str = "or read the command, and agree to run it without a sandbox";

/// Shorter values of a person's variables hide too much of a log where they are masked.
const SHORTEST_SECRET: usize = 6;

pub(super) async fn run(turn: &mut Turn<'_>) -> Result<(), Problem> {
    let config = turn.config()?;
    let (Some(command), Some(wanted)) = (&config.initialize_command, consent::of_initialize(&config)) else {
        return Ok(());
    };
    // Checked again on what is about to run: the file may have changed since the plan was made.
    let judge = turn.parts.judge(turn.environment);
    if judge.trust(&wanted) != Trust::Given {
        return Err(Problem::new(
            ProblemCode::ConsentNeeded,
            "`initializeCommand` changed since it was trusted",
        ));
    }
    let begun = Instant::now();
    let folder = turn.environment.spec.source.folder();
    let variables = turn.parts.callers.of(&turn.environment.spec.retry);
    let secrets = turn.parts.secrets_of(turn.environment)?;
    let masks = if variables.is_empty() {
        turn.report.line("the variables of who asked are not known any more; those of the daemon are used");
        masks_of(&secrets, &own_variables())
    } else {
        masks_of(&secrets, &variables)
    };
    if turn.environment.spec.prebuild.is_some() {
        let all = if variables.is_empty() { own_variables() } else { variables.clone() };
        let secrets = all.into_iter().filter(|(name, _)| reconciler::is_secret_variable(name)).collect();
        let session = turn.environment.spec.retry.clone();
        turn.memory.initialized = Some(Initialized { session, secrets: api::Secrets(secrets) });
    }
    let sandbox = if judge.is_sandboxed(&wanted) { Some(sandbox_around(folder)?) } else { None };
    let ran = match &sandbox {
        None => {
            let given = Some(&variables).filter(|variables| !variables.is_empty());
            initialize::run(command, folder, given, Group::Own, &[], &masks, turn.report).await
        }
        Some(sandbox) => {
            turn.report.line("in a sandbox: it can write to the folder alone, and reaches no network");
            let seen = sandbox.variables(&if variables.is_empty() { own_variables() } else { variables });
            let prefix = sandbox.prefix();
            initialize::run(command, folder, Some(&seen), Group::Own, prefix, &masks, turn.report).await
        }
    };
    ran.map_err(|error| {
        let problem = masks::problem(&masks, failed(&error));
        if sandbox.is_some() { problem.with_command(WITHOUT, "cove up --trust") } else { problem }
    })?;
    let millis = begun.elapsed().as_millis() as u64;
    let subject = &turn.environment.spec.retry.0;
    turn.parts.store.hook_succeeded(&turn.environment.id, "", subject, HookStage::Initialize, millis)?;
    Ok(())
}

/// The walls around a command that nobody agreed to.
fn sandbox_around(folder: &Utf8Path) -> Result<Sandbox, Problem> {
    let home = user_home().unwrap_or_else(|| "/root".into());
    // The kernel's rules are for real paths.
    let real = folder.canonicalize_utf8().unwrap_or_else(|_| folder.to_owned());
    Sandbox::around(&real, &home).map_err(|error| {
        let title = format!("`initializeCommand` is to run in a sandbox, and there is none: {error}");
        let problem = Problem::new(ProblemCode::HookFailed, title).caused_by(&error);
        let problem = match error {
            SandboxError::Missing { program: "bwrap" } => {
                problem.with_command("install it", "sudo apt-get install bubblewrap")
            }
            SandboxError::Missing { .. } | SandboxError::HoldsHome { .. } | SandboxError::Temporary(_) => {
                problem
            }
        };
        problem.with_command(WITHOUT, "cove up --trust")
    })
}

/// The variables of this process.
fn own_variables() -> BTreeMap<String, String> {
    let texts = |text: OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (texts(name), texts(value))).collect()
}

/// Hides what a person handed over as a secret, and what is called like one among their variables: a command that lists
/// them all must not write them into the store.
fn masks_of(secrets: &Secrets, variables: &BTreeMap<String, String>) -> Masks {
    let alike = variables
        .iter()
        .filter(|(name, value)| reconciler::is_secret_variable(name) && value.len() >= SHORTEST_SECRET);
    let texts = secrets.values().chain(alike.map(|(_, value)| value));
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
