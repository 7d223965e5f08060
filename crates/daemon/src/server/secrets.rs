//! Routes about secrets. Values come in, and none goes out.

use api::{ErrorBody, Problem, ProblemCode, SecretScope, SecretStatus, SecretWish};
use axum::Json;
use axum::extract::State;
use camino::Utf8PathBuf;
use serde::Deserialize;

use super::Api;
use super::answer::{Body, Parameters, Refusal};
use super::environments::find;

/// Whose secrets.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    /// Name or id of an environment; absent: all secrets there are.
    environment: Option<String>,
}

/// All secrets, without their values; of one environment, those that could count for it.
#[utoipa::path(get, path = "/v1/secrets", tag = "secrets",
    params(Of),
    responses((status = 200, body = [SecretStatus]), (status = "default", body = ErrorBody)))]
pub(super) async fn list(
    State(api): State<Api>,
    Parameters(of): Parameters<Of>,
) -> Result<Json<Vec<SecretStatus>>, Refusal> {
    let environment = of.environment.map(|name| find(&api.store, &name)).transpose()?;
    Ok(Json(patiently(move || api.environments.secrets(environment.as_ref())).await?))
}

/// A secret shall be so; without a value there shall be none. It counts at once.
#[utoipa::path(put, path = "/v1/secrets", tag = "secrets", request_body = SecretWish,
    responses(
        (status = 200, description = "What is there now, if anything", body = Option<SecretStatus>),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn change(
    State(api): State<Api>,
    Body(mut wish): Body<SecretWish>,
) -> Result<Json<Option<SecretStatus>>, Refusal> {
    match &mut wish.scope {
        SecretScope::User => {}
        // The one true spelling of each. What is removed may be for a folder that is gone.
        SecretScope::Project { folder } => {
            if let Some(real) = real(folder) {
                *folder = real;
            } else if wish.value.is_some() {
                let title = format!("there is no folder `{folder}`");
                return Err(Problem::new(ProblemCode::FolderNotFound, title).into());
            }
        }
        SecretScope::Environment { id } => *id = find(&api.store, id.as_str())?.id,
    }
    Ok(Json(patiently(move || api.environments.change_secret(&wish)).await?))
}

/// Does what may have to wait for a keyring or a disk, and holds up no other request.
pub(super) async fn patiently<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Problem::new(ProblemCode::Internal, "the work broke off").caused_by(&error))
    })
}

fn real(folder: &Utf8PathBuf) -> Option<Utf8PathBuf> {
    let real = folder.is_absolute().then(|| folder.canonicalize_utf8().ok()).flatten()?;
    real.is_dir().then_some(real)
}
