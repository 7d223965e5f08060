//! Routes about environments: what is wanted of them, and what is left to do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::control::Limits;
use api::{
    AutomationWish, CloneRequest, Customizations, DesiredPhase, Environment, EnvironmentId, EnvironmentPatch,
    ErrorBody, EventKind, Https, HttpsWish, KeepAlive, ObjectReference, Phase, PlanRequest, Preview, Problem,
    ProblemCode, RepositoryUrl, Session, Unasked, UpRequest,
};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use tokio::sync::broadcast::error::RecvError;

use super::answer::{Body, Parameters, Refusal};
use super::secrets::patiently;
use super::{Api, logs};
use crate::store::{Store, StoreError};

/// How often a client that holds an environment is told so.
const HOLD_PAUSE: Duration = Duration::from_secs(15);

/// How long an `up` waits for the folder's former environment to be gone.
const DELETION_TIME: Duration = Duration::from_mins(1);

/// All environments, by name.
#[utoipa::path(get, path = "/v1/environments", tag = "environments",
    responses((status = 200, body = [Environment])))]
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<Environment>>, Refusal> {
    Ok(Json(api.store.environments()?))
}

/// The environment of a folder and configuration shall run; it is made if there is none.
///
/// Answers at once: follow `/v1/watch` from the answer's `resource_version`. While a former environment of the folder
/// is being deleted it waits for that, up to a minute.
#[utoipa::path(post, path = "/v1/environments", tag = "environments", request_body = UpRequest,
    responses(
        (status = 200, description = "There was one already", body = Environment),
        (status = 201, description = "It was made", body = Environment),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn up(
    State(api): State<Api>,
    Body(mut request): Body<UpRequest>,
) -> Result<(StatusCode, Json<Environment>), Refusal> {
    request.folder = match &request.repository {
        Some(repository) => {
            check_config_of_clone(request.config.as_deref())?;
            crate::clone::folder_of(&api.clones, &read_url(repository)?, &request)
        }
        None => check(&request.folder, request.config.as_deref()).await?,
    };
    if let Some(common) = &request.worktree_of {
        request.worktree_of = Some(check(common, None).await?);
    }
    if !is_known(&api.store, &request)? {
        request.dotfiles = request.dotfiles.or_else(|| api.settings.dotfiles());
        request.idle = request.idle.or_else(|| Some(api.settings.idle()));
    }
    let session = Session::fresh();
    if let Some(variables) = request.caller_variables.take() {
        api.environments.hold_caller_variables(&session, variables);
    }
    let written = match api.store.up(&request, session.clone(), Timestamp::now()) {
        Err(StoreError::BeingDeleted { id, .. }) => {
            wait_until_gone(&api.store, &id).await;
            api.store.up(&request, session.clone(), Timestamp::now())
        }
        other => other,
    };
    let id = written.as_ref().ok().map(|(environment, _)| environment.id.clone());
    api.environments.settle_caller_variables(&session, id.as_ref());
    let (environment, is_new) = written?;
    if let Some(secrets) = request.secrets {
        let (work, id) = (Arc::clone(&api.environments), environment.id.clone());
        patiently(move || work.keep_secrets(&id, &secrets)).await?;
    }
    api.environments.asked(&environment.id);
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(environment)))
}

/// One environment.
#[utoipa::path(get, path = "/v1/environments/{environment}", tag = "environments",
    params(("environment" = String, Path, description = "Name or id")),
    responses((status = 200, body = Environment), (status = "default", body = ErrorBody)))]
pub(super) async fn show(
    State(api): State<Api>,
    Path(environment): Path<String>,
) -> Result<Json<Environment>, Refusal> {
    let mut found = find(&api.store, &environment)?;
    found.status.warnings.extend(api.environments.automations_changed(&found));
    found.status.activity = api.environments.activity(&found);
    let limits = crate::sync::limits_of(&api.store, &found.id);
    found.status.limits = (limits != Limits::default()).then(|| Box::new(limits));
    Ok(Json(found))
}

/// Changes what is wanted of an environment.
#[utoipa::path(patch, path = "/v1/environments/{environment}", tag = "environments",
    params(("environment" = String, Path, description = "Name or id")),
    request_body = EnvironmentPatch,
    responses(
        (status = 200, body = Environment),
        (status = 409, description = "It is at another version, or being deleted", body = ErrorBody),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn change(
    State(api): State<Api>,
    Path(environment): Path<String>,
    Body(mut patch): Body<EnvironmentPatch>,
) -> Result<Json<Environment>, Refusal> {
    let mut found = find(&api.store, &environment)?;
    if patch.desired_phase == Some(DesiredPhase::Deleted) {
        api.environments.unsaved(&found).await?;
    }
    if !patch.automations.is_empty() {
        found = change_automations(&api, &found, std::mem::take(&mut patch.automations))?;
        // Nothing else of the environment is touched by that.
        if patch == EnvironmentPatch::default() {
            return Ok(Json(found));
        }
    }
    if let (Some(session), Some(variables)) = (&patch.retry, patch.caller_variables.take()) {
        api.environments.hold_caller_variables(session, variables);
    }
    let changed = api.store.change_spec(&found.id, patch.resource_version, |spec| {
        spec.desired_phase = patch.desired_phase.unwrap_or(spec.desired_phase);
        // Who says whether it shall run has the last word.
        spec.idle_since = spec.idle_since.filter(|_| patch.desired_phase.is_none());
        spec.idle = patch.idle.unwrap_or(spec.idle);
        spec.rebuild = patch.rebuild.clone().unwrap_or_else(|| spec.rebuild.clone());
        spec.retry = patch.retry.clone().unwrap_or_else(|| spec.retry.clone());
        spec.ports = patch.ports.clone().unwrap_or_else(|| spec.ports.clone());
        // What somebody else started since the last stop is stopped by a new one only.
        if patch.desired_phase == Some(DesiredPhase::Stopped) && found.status.phase != Phase::Stopped {
            spec.retry = Session::fresh();
        }
        // Who starts an environment like this asks nobody.
        if patch.desired_phase.is_some() || patch.retry.is_some() || patch.rebuild.is_some() {
            spec.unasked = Unasked::LeaveOut;
        }
    });
    if changed.is_err() {
        patch.retry.iter().for_each(|session| api.environments.settle_caller_variables(session, None));
    }
    let changed = changed?;
    api.environments.settle_caller_variables(&changed.spec.retry, Some(&changed.id));
    api.environments.asked(&changed.id);
    Ok(Json(changed))
}

/// What is wanted of tasks and services counts for the present run of the container.
fn change_automations(
    api: &Api,
    found: &Environment,
    mut wishes: BTreeMap<String, AutomationWish>,
) -> Result<Environment, Refusal> {
    let name = &found.metadata.name;
    wishes.keys().try_for_each(|wish| has_automation(found, wish))?;
    let container = found.status.container.as_ref().filter(|container| container.running);
    let Some(run) = container.and_then(|container| container.started_at.clone()) else {
        let problem = Problem::new(ProblemCode::NotRunning, format!("`{name}` is not running"));
        return Err(problem.with_command("start it", format!("cove start {name}")).into());
    };
    for wish in wishes.values_mut() {
        wish.container_run = Some(run.clone());
    }
    let changed = api.store.change_automations(&found.id, wishes)?;
    api.environments.automations_wanted(&changed.id);
    Ok(changed)
}

/// Succeeds if the environment has a task or service that is called so, `services/NAME` or `tasks/NAME`.
pub(super) fn has_automation(environment: &Environment, item: &str) -> Result<(), Problem> {
    if environment.status.automations.item(item).is_some() {
        return Ok(());
    }
    let name = &environment.metadata.name;
    let problem = Problem::new(ProblemCode::InvalidRequest, format!("`{name}` has no automation `{item}`"));
    Err(problem.with_command("see which there are", format!("cove automations ls {name}")))
}

/// How an environment is removed.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Removal {
    force: bool,
}

/// The environment shall go away, with its container and images; its folder is not touched.
///
/// The volume of a clone goes with it: that is refused while it holds work that is nowhere else. Otherwise it answers at
/// once.
#[utoipa::path(delete, path = "/v1/environments/{environment}", tag = "environments",
    params(
        ("environment" = String, Path, description = "Name or id"),
        ("force" = Option<bool>, Query, description = "Also with work that would be lost"),
    ),
    responses((status = 200, body = Environment), (status = "default", body = ErrorBody)))]
pub(super) async fn remove(
    State(api): State<Api>,
    Path(environment): Path<String>,
    Parameters(removal): Parameters<Removal>,
) -> Result<Json<Environment>, Refusal> {
    let found = find(&api.store, &environment)?;
    if !removal.force {
        api.environments.unsaved(&found).await?;
    }
    let changed =
        api.store.change_spec(&found.id, None, |spec| spec.desired_phase = DesiredPhase::Deleted)?;
    api.environments.asked(&changed.id);
    Ok(Json(changed))
}

/// Counts as a use of the environment for as long as the client reads the answer, which never ends by itself: a line
/// comes at once, and another every 15 seconds.
#[utoipa::path(post, path = "/v1/environments/{environment}/keep-alive", tag = "environments",
    params(("environment" = String, Path, description = "Name or id")),
    request_body = KeepAlive,
    responses(
        (status = 200, body = KeepAlive, content_type = "application/x-ndjson"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn keep_alive(
    State(api): State<Api>,
    Path(environment): Path<String>,
    Body(asked): Body<KeepAlive>,
) -> Result<Response, Refusal> {
    let found = find(&api.store, &environment)?;
    let hold = api.environments.keep_alive(&found, &asked.command);
    let words = futures::stream::unfold((hold, true), move |(hold, is_first)| {
        let asked = asked.clone();
        async move {
            if !is_first {
                // A client that is gone shows when something is written to it, if not before.
                tokio::time::sleep(HOLD_PAUSE).await;
            }
            Some((asked, (hold, false)))
        }
    });
    Ok(logs::stream(words, api.shutdown))
}

/// What asking for the environment now would do, and why.
#[utoipa::path(get, path = "/v1/environments/{environment}/plan", tag = "environments",
    params(("environment" = String, Path, description = "Name or id")),
    responses((status = 200, body = Preview), (status = "default", body = ErrorBody)))]
pub(super) async fn plan(
    State(api): State<Api>,
    Path(environment): Path<String>,
) -> Result<Json<Preview>, Refusal> {
    let found = find(&api.store, &environment)?;
    let request = PlanRequest {
        folder: found.spec.source.folder().clone(),
        config: found.spec.config.clone(),
        variables: api.store.variables(&found.id)?,
        features: true,
    };
    Ok(Json(api.environments.plan(&request, Some(&found)).await?))
}

/// What its image, its features and its configuration, as that is now, ask of editors and other tools.
#[utoipa::path(get, path = "/v1/environments/{environment}/customizations", tag = "environments",
    params(("environment" = String, Path, description = "Name or id")),
    responses(
        (status = 200, body = Customizations),
        (status = 409, description = "It has no container that can be seen", body = ErrorBody),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn customizations(
    State(api): State<Api>,
    Path(environment): Path<String>,
) -> Result<Json<Customizations>, Refusal> {
    let found = find(&api.store, &environment)?;
    Ok(Json(api.environments.customizations(&found).await?))
}

/// What asking for a folder now would do, and why; whether it has an environment or not.
#[utoipa::path(post, path = "/v1/plan", tag = "environments", request_body = PlanRequest,
    responses((status = 200, body = Preview), (status = "default", body = ErrorBody)))]
pub(super) async fn plan_folder(
    State(api): State<Api>,
    Body(mut request): Body<PlanRequest>,
) -> Result<Json<Preview>, Refusal> {
    request.folder = check(&request.folder, request.config.as_deref()).await?;
    let found = api.store.environment_of(&request.folder, request.config.as_deref())?;
    Ok(Json(api.environments.plan(&request, found.as_ref()).await?))
}

/// How https for names of ports stands.
#[utoipa::path(get, path = "/v1/https", tag = "environments", responses((status = 200, body = Https)))]
pub(super) async fn https(State(api): State<Api>) -> Json<Https> {
    Json(api.environments.https())
}

/// Names of ports shall be served by https too, or no more.
///
/// The first time makes a certificate authority of this computer's own, for names below `cove.localhost` alone. Whoever
/// uses the names has to trust its certificate; nothing is changed in any store of trust.
#[utoipa::path(put, path = "/v1/https", tag = "environments", request_body = HttpsWish,
    responses((status = 200, body = Https), (status = "default", body = ErrorBody)))]
pub(super) async fn set_https(
    State(api): State<Api>,
    Body(wish): Body<HttpsWish>,
) -> Result<Json<Https>, Refusal> {
    Ok(Json(api.environments.set_https(wish.on).await?))
}

fn is_known(store: &Store, request: &UpRequest) -> Result<bool, StoreError> {
    Ok(store.environment_of(&request.folder, request.config.as_deref())?.is_some())
}

/// The environment with a name or id.
///
/// # Errors
/// One that lists the names that are most like it.
pub(super) fn find(store: &Store, name_or_id: &str) -> Result<Environment, Refusal> {
    if let Some(environment) = store.find(name_or_id)? {
        return Ok(environment);
    }
    let title = format!("there is no environment `{name_or_id}`");
    let mut problem = Problem::new(ProblemCode::EnvironmentNotFound, title);
    let environments = store.environments()?;
    for name in nearest(name_or_id, environments.iter().map(|other| other.metadata.name.as_str())) {
        problem = problem.with_hint(format!("did you mean `{name}`?"));
    }
    Err(problem.into())
}

/// At most three names that are like a mistyped one, the most alike first.
fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut scored: Vec<_> = names
        .map(|name| (strsim::jaro_winkler(typed, name), name))
        .filter(|(score, _)| *score >= 0.75)
        .collect();
    scored.sort_by(|one, other| other.0.total_cmp(&one.0));
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// The one true spelling of a folder's path, so that a folder has one environment however it is reached.
async fn check(folder: &Utf8Path, config: Option<&Utf8Path>) -> Result<Utf8PathBuf, Refusal> {
    if !folder.is_absolute() {
        let title = format!("the folder `{folder}` is not an absolute path");
        return Err(Problem::new(ProblemCode::InvalidRequest, title).into());
    }
    let missing = |title: String| Problem::new(ProblemCode::FolderNotFound, title);
    let real = fs_err::tokio::canonicalize(folder)
        .await
        .map_err(|error| missing(format!("the folder `{folder}` cannot be found")).caused_by(&error))?;
    let Some(real) = Utf8Path::from_path(&real) else {
        return Err(missing(format!("the path of `{folder}` is not UTF-8")).into());
    };
    if !real.is_dir() {
        return Err(missing(format!("`{folder}` is not a folder")).into());
    }
    check_config(config)?;
    Ok(real.to_owned())
}

fn check_config(config: Option<&Utf8Path>) -> Result<(), Refusal> {
    match config {
        Some(config) if config.is_absolute() || config.as_str().is_empty() => {
            let title = format!("`config` is `{config}`; it must be a path relative to the folder");
            Err(Problem::new(ProblemCode::InvalidRequest, title).into())
        }
        Some(_) | None => Ok(()),
    }
}

/// The path is one within a repository, which is not there yet.
fn check_config_of_clone(config: Option<&Utf8Path>) -> Result<(), Refusal> {
    check_config(config)?;
    let is_below = |part: Utf8Component<'_>| matches!(part, Utf8Component::Normal(_) | Utf8Component::CurDir);
    match config.filter(|config| !config.components().all(is_below)) {
        Some(config) => {
            let title = format!("`config` is `{config}`; it must be a path within the repository");
            Err(Problem::new(ProblemCode::InvalidRequest, title).into())
        }
        None => Ok(()),
    }
}

/// The repository of a request.
fn read_url(request: &CloneRequest) -> Result<RepositoryUrl, Refusal> {
    let read = RepositoryUrl::parse(&request.url).and_then(|url| match &request.branch {
        Some(branch) => url.with_branch(branch),
        None => Ok(url),
    });
    read.map_err(|error| Problem::new(ProblemCode::InvalidRequest, error.to_string()).into())
}

/// Returns when the environment is gone, or when that takes too long.
async fn wait_until_gone(store: &Store, id: &EnvironmentId) {
    let mut events = store.subscribe();
    let object = ObjectReference::environment(id);
    let gone = async {
        // Asked after subscribing: a removal in between is not missed.
        while matches!(store.environment(id), Ok(Some(_))) {
            loop {
                match events.recv().await {
                    Ok(event) if event.object == object && event.kind == EventKind::Removed => break,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return,
                }
            }
        }
    };
    if tokio::time::timeout(DELETION_TIME, gone).await.is_err() {
        tracing::warn!(%id, "an environment is still being deleted after a minute");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_brings_those_like_it() {
        let names = ["flask-postgres", "flask-postgres-2", "rust-api", "web"];
        assert_eq!(nearest("flask-postgre", names.into_iter()), ["flask-postgres", "flask-postgres-2"]);
        assert_eq!(nearest("zzz", names.into_iter()), [""; 0]);
    }
}
