//! `cove stop`, `cove start` and `cove rm`

use api::{
    DesiredPhase, Environment, EnvironmentPatch, EnvironmentSpec, ObjectReference, Phase, Problem, Session,
    Source,
};
use client::Client;

use super::up;
use crate::arguments::{RemoveArguments, SomeEnvironments};
use crate::context::Context;
use crate::failure::Failure;
use crate::follow::{Follow, Verdict};
use crate::output::Output;
use crate::paint::Paint;
use crate::personal;
use crate::select;

pub(super) async fn stop(context: &Context, arguments: SomeEnvironments) -> Result<(), Failure> {
    let client = context.client().await?;
    let chosen = select::environments(&client, &arguments.environments).await?;
    let mut follow = Follow::begin(context, &client).await?;
    let mut ends = Vec::new();
    for environment in &chosen {
        let patch = wish(DesiredPhase::Stopped);
        ends.push(client.change_environment(environment.id.as_str(), &patch).await?);
    }
    if !arguments.no_wait {
        for end in &mut ends {
            let judge = |now: &Environment| now.status.phase == Phase::Stopped;
            if let Some(stopped) = until(&mut follow, end, judge).await? {
                *end = stopped;
            }
        }
    }
    let word = if arguments.no_wait { "Stopping" } else { "Stopped" };
    report(context, &ends, |environment, paint| format!("{word} {}", bold_name(environment, paint)))
}

pub(super) async fn start(context: &Context, arguments: SomeEnvironments) -> Result<(), Failure> {
    let client = context.client().await?;
    let chosen = select::environments(&client, &arguments.environments).await?;
    let mut follow = Follow::begin(context, &client).await?;
    let mut ends = Vec::new();
    for environment in &chosen {
        ends.push(ask_to_run(&client, environment).await?);
    }
    if arguments.no_wait {
        return report(context, &ends, |environment, paint| {
            format!("Starting {}", bold_name(environment, paint))
        });
    }
    for end in &mut ends {
        *end = up::until_running(&mut follow, end).await?;
        for warning in &end.status.warnings {
            context.output.warning(warning);
        }
    }
    report(context, &ends, up::ending)
}

/// Starts one environment, and gives it as it runs. What it does is told on standard error.
pub(super) async fn bring_up(
    context: &Context,
    client: &Client,
    environment: &Environment,
) -> Result<Environment, Failure> {
    let mut follow = Follow::begin(context, client).await?;
    let begun = ask_to_run(client, environment).await?;
    let end = up::until_running(&mut follow, &begun).await?;
    for warning in &end.status.warnings {
        context.output.warning(warning);
    }
    Ok(end)
}

async fn ask_to_run(client: &Client, environment: &Environment) -> Result<Environment, Failure> {
    let EnvironmentSpec { source, config, .. } = &environment.spec;
    let patch = EnvironmentPatch {
        retry: Some(Session::fresh()),
        caller_variables: personal::caller_variables_of(source.folder(), config.as_deref()),
        ..wish(DesiredPhase::Running)
    };
    Ok(client.change_environment(environment.id.as_str(), &patch).await?)
}

pub(super) async fn remove(context: &Context, arguments: RemoveArguments) -> Result<(), Failure> {
    let client = context.client().await?;
    let chosen = select::environments(&client, &arguments.environments).await?;
    if !arguments.yes && context.output.can_ask() {
        let names: Vec<_> = chosen.iter().map(|each| each.metadata.name.as_str()).collect();
        context
            .output
            .note(&format!("This removes the containers and generated images of {}.", names.join(", ")));
        for environment in &chosen {
            context.output.note(&what_stays(environment));
        }
        if !Output::confirm("Remove?") {
            return Err(Failure::Status(1));
        }
    }
    let mut follow = Follow::begin(context, &client).await?;
    let mut ends = Vec::new();
    for environment in &chosen {
        ends.push(client.remove_environment(environment.id.as_str(), arguments.force).await?);
    }
    if !arguments.no_wait {
        for end in &mut ends {
            // Gone is the aim; one that is only about to go may be seen once.
            until(&mut follow, end, |now| now.status.phase == Phase::Deleted).await?;
            end.status.phase = Phase::Deleted;
        }
    }
    let word = if arguments.no_wait { "Removing" } else { "Removed" };
    report(context, &ends, |environment, paint| {
        format!("{word} {}; {}", bold_name(environment, paint), what_stayed(environment))
    })
}

/// What is told before an environment goes.
fn what_stays(environment: &Environment) -> String {
    match &environment.spec.source {
        Source::Folder { path } | Source::Worktree { path, .. } => format!("{path} stays as it is."),
        Source::Clone { url, .. } => {
            format!("The clone of {url} goes too; all of it is pushed, or it is told of.")
        }
    }
}

/// What is told after it went.
fn what_stayed(environment: &Environment) -> String {
    match &environment.spec.source {
        Source::Folder { path } => format!("{path} and its named volumes stay"),
        Source::Worktree { path, common } => format!(
            "the worktree {path} and its named volumes stay; `git --git-dir={common} worktree remove {path}` removes it"
        ),
        Source::Clone { url, .. } => {
            format!("its clone of {url} went with it, and its other named volumes stay")
        }
    }
}

/// Waits until an environment is as the judge says; nothing if it is gone.
async fn until(
    follow: &mut Follow<'_>,
    asked: &Environment,
    there: impl Fn(&Environment) -> bool,
) -> Result<Option<Environment>, Failure> {
    let objects = [ObjectReference::environment(&asked.id)];
    let id = asked.id.clone();
    let read = async |client: &Client| client.environment(id.as_str()).await;
    let generation = asked.metadata.generation;
    let judge = |now: &Environment, _: Option<&Problem>| {
        let heard = now.status.observed_generation >= generation;
        match &now.status.problem {
            _ if heard && there(now) => Verdict::Done,
            Some(problem) if heard => Verdict::Failed(problem.clone()),
            _ => Verdict::Going,
        }
    };
    follow.until(&objects, read, judge).await
}

fn wish(phase: DesiredPhase) -> EnvironmentPatch {
    EnvironmentPatch { desired_phase: Some(phase), ..EnvironmentPatch::default() }
}

fn bold_name(environment: &Environment, paint: Paint) -> String {
    paint.bold(environment.metadata.name.as_str())
}

fn report(
    context: &Context,
    ends: &[Environment],
    text: impl Fn(&Environment, Paint) -> String,
) -> Result<(), Failure> {
    context.output.show(&ends, |paint| {
        let lines: Vec<_> = ends.iter().map(|environment| text(environment, paint)).collect();
        lines.join("\n")
    })
}
