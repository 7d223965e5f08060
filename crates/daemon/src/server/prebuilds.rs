//! Routes about prebuilds that are images already. One is made by an `up` with `prebuild`.

use api::{ErrorBody, Prebuild};
use axum::Json;
use axum::extract::State;

use super::Api;
use super::answer::{Parameters, Refusal};

/// Which prebuild.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Which {
    image: String,
}

/// All prebuilds that the machine's engine has, the newest first.
#[utoipa::path(get, path = "/v1/prebuilds", tag = "environments",
    responses((status = 200, body = [Prebuild]), (status = "default", body = ErrorBody)))]
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<Prebuild>>, Refusal> {
    Ok(Json(api.environments.prebuilds().await?))
}

/// Removes a prebuild, under all its names.
#[utoipa::path(delete, path = "/v1/prebuilds", tag = "environments",
    params(("image" = String, Query, description = "One of its names")),
    responses((status = 200, description = "Those that are left", body = [Prebuild]), (status = "default", body = ErrorBody)))]
pub(super) async fn remove(
    State(api): State<Api>,
    Parameters(which): Parameters<Which>,
) -> Result<Json<Vec<Prebuild>>, Refusal> {
    api.environments.remove_prebuild(&which.image).await?;
    Ok(Json(api.environments.prebuilds().await?))
}
