//! Computers come in as runners.

use api::control::{Enrolled, Enrolment, EnrolmentToken, Kind, Verb};
use api::{Name, Problem, ProblemCode};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Control;
use super::answer::{Body, Refusal, SMALL};
use super::caller::{Caller, Failed, Rules, Wish};
use super::pace::Paced;
use super::resources::name;
use crate::audit::{self, Told};
use crate::identity::{self, EnrolmentError};
use crate::store::Transaction;

/// Makes a token with which one computer comes in as a runner.
#[utoipa::path(post, path = "/v1/organizations/{organization}/runners/{name}/token", tag = "runners",
    params(("organization" = Name, Path, description = "The organization"), ("name" = Name, Path, description = "Which")),
    responses((status = 200, body = EnrolmentToken)))]
pub(super) async fn invite(
    State(control): State<Control>,
    caller: Caller,
    Path((organization, runner)): Path<(String, String)>,
) -> Result<Json<EnrolmentToken>, Refusal> {
    let (organization, runner) = (name(&organization)?, name(&runner)?);
    let now = (control.now)();
    // The computer holds the server to this certificate from the first byte on. It asks for the token: what is in a command
    // line, everybody on that computer can read.
    let (address, fingerprint) = (&control.address, control.authority.fingerprint());
    let command = format!("cove control join {address} --authority {fingerprint}");
    let made = change_of(
        &control,
        &caller,
        organization,
        runner,
        "invite",
        move |transaction, organization, runner| {
            identity::invite(transaction, now, organization, runner, command)
        },
    );
    Ok(Json(made.await?))
}

/// Takes a runner's certificates back.
#[utoipa::path(post, path = "/v1/organizations/{organization}/runners/{name}/revoke", tag = "runners",
    params(("organization" = Name, Path, description = "The organization"), ("name" = Name, Path, description = "Which")),
    responses((status = 204, description = "Its certificates count no more")))]
pub(super) async fn revoke(
    State(control): State<Control>,
    caller: Caller,
    Path((organization, runner)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let (organization, runner) = (name(&organization)?, name(&runner)?);
    let now = (control.now)();
    let revoked = change_of(
        &control,
        &caller,
        organization,
        runner,
        "revoke",
        move |transaction, organization, runner| identity::revoke(transaction, now, organization, runner),
    );
    revoked.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Does something that only those may who may change a runner, with its line of the audit log.
async fn change_of<T: Send + 'static>(
    control: &Control,
    caller: &Caller,
    organization: Name,
    runner: Name,
    action: &'static str,
    work: impl FnOnce(&mut dyn Transaction, &Name, &Name) -> Result<T, EnrolmentError> + Send + 'static,
) -> Result<T, Refusal> {
    let (who, rules, now) = (caller.clone(), Rules::for_write(control), (control.now)());
    let changed = caller.write(control, move |transaction| {
        let wish = Wish {
            verb: Verb::Update,
            kind: Kind::Runner,
            organization: Some(&organization),
            name: Some(&runner),
        };
        let because = who.may(&rules, transaction, &wish)?;
        let done = work(transaction, &organization, &runner)?;
        audit::append(transaction, now, Told { allowed: true, because, ..who.line(action, &wish) })?;
        Ok(done)
    });
    changed.await
}

/// Lets a computer in that shows a token. Needs nothing else.
#[utoipa::path(post, path = "/v1/enrol", tag = "runners", security(()), request_body = Enrolment,
    responses((status = 200, body = Enrolled)))]
pub(super) async fn enrol(
    State(control): State<Control>,
    _paced: Paced,
    Body(asked): Body<Enrolment, SMALL>,
) -> Result<Json<Enrolled>, Refusal> {
    let (authority, now) = (control.authority.clone(), (control.now)());
    let enrolled = control.database.write(move |transaction| -> Result<_, EnrolmentError> {
        identity::enrol(transaction, &authority, now, &asked)
    });
    Ok(Json(enrolled.await?))
}

/// Gives a runner a new certificate.
#[utoipa::path(post, path = "/v1/renew", tag = "runners", security(("certificate" = [])), request_body = Enrolment,
    responses((status = 200, body = Enrolled)))]
pub(super) async fn renew(
    State(control): State<Control>,
    caller: Caller,
    Body(asked): Body<Enrolment, SMALL>,
) -> Result<Json<Enrolled>, Refusal> {
    let Caller::Runner(runner) = caller.clone() else {
        return Err(Problem::new(ProblemCode::NotAllowed, "only runners have certificates to renew").into());
    };
    let (authority, now) = (control.authority.clone(), (control.now)());
    let renewed = caller.write(&control, move |transaction| -> Result<_, Failed> {
        Ok(identity::renew(transaction, &authority, now, &runner, &asked)?)
    });
    Ok(Json(renewed.await?))
}
