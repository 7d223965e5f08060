//! Files of secrets in a container: which there are to be, and whether they are.
//!
//! Everything is said each time (`protocol::inside::SecretFiles`), so whoever died in between, the same said once more
//! brings the container to what is wanted. What was put there is written down before, in the status of the environment:
//! paths that are wanted no more are taken away by it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use api::{Environment, Problem, ProblemCode, SecretsStatus};
use automations::{Item, Phase, Report};
use camino::Utf8PathBuf;
use protocol::inside::{SecretFile, SecretFiles};

use super::Given;
use super::book::is_name;
use super::uses::Uses;

/// So many secrets are named in one sentence.
const MOST_NAMED: usize = 8;

/// How long an order that left something undone is not said again: it is with the first look after that.
const AGAIN: Duration = Duration::from_mins(1);

/// What the container was told, and which paths it could not do.
#[derive(Clone)]
pub(crate) struct Placed {
    wanted: Wanted,
    /// Why, by path; all of them under the empty path where nothing was done.
    failed: BTreeMap<String, String>,
    at: Instant,
}

/// What is wanted in one run of a container.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    run: String,
    files: Vec<SecretFile>,
}

/// One look at the files of secrets.
#[derive(Clone, Default)]
pub(crate) struct Look {
    /// What is to be said to the container, if it runs.
    pub(crate) order: Option<(Wanted, SecretFiles)>,
    /// Why that is to be said now.
    pub(crate) due: Option<String>,
    /// For people, and for the next look.
    pub(crate) status: SecretsStatus,
    /// What a person should know.
    pub(crate) warnings: Vec<Problem>,
}

/// Looks at the files of an environment: `run` is that of its container.
pub(crate) fn look(
    environment: &Environment,
    resolved: &Given,
    run: Option<String>,
    placed: Option<&Placed>,
) -> Look {
    let file = |(path, name): (&Utf8PathBuf, &String)| {
        let value = resolved.values.get(name)?.clone();
        Some(SecretFile { name: name.clone(), path: path.to_string(), value })
    };
    let files: Vec<SecretFile> = resolved.files.iter().filter_map(file).collect();
    let paths: BTreeSet<Utf8PathBuf> = resolved.files.keys().cloned().collect();
    let before: BTreeSet<Utf8PathBuf> = environment.status.secrets.files.iter().cloned().collect();
    let Some(run) = run else {
        let due = (!files.is_empty()).then(|| "secrets are wanted as files".to_owned());
        return Look { due, status: status(&before | &paths), ..Look::default() };
    };
    let wanted = Wanted { run, files };
    let gone: Vec<String> = before.difference(&paths).map(ToString::to_string).collect();
    let said = placed.filter(|placed| placed.wanted == wanted && !placed.is_due_again(&gone));
    if said.is_some() || (wanted.files.is_empty() && gone.is_empty() && placed.is_none()) {
        let failed = said.into_iter().flat_map(|said| &said.failed);
        let warnings = failed.map(|(path, why)| undone(path, why, gone.contains(path))).collect();
        // What could not be taken away is still there, and who comes next is to know of it.
        let left = gone.iter().filter(|path| said.is_some_and(|said| said.has_failed(path)));
        let status = status(paths.into_iter().chain(left.map(Utf8PathBuf::from)).collect());
        return Look { status, warnings, ..Look::default() };
    }
    let due = match placed {
        Some(placed) if placed.wanted == wanted => "not all of it could be done before",
        Some(placed) if placed.wanted.run == wanted.run => "a secret changed",
        _ => "the container does not have the files of secrets yet",
    };
    let order = SecretFiles { files: wanted.files.clone(), gone, uid: 0, gid: 0 };
    let status = status(&before | &paths);
    Look { order: Some((wanted, order)), due: Some(due.to_owned()), status, warnings: Vec::new() }
}

impl Placed {
    /// What was said, and what came of it.
    pub(crate) fn new(wanted: Wanted, failed: BTreeMap<String, String>) -> Self {
        Self { wanted, failed, at: Instant::now() }
    }

    fn has_failed(&self, path: &str) -> bool {
        self.failed.contains_key("") || self.failed.contains_key(path)
    }

    /// Whether to say it again: nothing was done, or one of these is not gone. What cannot be put there is in the way of
    /// something a person has there, and waits for them.
    fn is_due_again(&self, gone: &[String]) -> bool {
        let is_left = self.failed.contains_key("") || gone.iter().any(|path| self.has_failed(path));
        is_left && self.at.elapsed() >= AGAIN
    }
}

fn status(paths: BTreeSet<Utf8PathBuf>) -> SecretsStatus {
    SecretsStatus { files: paths.into_iter().collect() }
}

fn undone(path: &str, why: &str, is_gone: bool) -> Problem {
    let title = match path {
        "" => format!("the files of secrets in the container are not as they shall be: {why}"),
        path if is_gone => format!("the secret at `{path}` could not be taken out of the container: {why}"),
        path => format!("the secret for `{path}` is not in the container: {why}"),
    };
    Problem::new(ProblemCode::SecretNotPlaced, title).with_command("try it again", "cove up")
}

/// What runs with older values: services and tasks, and what a person has open.
pub(crate) fn stale(
    environment: &Environment,
    resolved: &Given,
    report: Option<&Report>,
    uses: &Uses,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    // The container says how each stands, and may say anything: only what is declared counts.
    let declared = environment.status.automations.items.iter().filter_map(|item| Item::parse(&item.name));
    for item in declared {
        let Some(status) = report.and_then(|report| report.items.get(&item)) else { continue };
        let runs = status.phase.is_alive() && status.phase != Phase::Stopping;
        let older =
            status.secrets.iter().filter(|(name, version)| resolved.versions.get(*name) != Some(*version));
        let names: Vec<String> = older
            .filter(|(name, _)| is_name(name))
            .take(MOST_NAMED)
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        if names.is_empty() || !runs {
            continue;
        }
        let title = format!("`{item}` runs with an older value of {}", names.join(", "));
        let (verb, name) = match &item {
            Item::Service(name) => ("restart", name),
            Item::Task(name) => ("run", name),
        };
        problems.push(
            Problem::new(ProblemCode::SecretStale, title)
                .with_command("start it anew", format!("cove automations {verb} {name}")),
        );
    }
    let (count, variables) = uses.stale(&environment.id, resolved);
    if count > 0 {
        let names: Vec<String> = variables.iter().map(|name| format!("`{name}`")).collect();
        let who = if count == 1 { "a shell or program does" } else { "shells and programs do" };
        let title = format!("{who} not have the present value of {}", names.join(", "));
        let number =
            format!("{count} started by `cove exec`, `cove shell`, ssh or an editor: begin them anew");
        problems.push(Problem::new(ProblemCode::SecretStale, title).with_hint(number));
    }
    problems
}

#[cfg(test)]
mod tests;
