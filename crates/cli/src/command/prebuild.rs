//! `cove prebuild`

use std::fmt::Write as _;

use api::{
    Environment, ObjectReference, Prebuild, PrebuildWish, Problem, ProblemCode, Unasked, UpRequest,
    bytes_in_words,
};
use client::Client;

use super::up::relative_to;
use crate::arguments::{PrebuildArguments, PrebuildCommand};
use crate::context::{Context, existing_folder};
use crate::failure::Failure;
use crate::follow::{Follow, Verdict};
use crate::paint::Paint;
use crate::personal;
use crate::table::{self, Cell};

/// Characters of a commit that are shown.
const COMMIT: usize = 10;

pub(super) async fn run(context: &Context, arguments: PrebuildArguments) -> Result<(), Failure> {
    match &arguments.command {
        None => make(context, &arguments).await,
        Some(PrebuildCommand::Ls) => list(context).await,
        Some(PrebuildCommand::Rm { images }) => remove(context, images).await,
    }
}

async fn make(context: &Context, arguments: &PrebuildArguments) -> Result<(), Failure> {
    let folder = existing_folder(arguments.path.as_deref().unwrap_or_else(|| ".".into()))?;
    let config = arguments.config.as_deref().map(|config| relative_to(&folder, config));
    let wish = PrebuildWish { tag: arguments.tag.clone(), push: arguments.push.clone() };
    let mut request = UpRequest {
        variables: personal::variables_of(&folder, config.as_deref()),
        caller_variables: personal::caller_variables_of(&folder, config.as_deref()),
        secrets: arguments.secrets_file.as_deref().map(personal::secrets_of).transpose()?,
        folder,
        config,
        prebuild: Some(wish),
        // What an earlier try left behind is none of the image's.
        rebuild: true,
        unasked: if arguments.trust { Unasked::Wait } else { Unasked::LeaveOut },
        ..UpRequest::default()
    };
    let client = context.client().await?;
    let mut follow = Follow::begin(context, &client).await?;
    let started = loop {
        let started = client.up(&request).await?;
        match until_gone(&mut follow, &started).await {
            Err(Failure::Problem(problem))
                if problem.code == ProblemCode::ConsentNeeded && arguments.trust =>
            {
                let wanted = problem.consents.iter().map(|consent| consent.digest.clone());
                let new: Vec<String> = wanted.filter(|digest| !request.consents.contains(digest)).collect();
                if new.is_empty() {
                    return Err(Failure::Problem(problem));
                }
                request.consents.extend(new);
                request.rebuild = false;
            }
            Err(failure) => return Err(left_behind(failure, &started)),
            Ok(()) => break started,
        }
    };
    let name = started.metadata.name;
    let made = client.prebuilds().await?.into_iter().find(|prebuild| prebuild.name == name.as_str());
    let missing =
        || Problem::new(ProblemCode::PrebuildFailed, format!("the prebuild of `{name}` is gone again"));
    let made = made.ok_or_else(missing)?;
    context.output.show(&made, |paint| {
        let mut text = format!("{} is ready ({}).", paint.bold(&made.image), bytes_in_words(made.size));
        for other in &made.also {
            write!(text, " It is called {} too.", paint.bold(other))
                .expect("writing to a string cannot fail");
        }
        text.push_str(" The next `cove up` that makes a container begins from it.");
        text
    })
}

/// Shows how a prebuild is made, until its environment is gone.
async fn until_gone(follow: &mut Follow<'_>, started: &Environment) -> Result<(), Failure> {
    let objects = [ObjectReference::environment(&started.id), ObjectReference::machine(api::DEFAULT_MACHINE)];
    let id = started.id.clone();
    let read = async |client: &Client| client.environment(id.as_str()).await;
    let generation = started.metadata.generation;
    let judge = |now: &Environment, _: Option<&Problem>| {
        let heard = now.status.observed_generation >= generation;
        match &now.status.problem {
            Some(problem) if heard && now.status.retry == now.spec.retry => Verdict::Failed(problem.clone()),
            _ => Verdict::Going,
        }
    };
    follow.until(&objects, read, judge).await.map(drop)
}

/// The environment of a prebuild that failed is there to be looked at.
fn left_behind(failure: Failure, started: &Environment) -> Failure {
    match failure {
        Failure::Problem(problem) => {
            let name = &started.metadata.name;
            let problem = problem.with_command("remove what it was tried in", format!("cove rm {name}"));
            Failure::Problem(Box::new(problem))
        }
        other => other,
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let prebuilds = context.client().await?.prebuilds().await?;
    if prebuilds.is_empty() && !context.output.is_json() {
        context.output.note("There are no prebuilds. `cove prebuild` in a folder makes one.");
        return Ok(());
    }
    context.output.show(&prebuilds, |paint| table_of(&prebuilds, paint))
}

async fn remove(context: &Context, images: &[String]) -> Result<(), Failure> {
    let client = context.client().await?;
    let mut left = Vec::new();
    for image in images {
        left = client.remove_prebuild(image).await?;
    }
    context.output.show(&left, |_| format!("Removed {}", images.join(", ")))
}

fn table_of(prebuilds: &[Prebuild], paint: Paint) -> String {
    let rows: Vec<_> = prebuilds
        .iter()
        .map(|prebuild| {
            let commit = prebuild.commit.as_deref().unwrap_or("-");
            let names = [vec![prebuild.image.clone()], prebuild.also.clone()].concat();
            vec![
                Cell::plain(names.join(", ")),
                Cell::plain(commit.chars().take(COMMIT).collect::<String>()),
                Cell::plain(prebuild.created.chars().take("2026-01-01T00:00".len()).collect::<String>()),
                Cell::plain(bytes_in_words(prebuild.size)),
            ]
        })
        .collect();
    table::render(&["IMAGE", "COMMIT", "MADE", "SIZE"], &rows, paint)
}
