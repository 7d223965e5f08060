//! Routes about the settings that a person writes.

use api::{ErrorBody, SettingsPatch, SettingsReport};
use axum::Json;
use axum::extract::State;

use super::Api;
use super::answer::{Body, Refusal};
use super::secrets::patiently;

/// What `config.toml` says and what holds, key by key. A file that is wrong is told with its place, as a part of the
/// answer.
#[utoipa::path(get, path = "/v1/settings", tag = "settings",
    responses((status = 200, body = SettingsReport), (status = "default", body = ErrorBody)))]
pub(super) async fn show(State(api): State<Api>) -> Result<Json<SettingsReport>, Refusal> {
    Ok(Json(patiently(move || api.settings.report()).await?))
}

/// Changes keys of `config.toml`: all that were named, or none. The rest of the file stays as the person wrote it. What
/// can hold at once does; the answer says what waits for a start of the machine or of the daemon.
#[utoipa::path(patch, path = "/v1/settings", tag = "settings", request_body = SettingsPatch,
    responses(
        (status = 200, body = SettingsReport),
        (status = 409, description = "The file has become another", body = ErrorBody),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn change(
    State(api): State<Api>,
    Body(patch): Body<SettingsPatch>,
) -> Result<Json<SettingsReport>, Refusal> {
    let changed = move || {
        api.settings.change(&patch)?;
        api.settings.report()
    };
    Ok(Json(patiently(changed).await?))
}
