//! People sign in with a browser, by the organization's identity provider, and sign out.

use api::{ErrorBody, Name, Problem, ProblemCode};
use axum::extract::{FromRequestParts, Query, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::Control;
use super::answer::{Parameters, Refusal};
use super::caller::{Caller, Failed};
use super::credentials::{self, SESSION};
use super::pace::Paced;
use crate::audit::{self, Told};
use crate::identity::{self, Claimed, Evidence, Person, PersonIdentity, Provider, SignInError, Token};
use crate::store::{Record, Space, StoreError, Transaction};

/// Binds what comes back to the browser that was sent: nobody is signed in as somebody else by a link.
const BEGUN: &str = "__Host-cove_sign_in";

/// How long it may take to sign in.
pub(super) const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// Longest place in the console to return to.
const LONGEST: usize = 2000;

/// How it is to be.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SignInQuery {
    /// Where to go to then: a path of this server.
    #[serde(default = "home")]
    #[param(required = false)]
    return_to: String,
    /// Where to sign in, for people who are in several organizations.
    organization: Option<Name>,
}

fn home() -> String {
    "/".to_owned()
}

/// What the provider sends the browser back with.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CallbackQuery {
    /// Which sign-in it is.
    state: Option<String>,
    /// What says there who it is.
    code: Option<String>,
    /// The provider.
    iss: Option<String>,
    /// Why it let nobody in.
    error: Option<String>,
    /// The same for people.
    error_description: Option<String>,
}

/// What is kept of a sign-in that has begun, under the hash of its state.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    nonce: String,
    verifier: String,
    return_to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    organization: Option<Name>,
}

/// Whether an answer is for a person who looks at it in a browser.
pub(super) struct Reader {
    is_person: bool,
}

impl FromRequestParts<Control> for Reader {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _control: &Control) -> Result<Self, Self::Rejection> {
        let accept = parts.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        Ok(Self { is_person: accept.is_some_and(|accept| accept.contains("text/html")) })
    }
}

impl Reader {
    /// A refusal as whoever reads it understands it: pages of the console never see these.
    fn told(&self, refusal: Refusal) -> Response {
        if !self.is_person {
            return refusal.into_response();
        }
        let problem = refusal.problem();
        let head = format!("{} ({})\n", problem.title, problem.code);
        let hints = problem.hints.iter().map(|hint| format!("\n{}\n", hint.text));
        let text: String = std::iter::once(head).chain(hints).collect();
        let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
        let (told, _) = refusal.into_response().into_parts();
        let retry_after = told.headers.get(RETRY_AFTER).map(|seconds| [(RETRY_AFTER, seconds.clone())]);
        (told.status, headers, retry_after, text).into_response()
    }
}

/// Sends a browser to the provider.
#[utoipa::path(get, path = "/v1/sign-in", tag = "people", security(()), params(SignInQuery), responses(
    (status = 303, description = "There it goes on"),
    (status = 403, description = "This server has no provider", body = ErrorBody),
))]
pub(super) async fn sign_in(
    State(control): State<Control>,
    reader: Reader,
    paced: Result<Paced, Refusal>,
    query: Result<Parameters<SignInQuery>, Refusal>,
) -> Response {
    let begun = match paced.and(query) {
        Ok(Parameters(query)) => begin(&control, query).await,
        Err(refusal) => Err(refusal),
    };
    begun.unwrap_or_else(|refusal| reader.told(refusal))
}

async fn begin(control: &Control, query: SignInQuery) -> Result<Response, Refusal> {
    let provider = provider(control)?;
    if !is_local(&query.return_to) {
        let title = "`return_to` is no path of this server";
        return Err(Problem::new(ProblemCode::InvalidRequest, title)
            .with_hint("it looks like /projects")
            .into());
    }
    let (state, nonce, verifier) = (random()?, random()?, random()?);
    let (nonce, verifier) = (nonce.reveal(), verifier.reveal());
    let address = provider.authorization(&redirect(control), state.reveal(), nonce, verifier).await?;
    let begun = Begun {
        nonce: nonce.to_owned(),
        verifier: verifier.to_owned(),
        return_to: query.return_to,
        organization: query.organization,
    };
    let value = serde_json::to_value(begun).map_err(StoreError::from)?;
    let record = Record { key: state.hash(), value, expires_at: Some((control.now)() + PATIENCE) };
    let kept = control.database.write(move |transaction| -> Result<_, StoreError> {
        transaction.put_record(Space::SignIns, &record)
    });
    kept.await?;
    let cookie = credentials::set_cookie(BEGUN, state.reveal(), PATIENCE.as_secs());
    Ok(redirected(&address, [cookie])?)
}

/// Lets a browser in that comes back from the provider.
#[utoipa::path(get, path = "/v1/sign-in/callback", tag = "people", security(()), params(CallbackQuery), responses(
    (status = 303, description = "It has a session, and goes to where it wanted to be"),
    (status = 403, description = "Nobody is let in", body = ErrorBody),
))]
pub(super) async fn callback(
    State(control): State<Control>,
    reader: Reader,
    paced: Result<Paced, Refusal>,
    headers: HeaderMap,
    query: Result<Query<CallbackQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let let_in = match (paced, query) {
        (Ok(_), Ok(Query(query))) => finish(&control, &headers, query).await,
        (Ok(_), Err(_)) => Err(not_begun()),
        (Err(refusal), _) => Err(refusal),
    };
    let_in.unwrap_or_else(|refusal| reader.told(refusal))
}

async fn finish(control: &Control, headers: &HeaderMap, query: CallbackQuery) -> Result<Response, Refusal> {
    let provider = provider(control)?;
    let state = query.state.as_deref().filter(|state| credentials::cookie(headers, BEGUN) == Some(state));
    let (key, now) = (Token::shown(state.ok_or_else(not_begun)?).hash(), (control.now)());
    // Taken out before anything else is done with it: it serves once, whatever comes of it.
    let taken = control.database.write(move |transaction| -> Result<Option<Begun>, StoreError> {
        let Some(record) = transaction.record(Space::SignIns, &key, now)? else { return Ok(None) };
        transaction.remove_record(Space::SignIns, &key)?;
        Ok(Some(serde_json::from_value(record.value)?))
    });
    let begun = taken.await?.ok_or_else(not_begun)?;
    provider.check_issuer(query.iss.as_deref()).await?;
    let Some(code) = query.code.filter(|_| query.error.is_none()) else {
        let words = [query.error, query.error_description].into_iter().flatten().collect::<Vec<_>>();
        let title = format!("the identity provider refused it: {}", words.join(": "));
        return Err(Problem::new(ProblemCode::SignInRefused, title).into());
    };
    let claimed = provider.exchange(&code, &redirect(control), &begun.verifier, &begun.nonce).await?;
    let now = (control.now)();
    let session = let_in(control, claimed, begun.organization, "browser", move |transaction, person| {
        identity::begin_session(transaction, now, person)?.ok_or_else(no_random)
    });
    let session = session.await?;
    let cookies = [
        credentials::set_cookie(SESSION, session.reveal(), identity::SESSION_LASTS.as_secs()),
        credentials::set_cookie(BEGUN, "", 0),
    ];
    Ok(redirected(&begun.return_to, cookies)?)
}

/// Lets somebody in whom the provider let in, with what they get then; or writes down that they were refused.
pub(super) async fn let_in<T: Send + 'static>(
    control: &Control,
    claimed: Claimed,
    organization: Option<Name>,
    how: &'static str,
    work: impl FnOnce(&mut dyn Transaction, PersonIdentity) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Refusal> {
    let now = (control.now)();
    let done = control.database.write(move |transaction| -> Result<T, NotLetIn> {
        match identity::sign_in(transaction, now, &claimed, organization.as_ref(), how) {
            Ok(person) => work(transaction, person).map_err(|problem| NotLetIn::Failed(Box::new(problem))),
            Err(error) => {
                let told = identity::told_of_refusal(&claimed, &error, how);
                Err(NotLetIn::Refused(Box::new(told), error))
            }
        }
    });
    match done.await {
        Ok(done) => Ok(done),
        Err(NotLetIn::Failed(problem)) => Err((*problem).into()),
        Err(NotLetIn::Refused(_, SignInError::Store(error))) => Err(error.into()),
        Err(NotLetIn::Refused(told, error)) => {
            control.database.write(move |transaction| audit::append(transaction, now, *told)).await?;
            Err(error.into())
        }
    }
}

/// Why nobody was let in.
enum NotLetIn {
    /// They are not to be.
    Refused(Box<Told>, SignInError),
    /// What they would get cannot be made.
    Failed(Box<Problem>),
}

impl From<StoreError> for NotLetIn {
    fn from(error: StoreError) -> Self {
        Self::Failed(Box::new(error.into()))
    }
}

/// Ends the session, or takes the token back, by which this came.
#[utoipa::path(post, path = "/v1/sign-out", tag = "people", responses((status = 204, description = "It counts no more")))]
pub(super) async fn sign_out(State(control): State<Control>, caller: Caller) -> Result<Response, Refusal> {
    let Caller::Person(person) = caller.clone() else {
        return Err(Problem::new(ProblemCode::NotAllowed, "only people sign out").into());
    };
    let (who, now) = (caller.clone(), (control.now)());
    let ended = caller.write(&control, move |transaction| end(transaction, now, &who, &person));
    ended.await?;
    let cookie = credentials::set_cookie(SESSION, "", 0);
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

fn end(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    who: &Caller,
    person: &Person,
) -> Result<(), Failed> {
    match &person.evidence {
        Evidence::Session(key) => drop(transaction.remove_record(Space::Sessions, key)?),
        Evidence::Token { id, .. } => {
            drop(identity::take_back(transaction, now, Some(&person.identity), id)?);
        }
    }
    let told = Told {
        organization: who.organization().cloned(),
        principal: who.principal(),
        action: "sign_out".to_owned(),
        object: None,
        resource_version: None,
        allowed: true,
        because: Vec::new(),
        note: who.note(),
    };
    Ok(audit::append(transaction, now, told)?)
}

/// The provider, where the server has one.
pub(super) fn provider(control: &Control) -> Result<&Provider, Refusal> {
    control.provider.as_deref().ok_or_else(|| {
        Problem::new(ProblemCode::SignInRefused, "this server has no identity provider")
            .with_command("whoever runs it names one", "cove-control serve --issuer URL --client-id ID")
            .into()
    })
}

/// Where the provider sends browsers back to. It must know this address.
fn redirect(control: &Control) -> String {
    format!("{}/v1/sign-in/callback", control.address)
}

/// Whether a browser that is sent there stays at this server: `//host` and `/\host` are other hosts to it.
fn is_local(path: &str) -> bool {
    let is_plain = path.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'\\');
    path.starts_with('/') && !path.starts_with("//") && is_plain && path.len() <= LONGEST
}

fn random() -> Result<Token, Problem> {
    Token::new("").ok_or_else(no_random)
}

fn no_random<E: From<Problem>>() -> E {
    Problem::new(ProblemCode::Internal, "this computer gives no random numbers").into()
}

fn not_begun() -> Refusal {
    let title = "this sign-in was not begun in this browser, is over, or was finished before";
    Problem::new(ProblemCode::SignInRefused, title).with_hint("begin again").into()
}

fn redirected<const COOKIES: usize>(
    address: &str,
    cookies: [HeaderValue; COOKIES],
) -> Result<Response, Problem> {
    let location = HeaderValue::from_str(address).map_err(|error| {
        let title = "the identity provider's address cannot be gone to";
        Problem::new(ProblemCode::IdentityProviderUnavailable, title).caused_by(&error)
    })?;
    let headers = [(LOCATION, location), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    let mut answer = (StatusCode::SEE_OTHER, headers).into_response();
    for cookie in cookies {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_sent_to_this_server_alone() {
        for path in ["/", "/projects?x=1#y", "/a//b"] {
            assert!(is_local(path), "{path}");
        }
        for path in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "evil", "/a\r\nb", "/a b", "/é"]
        {
            assert!(!is_local(path), "{path}");
        }
    }
}
