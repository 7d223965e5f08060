//! Routes about the projects that come with Cove.

use api::{ErrorBody, Example, ExampleMade, ExampleRequest};
use axum::Json;
use axum::extract::{Path, State};

use super::Api;
use super::answer::{Body, Refusal};
use super::secrets::patiently;
use crate::examples;

/// The projects that come with Cove, and where each would be put.
#[utoipa::path(get, path = "/v1/examples", tag = "examples",
    responses((status = 200, body = [Example]), (status = "default", body = ErrorBody)))]
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Vec<Example>>, Refusal> {
    let list = move || Ok(examples::list(&api.store.machine()?.spec.shares));
    Ok(Json(patiently(list).await?))
}

/// Puts a project that comes with Cove into a folder that the machine sees, and starts nothing. Nothing that is there is
/// overwritten: a folder with anything else in it is refused, and one that has the project is left as it is.
#[utoipa::path(post, path = "/v1/examples/{example}", tag = "examples",
    params(("example" = String, Path, description = "Its name: `hello`")),
    request_body = ExampleRequest,
    responses((status = 200, body = ExampleMade), (status = "default", body = ErrorBody)))]
pub(super) async fn make(
    State(api): State<Api>,
    Path(example): Path<String>,
    Body(request): Body<ExampleRequest>,
) -> Result<Json<ExampleMade>, Refusal> {
    let make = move || examples::make(&example, request.folder.as_deref(), &api.store.machine()?.spec.shares);
    Ok(Json(patiently(make).await?))
}
