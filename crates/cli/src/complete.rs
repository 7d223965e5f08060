//! Candidates for the completion of shells.
//!
//! Environment names come from the daemon only if it is running already: pressing tab starts nothing.

use std::time::Duration;

use api::ProblemCode;
use clap_complete::CompletionCandidate;
use client::Client;

use crate::context::home_from_environment;

/// How long a person who pressed tab is kept waiting.
const PATIENCE: Duration = Duration::from_millis(500);

/// The names of the environments there are, with their state. None when anything is in the way.
pub(crate) fn environments() -> Vec<CompletionCandidate> {
    let Ok(home) = home_from_environment() else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let client = Client::new(&home);
    let list = runtime.block_on(async { tokio::time::timeout(PATIENCE, client.environments()).await });
    let Ok(Ok(environments)) = list else { return Vec::new() };
    environments
        .iter()
        .map(|environment| {
            let help = format!("{}, {}", environment.status.phase.as_str(), environment.spec.source.shown());
            CompletionCandidate::new(environment.metadata.name.as_str()).help(Some(help.into()))
        })
        .collect()
}

/// The codes of problems.
pub(crate) fn codes() -> Vec<CompletionCandidate> {
    ProblemCode::ALL
        .iter()
        .map(|code| CompletionCandidate::new(code.as_str()).help(Some(code.summary().into())))
        .collect()
}
