//! Routes about what environments may use of the person's credentials.

use api::{AuditEvent, Environment, ErrorBody, Grant, GrantKind, GrantRequest, Problem, ProblemCode};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;

use super::answer::{Body, Parameters, Refusal};
use super::{Api, environments, named};

/// The environment may use this from now on. The same kind for the same host takes the place of what was granted before.
///
/// Answers when it can be used, where the environment runs.
#[utoipa::path(post, path = "/v1/environments/{environment}/grants", tag = "environments",
    params(("environment" = String, Path, description = "Name or id")),
    request_body = GrantRequest,
    responses((status = 200, body = Environment), (status = "default", body = ErrorBody)))]
pub(super) async fn grant(
    State(api): State<Api>,
    Path(environment): Path<String>,
    headers: HeaderMap,
    Body(request): Body<GrantRequest>,
) -> Result<Json<Environment>, Refusal> {
    let found = environments::find(&api.store, &environment)?;
    let grant = request.grant(Timestamp::now());
    let grant = grant.map_err(|error| Problem::new(ProblemCode::InvalidRequest, error.to_string()))?;
    let grant = crate::grants::without_foreign(grant, &api.store)?;
    let by = named::name(&headers);
    whole(async move {
        let event =
            AuditEvent::Granted { kind: grant.kind, host: grant.host.clone(), expires_at: grant.expires_at };
        api.audit.record(Some(&found), by.as_deref(), event).await?;
        let changed = api.store.change_grants(&found.id, |grants| {
            grants.retain(|other| !other.is_for_same(&grant));
            grants.push(grant);
        })?;
        api.environments.grants_changed(&changed.id).await;
        Ok(changed)
    })
    .await
}

/// Does all of it, also when the client goes meanwhile.
async fn whole(
    work: impl Future<Output = Result<Environment, Problem>> + Send + 'static,
) -> Result<Json<Environment>, Refusal> {
    let done = tokio::spawn(work).await;
    let failed =
        |error| Problem::new(ProblemCode::Internal, "the grant was not dealt with").caused_by(&error);
    Ok(Json(done.map_err(failed)??))
}

/// Which grants are taken back.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RevokeQuery {
    /// Of this kind; of every kind if absent.
    kind: Option<GrantKind>,
    /// For this host; for every host if absent.
    host: Option<String>,
}

impl RevokeQuery {
    fn means(&self, grant: &Grant) -> bool {
        let host = self.host.as_ref().map(|host| grant.kind.host(host));
        self.kind.is_none_or(|kind| kind == grant.kind) && (host.is_none() || host == grant.host)
    }
}

/// The environment may use this no more, at once. Nothing of the kind granted: done.
#[utoipa::path(delete, path = "/v1/environments/{environment}/grants", tag = "environments",
    params(("environment" = String, Path, description = "Name or id"), RevokeQuery),
    responses((status = 200, body = Environment), (status = "default", body = ErrorBody)))]
pub(super) async fn revoke(
    State(api): State<Api>,
    Path(environment): Path<String>,
    headers: HeaderMap,
    Parameters(query): Parameters<RevokeQuery>,
) -> Result<Json<Environment>, Refusal> {
    let found = environments::find(&api.store, &environment)?;
    let by = named::name(&headers);
    whole(async move {
        let mut revoked = Vec::new();
        // Taken back before anything else: what cannot be written down must not keep it.
        let changed = api.store.change_grants(&found.id, |grants| {
            revoked = grants.extract_if(.., |grant| query.means(grant)).collect();
        })?;
        let mut written = Ok(());
        for Grant { kind, host, .. } in revoked {
            let event = AuditEvent::Revoked { kind, host };
            written = written.and(api.audit.record(Some(&found), by.as_deref(), event).await);
        }
        api.environments.grants_changed(&changed.id).await;
        written.map(|()| changed)
    })
    .await
}
