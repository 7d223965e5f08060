//! `cove up`

use std::fmt::Write as _;

use api::{
    ConditionKind, DEFAULT_MACHINE, DesiredPhase, Environment, Name, ObjectReference, Phase, Problem,
    ProblemCode, UpRequest,
};
use camino::{Utf8Path, Utf8PathBuf};
use client::Client;

use super::show;
use crate::arguments::UpArguments;
use crate::context::{Context, existing_folder};
use crate::failure::Failure;
use crate::follow::{Follow, Verdict};
use crate::output::Output;
use crate::paint::Paint;
use crate::table;
use crate::text::harmless;

pub(super) async fn run(context: &Context, arguments: UpArguments) -> Result<(), Failure> {
    let mut request = request(&arguments)?;
    let client = context.client().await?;
    if arguments.no_wait {
        let environment = client.up(&request).await?;
        return context.output.show(&environment, |paint| {
            let name = environment.metadata.name.as_str();
            format!("{} is on its way; `cove up` or `cove show {name}` tells how it goes.", paint.bold(name))
        });
    }
    let mut follow = Follow::begin(context, &client).await?;
    // Each round ends with the environment up, or with one more host command agreed to.
    let environment = loop {
        let started = client.up(&request).await?;
        let end = until_running(&mut follow, &started).await;
        match waiting_command(&end) {
            Some(problem) if agrees(context.output, &arguments, &problem) => {
                let digest = problem.consent.map(|command| command.digest);
                if digest.iter().all(|digest| request.trusted_commands.contains(digest)) {
                    return Err(unheard(&started).into());
                }
                request.trusted_commands.extend(digest);
                // Once is enough: the second round must not make the container anew again.
                request.rebuild = false;
            }
            _ => break detached(context, &started, end)?,
        }
    };
    for warning in &environment.status.warnings {
        context.output.warning(warning);
    }
    context.output.show(&environment, |paint| ending(&environment, paint))
}

fn request(arguments: &UpArguments) -> Result<UpRequest, Failure> {
    let name = arguments.name.as_deref().map(Name::parse).transpose();
    let name = name.map_err(|error| Failure::request(error.to_string()))?;
    let folder = existing_folder(arguments.path.as_deref().unwrap_or_else(|| ".".into()))?;
    let config = arguments.config.as_deref().map(|config| relative_to(&folder, config));
    Ok(UpRequest { folder, config, name, rebuild: arguments.rebuild, trusted_commands: Vec::new() })
}

/// The configuration as the daemon wants it, relative to the folder. One that a person typed relative to where they
/// are, as shells complete it, is understood too; what is not there is left for the daemon to refuse.
fn relative_to(folder: &Utf8Path, config: &Utf8Path) -> Utf8PathBuf {
    if config.is_relative() && folder.join(config).is_file() {
        return config.to_owned();
    }
    let real = config.canonicalize_utf8().ok();
    let relative = real.as_deref().and_then(|real| real.strip_prefix(folder).ok());
    relative.unwrap_or(config).to_owned()
}

/// Shows the way of an environment up, and gives it as it is then.
pub(super) async fn until_running(
    follow: &mut Follow<'_>,
    started: &Environment,
) -> Result<Environment, Failure> {
    let objects = [ObjectReference::environment(&started.id), ObjectReference::machine(DEFAULT_MACHINE)];
    let id = started.id.clone();
    let read = async |client: &Client| client.environment(id.as_str()).await;
    let generation = started.metadata.generation;
    let judge = |environment: &Environment, _: Option<&Problem>| judge_running(environment, generation);
    let gone = || {
        let title = format!("`{}` was removed while it came up", started.metadata.name);
        Problem::new(ProblemCode::EnvironmentNotFound, title)
    };
    follow.until(&objects, read, judge).await?.ok_or_else(|| gone().into())
}

/// How an environment stands that shall run as it was wanted at a generation.
fn judge_running(environment: &Environment, generation: u64) -> Verdict {
    let (spec, status) = (&environment.spec, &environment.status);
    if status.observed_generation < generation {
        // What it tells is about an earlier wish.
        return Verdict::Going;
    }
    if spec.desired_phase != DesiredPhase::Running {
        let title = format!("`{}` was told to stop while it came up", environment.metadata.name);
        return Verdict::Failed(Problem::new(ProblemCode::Conflict, title));
    }
    if let Some(problem) = &status.problem
        && status.retry == spec.retry
    {
        // What may pass was tried again by then: a problem in the status has stopped the work.
        return Verdict::Failed(problem.clone());
    }
    let ready = status.conditions.iter().find(|condition| condition.kind == ConditionKind::Ready);
    let up = status.phase == Phase::Running
        && status.step.is_none()
        && status.problem.is_none()
        && ready.is_none_or(|ready| ready.holds);
    if up { Verdict::Done } else { Verdict::Going }
}

/// The problem of a host command that waits for consent: it keeps the environment down, or it is a warning.
fn waiting_command(end: &Result<Environment, Failure>) -> Option<Problem> {
    let waits = |problem: &&Problem| problem.code == ProblemCode::ConsentNeeded && problem.consent.is_some();
    match end {
        Ok(environment) => environment.status.warnings.iter().find(waits).cloned(),
        Err(Failure::Problem(problem)) => Some(&**problem).filter(waits).cloned(),
        Err(_) => None,
    }
}

fn agrees(output: Output, arguments: &UpArguments, problem: &Problem) -> bool {
    let command = problem.consent.as_ref().map(|command| harmless(&command.text)).unwrap_or_default();
    if arguments.trust {
        output.note(&format!("Runs on this computer, as agreed: {command}"));
        return true;
    }
    if !output.can_ask() {
        return false;
    }
    output.note(&format!(
        "The folder wants to run this on this computer, outside of any container:\n  {command}"
    ));
    Output::confirm("Run it, now and until it changes?")
}

fn unheard(environment: &Environment) -> Problem {
    let title =
        format!("the daemon still waits for consent on `{}`, which it was given", environment.metadata.name);
    Problem::new(ProblemCode::Internal, title)
}

/// After ctrl-c, says that the work goes on.
fn detached(
    context: &Context,
    started: &Environment,
    end: Result<Environment, Failure>,
) -> Result<Environment, Failure> {
    if matches!(end, Err(Failure::Interrupted)) {
        let name = &started.metadata.name;
        context.output.note(&format!(
            "The work goes on without this command. `cove up` watches it again, `cove stop {name}` ends it."
        ));
    }
    end
}

/// What a person wants to know of an environment that is up.
pub(super) fn ending(environment: &Environment, paint: Paint) -> String {
    let name = environment.metadata.name.as_str();
    let mut out = format!("{} is {}\n", paint.bold(name), paint.green("running"));
    out.push_str(&table::pairs(&show::ports(&environment.status.ports), paint));
    out.push('\n');
    let next = [
        (format!("cove shell {name}"), "a shell in it"),
        (format!("cove exec {name} -- CMD"), "a command in it"),
        (format!("cove stop {name}"), "ends it; what it made is kept"),
    ];
    let width = next.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    for (command, meaning) in next {
        writeln!(out, "  {command:width$}  {}", paint.dim(meaning)).expect("writing to a string cannot fail");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An environment whose generation is 3, changed by a test.
    fn environment(change: impl FnOnce(&mut Environment)) -> Environment {
        let mut environment: Environment = serde_json::from_value(serde_json::json!({
            "id": "aa11",
            "metadata": {
                "name": "web", "created_at": "2026-01-01T00:00:00Z", "generation": 3, "resource_version": 9
            },
            "spec": {
                "desired_phase": "running", "source": {"type": "folder", "path": "/srv/web"},
                "machine": "default", "retry": "second"
            },
            "status": { "phase": "running", "observed_generation": 3, "retry": "second" },
        }))
        .unwrap();
        change(&mut environment);
        environment
    }

    fn verdict(change: impl FnOnce(&mut Environment)) -> &'static str {
        match judge_running(&environment(change), 3) {
            Verdict::Going => "going",
            Verdict::Done => "done",
            Verdict::Failed(_) => "failed",
        }
    }

    #[test]
    fn only_an_environment_that_runs_as_wanted_now_is_done() {
        assert_eq!(verdict(|_| {}), "done");
        assert_eq!(verdict(|it| it.status.observed_generation = 2), "going", "an older wish");
        assert_eq!(verdict(|it| it.status.phase = Phase::Starting), "going");
        assert_eq!(verdict(|it| it.status.step = Some(api::StepKind::ForwardPorts)), "going");
        assert_eq!(verdict(|it| it.spec.desired_phase = DesiredPhase::Stopped), "failed");
    }

    #[test]
    fn problems_of_an_earlier_try_are_past() {
        let with = |retry: &str, generation| {
            let retry = api::Session(retry.to_owned());
            move |it: &mut Environment| {
                it.status.problem = Some(Problem::new(ProblemCode::BuildFailed, "x"));
                it.status.retry = retry;
                it.status.observed_generation = generation;
            }
        };
        assert_eq!(verdict(with("second", 3)), "failed");
        assert_eq!(verdict(with("first", 3)), "going");
        assert_eq!(verdict(with("second", 2)), "going");
    }
}
