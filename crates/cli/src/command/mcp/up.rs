//! The tool `up`: what `cove up` does where nobody can be asked.

use api::{CloneRequest, Problem, ProblemCode, Source, Unasked, UpRequest};
use rmcp::model::ProgressNotificationParam;
use tokio::sync::mpsc;

use super::answer::Answer;
use super::{Asked, looks};
use crate::command::up::until_running;
use crate::failure::Failure;
use crate::follow::Follow;
use crate::personal;
use crate::progress::Progress;

/// Lines of progress on their way to the agent. When it does not take them, later ones are left out.
const LINES_ON_THE_WAY: usize = 64;

/// The clone that an environment already is.
fn repository_of(source: &Source) -> Option<CloneRequest> {
    match source {
        Source::Clone { url, branch, .. } => {
            Some(CloneRequest { url: url.clone(), branch: branch.clone(), grant: false })
        }
        Source::Folder { .. } | Source::Worktree { .. } => None,
    }
}

pub(super) async fn run(asked: &Asked<'_>) -> Result<Answer, Failure> {
    let environment = asked.environment().await?;
    let folder = environment.spec.source.folder().clone();
    let config = environment.spec.config.clone();
    let request = UpRequest {
        variables: personal::variables_of(&folder, config.as_deref()),
        caller_variables: personal::caller_variables_of(&folder, config.as_deref()),
        folder,
        config,
        unasked: Unasked::LeaveOut,
        repository: repository_of(&environment.spec.source),
        ..UpRequest::default()
    };
    let (tell, lines) = mpsc::channel(LINES_ON_THE_WAY);
    let context = &asked.server.context;
    let progress = Progress::told(context.output, move |line| {
        let _ = tell.try_send(line);
    });
    // The looks on the way are not the agent's.
    let client = context.client().await?;
    let mut follow = Follow::telling(context, &client, progress).await?;
    let started = asked.client.up(&request).await?;
    if started.id != asked.server.id {
        let title =
            format!("`{}` was removed, and its folder has another environment now", asked.server.name);
        let problem = Problem::new(ProblemCode::EnvironmentNotFound, title);
        return Err(problem.with_hint("start the agent's connection to Cove anew").into());
    }
    let ended = async {
        tokio::select! {
            ended = until_running(&mut follow, &started) => ended,
            failure = report(asked, lines) => Err(failure),
            () = asked.cancelled() => Err(Failure::Interrupted),
        }
    };
    // Following is made for one thread, a tool is called on any: this one is kept for it.
    let ended = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(ended));
    // What waits for a person is said in words, with all that is known of the environment.
    match ended {
        Err(Failure::Problem(problem)) if problem.code != ProblemCode::ConsentNeeded => {
            Err(Failure::Problem(problem))
        }
        Err(Failure::Problem(_)) => Ok(looks::described(&asked.environment().await?)),
        Err(failure) => Err(failure),
        Ok(environment) => Ok(looks::described(&environment)),
    }
}

/// Hands lines of progress on, if the agent asked for them. Never ends by itself.
async fn report(asked: &Asked<'_>, mut lines: mpsc::Receiver<String>) -> Failure {
    let token = asked.request.meta.get_progress_token();
    let mut count = 0.0;
    while let Some(line) = lines.recv().await {
        let Some(token) = token.clone() else { continue };
        count += 1.0;
        let note = ProgressNotificationParam::new(token, count).with_message(line);
        // It is gone, or will be told by the answer.
        let _ = asked.request.peer.notify_progress(note).await;
    }
    std::future::pending().await
}
