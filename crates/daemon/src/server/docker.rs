//! Routes about what the machine's Docker Engine has.

use api::{
    ContainerLogLine, DockerBuildRecord, DockerContainer, DockerFolder, DockerImage, DockerImageDetail,
    DockerNetwork, DockerPruneRequest, DockerPruned, DockerUsage, DockerVolume, ErrorBody,
};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use engine::Inspected;
use serde::Deserialize;
use serde_json::Value;

use super::answer::{Body, Parameters, Refusal};
use super::logs::LogQuery;
use super::machine::exists;
use super::{Api, logs};

/// Whether sizes are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SizesQuery {
    /// Whether their sizes are told too. The engine looks at every file for that.
    #[serde(default)]
    sizes: bool,
}

/// How it is removed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RemoveQuery {
    /// A container though it runs; an image though it has several names or stopped containers were made of it.
    #[serde(default)]
    force: bool,
}

/// Where in a volume.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FolderQuery {
    /// The folder, below the volume; the volume itself if absent.
    #[serde(default)]
    path: String,
}

/// What takes space in the machine, and what a prune of each kind would remove and free.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/usage", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`")),
    responses((status = 200, body = DockerUsage), (status = "default", body = ErrorBody)))]
pub(super) async fn usage(
    State(api): State<Api>,
    Path(machine): Path<String>,
) -> Result<Json<DockerUsage>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.usage().await?))
}

/// Removes what nobody needs of one kind. Never what Cove looks after for an environment.
#[utoipa::path(post, path = "/v1/machines/{machine}/docker/prune", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`")),
    request_body = DockerPruneRequest,
    responses((status = 200, body = DockerPruned), (status = "default", body = ErrorBody)))]
pub(super) async fn prune(
    State(api): State<Api>,
    Path(machine): Path<String>,
    Body(request): Body<DockerPruneRequest>,
) -> Result<Json<DockerPruned>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.prune(&request).await?))
}

/// All containers, whoever made them, stopped ones too.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/containers", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"), SizesQuery),
    responses((status = 200, body = Vec<DockerContainer>), (status = "default", body = ErrorBody)))]
pub(super) async fn containers(
    State(api): State<Api>,
    Path(machine): Path<String>,
    Parameters(query): Parameters<SizesQuery>,
) -> Result<Json<Vec<DockerContainer>>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.containers(query.sizes).await?))
}

/// One container.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/containers/{container}", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("container" = String, Path, description = "Id, its beginning, or name")),
    responses((status = 200, body = DockerContainer), (status = "default", body = ErrorBody)))]
pub(super) async fn container(
    State(api): State<Api>,
    Path((machine, container)): Path<(String, String)>,
) -> Result<Json<DockerContainer>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.container(&container).await?))
}

/// Starts a container that belongs to no environment.
#[utoipa::path(post, path = "/v1/machines/{machine}/docker/containers/{container}/start", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("container" = String, Path, description = "Id, its beginning, or name")),
    responses((status = 200, body = DockerContainer),
        (status = 409, description = "It belongs to an environment", body = ErrorBody),
        (status = "default", body = ErrorBody)))]
pub(super) async fn start(
    State(api): State<Api>,
    Path((machine, container)): Path<(String, String)>,
) -> Result<Json<DockerContainer>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.start(&container).await?))
}

/// Stops a container that belongs to no environment; it is killed after ten seconds.
#[utoipa::path(post, path = "/v1/machines/{machine}/docker/containers/{container}/stop", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("container" = String, Path, description = "Id, its beginning, or name")),
    responses((status = 200, body = DockerContainer),
        (status = 409, description = "It belongs to an environment", body = ErrorBody),
        (status = "default", body = ErrorBody)))]
pub(super) async fn stop(
    State(api): State<Api>,
    Path((machine, container)): Path<(String, String)>,
) -> Result<Json<DockerContainer>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.stop(&container).await?))
}

/// Restarts a container that belongs to no environment.
#[utoipa::path(post, path = "/v1/machines/{machine}/docker/containers/{container}/restart", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("container" = String, Path, description = "Id, its beginning, or name")),
    responses((status = 200, body = DockerContainer),
        (status = 409, description = "It belongs to an environment", body = ErrorBody),
        (status = "default", body = ErrorBody)))]
pub(super) async fn restart(
    State(api): State<Api>,
    Path((machine, container)): Path<(String, String)>,
) -> Result<Json<DockerContainer>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.restart(&container).await?))
}

/// Removes a container that belongs to no environment, with its anonymous volumes.
#[utoipa::path(delete, path = "/v1/machines/{machine}/docker/containers/{container}", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("container" = String, Path, description = "Id, its beginning, or name"), RemoveQuery),
    responses((status = 204, description = "It is gone"),
        (status = 409, description = "It runs, or belongs to an environment", body = ErrorBody),
        (status = "default", body = ErrorBody)))]
pub(super) async fn remove_container(
    State(api): State<Api>,
    Path((machine, container)): Path<(String, String)>,
    Parameters(query): Parameters<RemoveQuery>,
) -> Result<StatusCode, Refusal> {
    exists(&machine)?;
    api.docker.remove_container(&container, query.force).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All that the engine says of a container.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/containers/{container}/inspect", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("container" = String, Path, description = "Id, its beginning, or name")),
    responses((status = 200, body = Value), (status = "default", body = ErrorBody)))]
pub(super) async fn inspect_container(
    State(api): State<Api>,
    Path((machine, container)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.inspect(Inspected::Container, &container).await?))
}

/// What a container wrote.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/containers/{container}/logs", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("container" = String, Path, description = "Id, its beginning, or name"), LogQuery),
    responses(
        (status = 200, body = ContainerLogLine, content_type = "application/x-ndjson"),
        (status = "default", body = ErrorBody),
    ))]
pub(super) async fn container_logs(
    State(api): State<Api>,
    Path((machine, container)): Path<(String, String)>,
    Parameters(query): Parameters<LogQuery>,
) -> Result<Response, Refusal> {
    exists(&machine)?;
    let lines = api.machine.container_logs(&container, query.into()).await?;
    Ok(logs::stream(lines, api.shutdown))
}

/// All images that have a name or that a container could use.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/images", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`")),
    responses((status = 200, body = Vec<DockerImage>), (status = "default", body = ErrorBody)))]
pub(super) async fn images(
    State(api): State<Api>,
    Path(machine): Path<String>,
) -> Result<Json<Vec<DockerImage>>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.images().await?))
}

/// An image with its layers, and all that the engine says of it.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/images/{image}", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("image" = String, Path, description = "Id, its beginning, or name")),
    responses((status = 200, body = DockerImageDetail), (status = "default", body = ErrorBody)))]
pub(super) async fn image(
    State(api): State<Api>,
    Path((machine, image)): Path<(String, String)>,
) -> Result<Json<DockerImageDetail>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.image(&image).await?))
}

/// Removes an image under all its names.
#[utoipa::path(delete, path = "/v1/machines/{machine}/docker/images/{image}", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("image" = String, Path, description = "Id, its beginning, or name"), RemoveQuery),
    responses((status = 204, description = "It is gone"),
        (status = 409, description = "It is in use, or Cove looks after it", body = ErrorBody),
        (status = "default", body = ErrorBody)))]
pub(super) async fn remove_image(
    State(api): State<Api>,
    Path((machine, image)): Path<(String, String)>,
    Parameters(query): Parameters<RemoveQuery>,
) -> Result<StatusCode, Refusal> {
    exists(&machine)?;
    api.docker.remove_image(&image, query.force).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// All volumes.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/volumes", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"), SizesQuery),
    responses((status = 200, body = Vec<DockerVolume>), (status = "default", body = ErrorBody)))]
pub(super) async fn volumes(
    State(api): State<Api>,
    Path(machine): Path<String>,
    Parameters(query): Parameters<SizesQuery>,
) -> Result<Json<Vec<DockerVolume>>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.volumes(query.sizes).await?))
}

/// Removes a volume that no container has.
#[utoipa::path(delete, path = "/v1/machines/{machine}/docker/volumes/{volume}", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("volume" = String, Path, description = "Its name")),
    responses((status = 204, description = "It is gone"),
        (status = 409, description = "A container has it, or a clone is in it", body = ErrorBody),
        (status = "default", body = ErrorBody)))]
pub(super) async fn remove_volume(
    State(api): State<Api>,
    Path((machine, volume)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    exists(&machine)?;
    api.docker.remove_volume(&volume).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What is in a folder of a volume: names, kinds and sizes, of five thousand things at most.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/volumes/{volume}/files", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("volume" = String, Path, description = "Its name"), FolderQuery),
    responses((status = 200, body = DockerFolder), (status = "default", body = ErrorBody)))]
pub(super) async fn browse(
    State(api): State<Api>,
    Path((machine, volume)): Path<(String, String)>,
    Parameters(query): Parameters<FolderQuery>,
) -> Result<Json<DockerFolder>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.browse(&volume, &query.path).await?))
}

/// All that the engine says of a volume.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/volumes/{volume}/inspect", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("volume" = String, Path, description = "Its name")),
    responses((status = 200, body = Value), (status = "default", body = ErrorBody)))]
pub(super) async fn inspect_volume(
    State(api): State<Api>,
    Path((machine, volume)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.inspect(Inspected::Volume, &volume).await?))
}

/// All networks.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/networks", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`")),
    responses((status = 200, body = Vec<DockerNetwork>), (status = "default", body = ErrorBody)))]
pub(super) async fn networks(
    State(api): State<Api>,
    Path(machine): Path<String>,
) -> Result<Json<Vec<DockerNetwork>>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.networks().await?))
}

/// All that the engine says of a network.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/networks/{network}/inspect", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("network" = String, Path, description = "Its id or name")),
    responses((status = 200, body = Value), (status = "default", body = ErrorBody)))]
pub(super) async fn inspect_network(
    State(api): State<Api>,
    Path((machine, network)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.inspect(Inspected::Network, &network).await?))
}

/// Removes a network that no container is in.
#[utoipa::path(delete, path = "/v1/machines/{machine}/docker/networks/{network}", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`"),
        ("network" = String, Path, description = "Its id or name")),
    responses((status = 204, description = "It is gone"),
        (status = 409, description = "It is in use, or the engine's own", body = ErrorBody),
        (status = "default", body = ErrorBody)))]
pub(super) async fn remove_network(
    State(api): State<Api>,
    Path((machine, network)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    exists(&machine)?;
    api.docker.remove_network(&network).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The records of the cache of builds.
#[utoipa::path(get, path = "/v1/machines/{machine}/docker/builds", tag = "docker",
    params(("machine" = String, Path, description = "Its name: `default`")),
    responses((status = 200, body = Vec<DockerBuildRecord>), (status = "default", body = ErrorBody)))]
pub(super) async fn builds(
    State(api): State<Api>,
    Path(machine): Path<String>,
) -> Result<Json<Vec<DockerBuildRecord>>, Refusal> {
    exists(&machine)?;
    Ok(Json(api.docker.builds().await?))
}
