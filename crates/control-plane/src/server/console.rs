//! How a browser comes in without an identity provider: by a link that the host makes.

use api::control::{ConsoleEntry, ConsoleLink, Kind, Principal, PrincipalKind, Verb};
use api::{Name, Problem, ProblemCode};
use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::Control;
use super::answer::{Body, Refusal, SMALL};
use super::caller::{Caller, Failed, Wish};
use super::credentials;
use super::pace::Paced;
use super::resources::name;
use crate::audit::{self, Told};
use crate::identity::{self, PersonIdentity, SESSION_LASTS, Token};
use crate::resources;

/// Makes a link that lets one browser in as somebody, once, within a minute. The host alone does: it is as good as their
/// sign-in.
#[utoipa::path(post, path = "/v1/organizations/{organization}/users/{name}/console", tag = "people",
    params(("organization" = Name, Path, description = "The organization"), ("name" = Name, Path, description = "As whom")),
    responses((status = 200, body = ConsoleLink)))]
pub(super) async fn link(
    State(control): State<Control>,
    caller: Caller,
    Path((organization, user)): Path<(String, String)>,
) -> Result<Json<ConsoleLink>, Refusal> {
    let (organization, user) = (name(&organization)?, name(&user)?);
    let (who, now) = (caller.clone(), (control.now)());
    let made = caller.write(&control, move |transaction| -> Result<_, Failed> {
        let wish =
            Wish { verb: Verb::Use, kind: Kind::User, organization: Some(&organization), name: Some(&user) };
        let line = who.line("make_console_link", &wish);
        if !matches!(who, Caller::Host) {
            let because = vec!["only the host lets others in".to_owned()];
            return Err(Failed::Denied(Box::new(Told { because, ..line })));
        }
        let found = resources::find(transaction, Kind::User, &organization, &user)?;
        let identity =
            PersonIdentity { id: found.metadata.id, organization: organization.clone(), name: user.clone() };
        let made = identity::link(transaction, now, &identity)?.ok_or_else(no_random)?;
        let because = vec!["host of the server".to_owned()];
        audit::append(transaction, now, Told { allowed: true, because, ..line })?;
        Ok(made)
    });
    let (token, expires_at) = made.await?;
    let url = format!("{}/#token={}", control.address, token.reveal());
    Ok(Json(ConsoleLink { url, expires_at }))
}

/// Begins the session of a browser that was opened with such a link: its cookie comes with the answer.
#[utoipa::path(post, path = "/v1/console/enter", tag = "people", security(()), request_body = ConsoleEntry,
    responses((status = 204, description = "The browser has a session")))]
pub(super) async fn enter(
    State(control): State<Control>,
    _paced: Paced,
    _own: OwnPage,
    Body(shown): Body<ConsoleEntry, SMALL>,
) -> Result<Response, Refusal> {
    let now = (control.now)();
    let begun = control.database.write(move |transaction| -> Result<_, Problem> {
        let known = identity::enter(transaction, now, &Token::shown(&shown.token))?;
        let Some(user) = known else { return Ok(None) };
        let told = Told {
            organization: Some(user.organization.clone()),
            principal: Principal { kind: PrincipalKind::User, name: user.name.to_string() },
            action: "sign_in".to_owned(),
            object: None,
            resource_version: None,
            allowed: true,
            because: vec!["link of the host".to_owned()],
            note: None,
        };
        let cookie = identity::begin_session(transaction, now, user)?.ok_or_else(no_random)?;
        audit::append(transaction, now, told)?;
        Ok(Some(cookie))
    });
    let cookie = begun.await?.ok_or_else(refused)?;
    let cookie = credentials::set_cookie(credentials::SESSION, cookie.reveal(), SESSION_LASTS.as_secs());
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

/// A link that was used, is over, or never was one: which of them is nobody's business.
fn refused() -> Refusal {
    Problem::new(ProblemCode::NotSignedIn, "the link lets nobody in: it serves once, within a minute")
        .with_command("on the server's own computer, make another", "cove-control console --user NAME")
        .into()
}

fn no_random() -> Problem {
    Problem::new(ProblemCode::Internal, "this computer gives no random numbers")
}

/// That no other site made a browser send this: it would sign somebody in as another.
pub(super) struct OwnPage;

impl<S: Send + Sync> FromRequestParts<S> for OwnPage {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        if credentials::is_same_origin(parts) {
            return Ok(Self);
        }
        Err(Problem::new(ProblemCode::NotAllowed, "the request was not made by a page of this server").into())
    }
}
