//! `cove up`

mod worktree;

use std::fmt::Write as _;

use api::{
    CloneRequest, ConditionKind, Consent, DEFAULT_MACHINE, DesiredPhase, Dotfiles, Environment, HookStage,
    Name, ObjectReference, Phase, PlanRequest, Problem, ProblemCode, RepositoryUrl, StepKind, Unasked,
    UpRequest,
};
use camino::{Utf8Path, Utf8PathBuf};
use client::Client;

use super::{plan, show};
use crate::arguments::{Grant, UpArguments};
use crate::context::{Context, existing_folder};
use crate::failure::Failure;
use crate::follow::{Follow, Verdict};
use crate::output::Output;
use crate::paint::Paint;
use crate::personal;
use crate::table;
use crate::text::harmless;

pub(super) async fn run(context: &Context, arguments: UpArguments) -> Result<(), Failure> {
    let mut request = request(context.output, &arguments)?;
    let client = context.client().await?;
    // Of a clone nothing is known before it is there.
    let is_here = request.repository.is_none();
    if arguments.trust && is_here {
        agree_beforehand(context.output, &client, &mut request).await;
    }
    if arguments.no_wait {
        let environment = client.up(&request).await?;
        return context.output.show(&environment, |paint| {
            let name = environment.metadata.name.as_str();
            format!("{} is on its way; `cove up` or `cove show {name}` tells how it goes.", paint.bold(name))
        });
    }
    if !arguments.rebuild && !arguments.keep && is_here && context.output.can_ask() {
        request.rebuild = wants_rebuild(context.output, &client, &request).await;
    }
    if arguments.trust || context.output.can_ask() {
        request.unasked = Unasked::Wait;
    }
    let mut follow = Follow::begin(context, &client).await?;
    // Each round ends with the environment up, or with an answer to what it wants of this computer.
    let environment = loop {
        let started = client.up(&request).await?;
        let end = until_running(&mut follow, &started).await;
        if grants(context.output, &mut request, &end) {
            continue;
        }
        let wanted = unanswered(&end, arguments.trust);
        // Who said no, or cannot be asked, is not asked again for what cannot come up without it.
        if wanted.is_empty() || request.unasked == Unasked::LeaveOut {
            if matches!(end, Err(Failure::Problem(_))) {
                warn(context.output, &client, &started).await;
            }
            break detached(context, &started, end)?;
        }
        if wanted.iter().all(|consent| request.consents.contains(&consent.digest)) {
            return Err(unheard(&started).into());
        }
        if agrees(context.output, &arguments, &wanted) {
            request.consents.extend(wanted.into_iter().map(|consent| consent.digest));
        } else {
            request.unasked = Unasked::LeaveOut;
        }
        // Once is enough: the next round must not make the container anew again.
        request.rebuild = false;
    };
    for warning in &environment.status.warnings {
        context.output.warning(warning);
    }
    context.output.show(&environment, |paint| ending(&environment, paint))
}

fn request(output: Output, arguments: &UpArguments) -> Result<UpRequest, Failure> {
    let name = arguments.name.as_deref().map(Name::parse).transpose();
    let name = name.map_err(|error| Failure::request(error.to_string()))?;
    if let Some(repository) = repository(arguments)? {
        return clone_request(arguments, name, repository);
    }
    let mut folder = existing_folder(arguments.path.as_deref().unwrap_or_else(|| ".".into()))?;
    let (mut worktree_of, mut suggested_name) = (None, None);
    if let Some(branch) = &arguments.worktree {
        let tree = worktree::of(output, &folder, branch)?;
        suggested_name = Some(tree.name);
        worktree_of = tree.common;
        folder = tree.folder;
    }
    let config = arguments.config.as_deref().map(|config| relative_to(&folder, config));
    Ok(UpRequest {
        variables: personal::variables_of(&folder, config.as_deref()),
        caller_variables: personal::caller_variables_of(&folder, config.as_deref()),
        folder,
        worktree_of,
        config,
        name,
        suggested_name,
        ..common(arguments)?
    })
}

/// What is asked for alike for a folder and a clone.
fn common(arguments: &UpArguments) -> Result<UpRequest, Failure> {
    let dotfiles = arguments.dotfiles_repository.clone().map(|repository| Dotfiles {
        repository,
        install_command: arguments.dotfiles_install_command.clone(),
        target_path: arguments.dotfiles_target_path.clone(),
    });
    let secrets = arguments.secrets_file.as_deref().map(personal::secrets_of).transpose()?;
    let (rebuild, unasked) = (arguments.rebuild, Unasked::LeaveOut);
    let idle = arguments.idle;
    Ok(UpRequest { rebuild, unasked, secrets, dotfiles, idle, ..UpRequest::default() })
}

/// The repository that was typed instead of a folder. A folder of that name wins.
fn repository(arguments: &UpArguments) -> Result<Option<RepositoryUrl>, Failure> {
    let typed =
        arguments.path.as_deref().filter(|typed| !typed.exists() && RepositoryUrl::is_meant(typed.as_str()));
    let Some(typed) = typed else {
        return match (&arguments.branch, arguments.grant) {
            (None, None) => Ok(None),
            _ => {
                Err(Failure::request("--branch and --grant are for a repository to clone: give its URL")
                    .into())
            }
        };
    };
    if arguments.worktree.is_some() {
        return Err(
            Failure::request("--worktree is for a repository on this computer: give its folder").into()
        );
    }
    let read = RepositoryUrl::parse(typed.as_str()).and_then(|url| match &arguments.branch {
        Some(branch) => url.with_branch(branch),
        None => Ok(url),
    });
    Ok(Some(read.map_err(|error| Failure::request(error.to_string()))?))
}

fn clone_request(
    arguments: &UpArguments,
    name: Option<Name>,
    repository: RepositoryUrl,
) -> Result<UpRequest, Failure> {
    let repository = CloneRequest {
        url: repository.url().to_owned(),
        branch: repository.branch().map(str::to_owned),
        grant: arguments.grant == Some(Grant::Git),
    };
    Ok(UpRequest {
        repository: Some(repository),
        // Which of them its configuration names shows only once it is cloned, and git is run for who asks.
        caller_variables: Some(personal::all_variables()),
        config: arguments.config.clone(),
        name,
        ..common(arguments)?
    })
}

/// Asks whether a clone that was refused may be tried with this computer's credentials.
fn grants(output: Output, request: &mut UpRequest, end: &Result<Environment, Failure>) -> bool {
    let is_denied = matches!(end, Err(Failure::Problem(problem)) if problem.code == ProblemCode::CloneDenied);
    let Some(repository) =
        request.repository.as_mut().filter(|it| is_denied && !it.grant && output.can_ask())
    else {
        return false;
    };
    output.note(&format!(
        "{} wants a login. Git can use this computer's credentials for this one clone; they stay on this computer.",
        harmless(&repository.url)
    ));
    repository.grant = Output::confirm("Let it?");
    repository.grant
}

/// Agrees to what a folder wants of this computer before it is asked for: its command would run twice otherwise, before
/// and after its mounts are agreed to. What images and features want shows only later.
async fn agree_beforehand(output: Output, client: &Client, request: &mut UpRequest) {
    // What is wrong with the folder or the file is told by what follows.
    let Ok(preview) = client.preview(&plan_of(request)).await else { return };
    if !preview.consents.is_empty() {
        output.note(&as_agreed(&preview.consents));
        request.consents = preview.consents.into_iter().map(|consent| consent.digest).collect();
    }
}

/// Tells the warnings of an environment that did not come up whole: what was left out of it may be why.
async fn warn(output: Output, client: &Client, started: &Environment) {
    let Ok(environment) = client.environment(started.id.as_str()).await else { return };
    for warning in &environment.status.warnings {
        output.warning(warning);
    }
}

fn plan_of(request: &UpRequest) -> PlanRequest {
    let UpRequest { folder, config, variables, .. } = request.clone();
    PlanRequest { folder, config, variables, features: false }
}

/// Asks whether a container shall be made anew whose configuration changed.
async fn wants_rebuild(output: Output, client: &Client, request: &UpRequest) -> bool {
    // What is wrong with the folder or the file is told by what follows.
    let Ok(preview) = client.preview(&plan_of(request)).await else { return false };
    if !preview.needs_rebuild() {
        return false;
    }
    let changes = plan::changes(&preview.changes, output.note_paint());
    output.note(&format!("The configuration changed since the container was made:\n{changes}"));
    for lost in preview.rebuild.iter().flat_map(|rebuild| &rebuild.lost) {
        output.note(&format!("A new container loses {}.", harmless(lost)));
    }
    Output::confirm("Make the container anew?")
}

/// The configuration as the daemon wants it, relative to the folder. One that a person typed relative to where they
/// are, as shells complete it, is understood too; what is not there is left for the daemon to refuse.
pub(super) fn relative_to(folder: &Utf8Path, config: &Utf8Path) -> Utf8PathBuf {
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
    if up {
        return Verdict::Done;
    }
    let usable = status.conditions.iter().any(|it| it.kind == ConditionKind::Usable && it.holds);
    match status.step {
        Some(StepKind::RunHook(stage)) if usable => {
            let what =
                if stage == HookStage::Dotfiles { "the installation of dotfiles" } else { stage.property() };
            Verdict::FarEnough(format!("You can work in it now; {what} goes on."))
        }
        _ => Verdict::Going,
    }
}

/// What waits for an answer: it keeps the environment down, or was left out of it and a person trusts all of it.
fn unanswered(end: &Result<Environment, Failure>, trusts: bool) -> Vec<Consent> {
    let waits = |problem: &&Problem| problem.code == ProblemCode::ConsentNeeded;
    match end {
        Ok(environment) if trusts => {
            let warnings = environment.status.warnings.iter().filter(waits);
            warnings.flat_map(|warning| warning.consents.clone()).collect()
        }
        Err(Failure::Problem(problem)) if waits(&&**problem) => problem.consents.clone(),
        Ok(_) | Err(_) => Vec::new(),
    }
}

fn as_agreed(consents: &[Consent]) -> String {
    format!("On this computer, as agreed:\n{}", plan::wishes(consents))
}

fn agrees(output: Output, arguments: &UpArguments, wanted: &[Consent]) -> bool {
    if arguments.trust {
        output.note(&as_agreed(wanted));
        return true;
    }
    if !output.can_ask() {
        return false;
    }
    output.note(&format!("The folder wants this of this computer:\n{}", plan::wishes(wanted)));
    Output::confirm("Agree to all of it, now and until it changes?")
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
            Verdict::FarEnough(_) => "far enough",
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
