//! Personal tokens.

use api::control::{Kind, PersonalToken, PersonalTokenRequest, TokenMade, Verb};
use api::{Name, Problem, ProblemCode};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Control;
use super::answer::{Body, Refusal};
use super::caller::{Caller, Failed, Wish};
use super::resources::name;
use crate::audit::{self, Told};
use crate::identity::{self, Evidence, Person, PersonIdentity};
use crate::resources;

/// The tokens of whoever asks; those of everybody for the host.
#[utoipa::path(get, path = "/v1/tokens", tag = "people", responses((status = 200, body = [PersonalToken])))]
pub(super) async fn list(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Json<Vec<PersonalToken>>, Refusal> {
    let (user, now) = (whose(&caller)?, (control.now)());
    let listed = caller.read(&control, move |transaction| -> Result<_, Failed> {
        Ok(identity::tokens(transaction, now, user.as_ref())?)
    });
    Ok(Json(listed.await?))
}

/// Makes a token for the person who asks.
#[utoipa::path(post, path = "/v1/tokens", tag = "people", request_body = PersonalTokenRequest,
    responses((status = 201, description = "The token, told this once", body = TokenMade)))]
pub(super) async fn make(
    State(control): State<Control>,
    caller: Caller,
    Body(asked): Body<PersonalTokenRequest>,
) -> Result<Response, Refusal> {
    let Caller::Person(person) = caller.clone() else {
        return Err(Problem::new(ProblemCode::NotAllowed, "personal tokens are people's")
            .with_command("sign in as somebody first", "cove-control login https://SERVER")
            .into());
    };
    let now = (control.now)();
    let made = caller.write(&control, {
        let who = caller.clone();
        move |transaction| -> Result<TokenMade, Failed> {
            let made = identity::make_token(transaction, now, &person, asked)?;
            let organization = Some(person.identity.organization);
            let told = line(&who, "make_token", organization, &made.about.id);
            audit::append(transaction, now, told)?;
            Ok(made)
        }
    });
    Ok((StatusCode::CREATED, Json(made.await?)).into_response())
}

/// Makes a token for somebody: for programs that are declared as users, and where no identity provider is. The host alone
/// does, for whoever else could would be able to do all that anybody may.
#[utoipa::path(post, path = "/v1/organizations/{organization}/users/{name}/tokens", tag = "people",
    params(("organization" = Name, Path, description = "The organization"), ("name" = Name, Path, description = "Whose it is to be")),
    request_body = PersonalTokenRequest,
    responses((status = 201, description = "The token, told this once", body = TokenMade)))]
pub(super) async fn make_for(
    State(control): State<Control>,
    caller: Caller,
    Path((organization, user)): Path<(String, String)>,
    Body(asked): Body<PersonalTokenRequest>,
) -> Result<Response, Refusal> {
    let (organization, user) = (name(&organization)?, name(&user)?);
    let (who, now) = (caller.clone(), (control.now)());
    let made = caller.write(&control, move |transaction| -> Result<TokenMade, Failed> {
        let wish =
            Wish { verb: Verb::Use, kind: Kind::User, organization: Some(&organization), name: Some(&user) };
        if !matches!(who, Caller::Host) {
            let because = vec!["only the host makes tokens for others".to_owned()];
            return Err(Failed::Denied(Box::new(Told { because, ..who.line("make_token", &wish) })));
        }
        let found = resources::find(transaction, Kind::User, &organization, &user)?;
        let identity =
            PersonIdentity { id: found.metadata.id, organization: organization.clone(), name: user.clone() };
        let made = identity::make_token_for(transaction, now, &identity, asked)?;
        let (because, note) =
            (vec!["host of the server".to_owned()], Some(format!("token {}", made.about.id)));
        let told = Told { allowed: true, because, note, ..who.line("make_token", &wish) };
        audit::append(transaction, now, told)?;
        Ok(made)
    });
    Ok((StatusCode::CREATED, Json(made.await?)).into_response())
}

/// Takes a token back, with immediate effect. One that is narrower than its person takes back nothing but itself.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "people",
    params(("id" = String, Path, description = "Which")),
    responses((status = 204, description = "It counts no more")))]
pub(super) async fn take_back(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let (user, now) = (whose(&caller)?, (control.now)());
    if let Caller::Person(Person { scope: Some(_), evidence: Evidence::Token { id: own, .. }, .. }) = &caller
        && *own != id
    {
        let title = "a token with a scope takes back no other than itself";
        return Err(Problem::new(ProblemCode::NotAllowed, title).into());
    }
    let who = caller.clone();
    let taken = caller.write(&control, move |transaction| -> Result<_, Failed> {
        let of = identity::take_back(transaction, now, user.as_ref(), &id)?;
        audit::append(transaction, now, line(&who, "revoke_token", Some(of.organization), &id))?;
        Ok(())
    });
    taken.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whose tokens are meant; everybody's for the host.
fn whose(caller: &Caller) -> Result<Option<PersonIdentity>, Refusal> {
    match caller {
        Caller::Host => Ok(None),
        Caller::Person(person) => Ok(Some(person.identity.clone())),
        Caller::Runner(_) => {
            Err(Problem::new(ProblemCode::NotAllowed, "runners have no personal tokens").into())
        }
    }
}

/// A line about a token: which one, and by which one where one asked.
fn line(who: &Caller, action: &str, organization: Option<Name>, id: &str) -> Told {
    let by = who.note().map(|by| format!(", by {by}")).unwrap_or_default();
    Told {
        organization,
        principal: who.principal(),
        action: action.to_owned(),
        object: None,
        resource_version: None,
        allowed: true,
        because: vec!["their own".to_owned()],
        note: Some(format!("token {id}{by}")),
    }
}
