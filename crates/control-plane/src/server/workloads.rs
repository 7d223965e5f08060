//! Runners get tokens for programs in their environments, and anybody can verify those.

use api::control::{
    Document, EnvironmentSpec, Kind, RunnerSpec, RunnerVariant, UserSpec, Verb, WorkloadKeyRotated,
    WorkloadToken, WorkloadTokenRequest,
};
use api::{Name, Problem, ProblemCode};
use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Control;
use super::answer::{Body, Refusal};
use super::caller::{Caller, Failed, Rules, Wish};
use super::pace::Paced;
use crate::audit::{self, Told};
use crate::authz::{Asked, Asker, Target};
use crate::identity::{self, RunnerIdentity, SignedWorkload, Workload, WorkloadError};
use crate::resources;
use crate::store::{StoreError, Transaction};

/// Keys are published a day before they sign, so that nobody needs to ask more often.
const CACHED: &str = "public, max-age=3600";

/// Signs a token for a program in an environment that the runner has.
#[utoipa::path(post, path = "/v1/workload-token", tag = "runners", request_body = WorkloadTokenRequest,
    responses((status = 200, body = WorkloadToken)))]
pub(super) async fn sign(
    State(control): State<Control>,
    caller: Caller,
    Body(asked): Body<WorkloadTokenRequest>,
) -> Result<Json<WorkloadToken>, Refusal> {
    let Caller::Runner(runner) = caller.clone() else {
        let title = "only the runner that has an environment gets tokens for its programs";
        return Err(Problem::new(ProblemCode::NotAllowed, title).into());
    };
    let (who, now, issuer) = (caller.clone(), (control.now)(), control.address.clone());
    let rules = Rules::for_write(&control);
    let signed = caller.write(&control, move |transaction| -> Result<SignedWorkload, Failed> {
        let found = environment(transaction, &runner.organization, &asked.environment)?;
        let name = found.as_ref().map(|document| document.metadata.name.clone());
        let wish = Wish {
            verb: Verb::Get,
            kind: Kind::Environment,
            organization: Some(&runner.organization),
            name: name.as_ref(),
        };
        let line = Told { allowed: true, ..who.line("workload_token", &wish) };
        let (document, spec) = match placed(transaction, &rules, &runner, found)? {
            Ok(placed) => placed,
            Err(because) => {
                let because = vec![because.to_owned()];
                return Err(Failed::Denied(Box::new(Told { allowed: false, because, ..line })));
            }
        };
        let workload = Workload {
            organization: &runner.organization,
            name: &document.metadata.name,
            id: &document.metadata.id,
            spec: &spec,
        };
        let signed =
            identity::workload_token(transaction, now, &issuer, workload, &asked.audience, asked.lifetime)?;
        let note = Some(format!("token {} for {}", signed.id, asked.audience));
        let because = vec!["lies on the runner".to_owned()];
        audit::append(transaction, now, Told { because, note, ..line })?;
        Ok(signed)
    });
    let SignedWorkload { token, expires_at, .. } = signed.await?;
    Ok(Json(WorkloadToken { token, expires_at }))
}

/// An environment of an organization, by name or by id.
fn environment(
    transaction: &mut dyn Transaction,
    organization: &Name,
    wanted: &str,
) -> Result<Option<Document>, StoreError> {
    if let Ok(name) = Name::parse(wanted)
        && let Some(found) = transaction.resource(Kind::Environment, organization, &name)?
    {
        return Ok(Some(found));
    }
    let found = transaction.resource_by_id(wanted)?;
    let is_one =
        |found: &Document| found.kind == Kind::Environment && found.metadata.organization == *organization;
    Ok(found.filter(is_one))
}

/// The environment, if the runner has it and whose it is may do something; or else why there is no token.
fn placed(
    transaction: &mut dyn Transaction,
    rules: &Rules,
    runner: &RunnerIdentity,
    found: Option<Document>,
) -> Result<Result<(Document, EnvironmentSpec), &'static str>, StoreError> {
    // A runner learns nothing of environments of others, not even whether they are there.
    let Some(document) = found else { return Ok(Err("it does not lie on the runner")) };
    let spec: EnvironmentSpec = serde_json::from_value(document.spec.clone())?;
    if spec.runner != runner.name {
        return Ok(Err("it does not lie on the runner"));
    }
    if let Some(owner) = &spec.owner {
        let owner: Option<UserSpec> = resources::spec_of(transaction, &runner.organization, owner)?;
        if owner.is_none_or(|owner| owner.suspended) {
            return Ok(Err("its owner is suspended"));
        }
    }
    if let Err(because) = vouches(transaction, rules, runner, &spec)? {
        return Ok(Err(because));
    }
    Ok(Ok((document, spec)))
}

/// Whether a runner is believed whose and of which project its environments are: those of a person's own computer are that
/// person's, and of projects that they may use. What a computer says of itself is no proof to others.
fn vouches(
    transaction: &mut dyn Transaction,
    rules: &Rules,
    runner: &RunnerIdentity,
    spec: &EnvironmentSpec,
) -> Result<Result<(), &'static str>, StoreError> {
    let own: Option<RunnerSpec> = resources::spec_of(transaction, &runner.organization, &runner.name)?;
    let Some(own) = own.filter(|own| own.variant == RunnerVariant::Personal) else { return Ok(Ok(())) };
    if spec.owner.is_some() && spec.owner != own.owner {
        return Ok(Err("it is another person's than the computer it lies on"));
    }
    let Some(project) = &spec.project else { return Ok(Ok(())) };
    let Some(owner) = own.owner else { return Ok(Err("the computer it lies on is nobody's")) };
    let asked = Asked {
        principal: Asker::User { organization: runner.organization.clone(), name: owner, scope: None },
        verb: Verb::Use,
        kind: Kind::Project,
        resource: Target::project(&runner.organization, project),
    };
    let decision = rules.of(transaction, &runner.organization)?.decide(&asked);
    Ok(if decision.allowed { Ok(()) } else { Err("whose computer it lies on may not use its project") })
}

/// Lets another key sign such tokens from now on. The host alone does: the key is the server's, and not an organization's.
#[utoipa::path(post, path = "/v1/workload-key/rotate", tag = "server",
    responses((status = 200, body = WorkloadKeyRotated)))]
pub(super) async fn rotate(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<WorkloadKeyRotated>, Refusal> {
    let (who, now) = (caller.clone(), (control.now)());
    let rotated = caller.write(&control, move |transaction| -> Result<_, Failed> {
        let line = Told {
            organization: who.organization().cloned(),
            principal: who.principal(),
            action: "rotate_workload_key".to_owned(),
            object: None,
            resource_version: None,
            allowed: false,
            because: vec!["only the host changes the server's own keys".to_owned()],
            note: who.note(),
        };
        if !matches!(who, Caller::Host) {
            return Err(Failed::Denied(Box::new(line)));
        }
        let rotated = identity::rotate_key(transaction, now)?;
        let (because, note) = (vec!["host of the server".to_owned()], Some(format!("key {}", rotated.id)));
        audit::append(transaction, now, Told { allowed: true, because, note, ..line })?;
        Ok(rotated)
    });
    Ok(Json(rotated.await?))
}

/// What programs that verify such tokens look for, where they look for it.
#[utoipa::path(get, path = "/.well-known/openid-configuration", tag = "server", security(()),
    responses((status = 200, body = serde_json::Value)))]
pub(super) async fn configuration(State(control): State<Control>) -> Response {
    let address = &control.address;
    let configuration = json!({
        "issuer": &**address,
        "jwks_uri": format!("{address}/.well-known/jwks.json"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "claims_supported": [
            "iss", "sub", "aud", "iat", "nbf", "exp", "jti", "organization", "project", "owner", "environment",
            "environment_id", "runner"
        ],
    });
    ([(CACHE_CONTROL, CACHED)], Json(configuration)).into_response()
}

/// The public keys.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "server", security(()),
    responses((status = 200, body = serde_json::Value), (status = 429, description = "Too many came")))]
pub(super) async fn keys(State(control): State<Control>, _paced: Paced) -> Result<Response, Refusal> {
    let now = (control.now)();
    let read = control.database.read(move |transaction| identity::published_keys(transaction, now));
    if let Some(keys) = read.await? {
        return Ok(([(CACHE_CONTROL, CACHED)], Json(keys)).into_response());
    }
    let made = control
        .database
        .write(move |transaction| -> Result<_, WorkloadError> { identity::publish_keys(transaction, now) });
    Ok(([(CACHE_CONTROL, CACHED)], Json(made.await?)).into_response())
}
