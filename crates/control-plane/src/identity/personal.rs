//! Personal tokens: what programs of a person send. Told once, kept as hashes.

use api::control::{PersonalToken, PersonalTokenRequest, TokenMade};
use api::{Problem, ProblemCode};
use jiff::{SignedDuration, Timestamp};

use super::person::KeptToken;
use super::{Evidence, Person, PersonIdentity, Token};
use crate::store::{Record, Space, StoreError, Transaction};

/// What these begin with.
const PREFIX: &str = "cove_pat_";

/// Longest life.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 366);

/// Shortest life: less is a mistake in the unit.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);

/// Longest title, in characters.
const TITLE: usize = 100;

/// Most tokens of one person.
const MOST: usize = 100;

/// A token cannot be made or taken back.
#[derive(Debug, thiserror::Error)]
pub enum PersonalTokenError {
    /// Its title is empty, too long or not a line of text.
    #[error("`title` is to say in one line of at most {TITLE} characters what the token is for")]
    Title,
    /// It would last too long, or hardly at all.
    #[error("a token lasts from a minute to a year, in seconds")]
    Lifetime,
    /// A token asks for what it may not do itself.
    #[error("a token makes none that can be used for more than itself")]
    Wider,
    /// A token that programs have asks for one that outlives it.
    #[error("a token that was not got by signing in makes none that outlives it")]
    Outlives,
    /// They have too many.
    #[error("one person has at most {MOST} tokens")]
    TooMany,
    /// There is none with this id, or it is not theirs: which of them is nobody's business.
    #[error("you have no token `{0}`")]
    NotFound(String),
    /// No random bytes.
    #[error("this computer gives no random numbers")]
    Random,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<serde_json::Error> for PersonalTokenError {
    fn from(error: serde_json::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<PersonalTokenError> for Problem {
    fn from(error: PersonalTokenError) -> Self {
        use PersonalTokenError::{Lifetime, NotFound, Outlives, Random, Store, Title, TooMany, Wider};
        let code = match error {
            Store(error) => return error.into(),
            Title | Lifetime => ProblemCode::InvalidRequest,
            Wider | Outlives => ProblemCode::NotAllowed,
            TooMany => ProblemCode::Conflict,
            NotFound(_) => ProblemCode::ResourceNotFound,
            Random => ProblemCode::Internal,
        };
        let problem = Self::new(code, error.to_string());
        match error {
            Outlives => problem.with_hint("give a shorter lifetime, or sign in and make it then"),
            TooMany => problem.with_command("take some back", "cove-control token ls"),
            NotFound(_) => problem.with_command("those that there are", "cove-control token ls"),
            _ => problem,
        }
    }
}

/// Makes a token for whoever asks.
///
/// # Errors
/// It would not be one that they can have.
pub fn make_token(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    person: &Person,
    asked: PersonalTokenRequest,
) -> Result<TokenMade, PersonalTokenError> {
    if person.scope.as_ref().is_some_and(|scope| !asked.scope.is_within(scope)) {
        return Err(PersonalTokenError::Wider);
    }
    let lifetime = lifetime_of(&asked)?;
    let is_programs = matches!(person.evidence, Evidence::Token { by_sign_in: false, .. });
    if is_programs && now + lifetime > person.expires_at {
        return Err(PersonalTokenError::Outlives);
    }
    keep(transaction, now, &person.identity, (asked, lifetime), false)
}

/// Makes a token for somebody, asked by who may do everything.
///
/// # Errors
/// It would not be one that they can have.
pub fn make_token_for(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    user: &PersonIdentity,
    asked: PersonalTokenRequest,
) -> Result<TokenMade, PersonalTokenError> {
    let lifetime = lifetime_of(&asked)?;
    keep(transaction, now, user, (asked, lifetime), false)
}

/// Makes the token of somebody who signed in on a device.
///
/// # Errors
/// They have too many.
pub fn token_of_sign_in(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    user: &PersonIdentity,
    title: String,
    lifetime: SignedDuration,
) -> Result<TokenMade, PersonalTokenError> {
    let asked = PersonalTokenRequest { title, scope: api::control::TokenScope::default(), lifetime: 0 };
    keep(transaction, now, user, (asked, lifetime), true)
}

fn lifetime_of(asked: &PersonalTokenRequest) -> Result<SignedDuration, PersonalTokenError> {
    let seconds = i64::try_from(asked.lifetime).map_err(|_| PersonalTokenError::Lifetime)?;
    let lifetime = SignedDuration::from_secs(seconds);
    if (SHORTEST..=LONGEST).contains(&lifetime) { Ok(lifetime) } else { Err(PersonalTokenError::Lifetime) }
}

fn keep(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    user: &PersonIdentity,
    (asked, lifetime): (PersonalTokenRequest, SignedDuration),
    by_sign_in: bool,
) -> Result<TokenMade, PersonalTokenError> {
    let title = asked.title.trim();
    if title.is_empty() || title.chars().count() > TITLE || title.chars().any(char::is_control) {
        return Err(PersonalTokenError::Title);
    }
    let theirs = all(transaction, now)?.into_iter().filter(|(_, kept)| kept.user.id == user.id);
    if theirs.count() >= MOST {
        return Err(PersonalTokenError::TooMany);
    }
    let token = Token::new(PREFIX).ok_or(PersonalTokenError::Random)?;
    let expires_at = now + lifetime;
    let about = PersonalToken {
        id: uuid::Uuid::new_v4().to_string(),
        user: user.name.clone(),
        title: title.to_owned(),
        scope: asked.scope,
        created_at: now,
        expires_at,
        used_at: None,
    };
    let value = serde_json::to_value(KeptToken { user: user.clone(), by_sign_in, about: about.clone() })?;
    transaction
        .put_record(Space::Tokens, &Record { key: token.hash(), value, expires_at: Some(expires_at) })?;
    Ok(TokenMade { token: token.reveal().to_owned(), about })
}

/// The tokens of a person, or of everybody, the newest last.
///
/// # Errors
/// The database failed.
pub fn tokens(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    user: Option<&PersonIdentity>,
) -> Result<Vec<PersonalToken>, StoreError> {
    let mut found: Vec<_> = all(transaction, now)?
        .into_iter()
        .filter(|(_, kept)| user.is_none_or(|user| user.id == kept.user.id))
        .map(|(_, kept)| kept.about)
        .collect();
    found.sort_by(|one, other| one.created_at.cmp(&other.created_at).then_with(|| one.id.cmp(&other.id)));
    Ok(found)
}

/// Takes a token back: one of this person, or of anybody. Whose it was.
///
/// # Errors
/// There is none.
pub fn take_back(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    user: Option<&PersonIdentity>,
    id: &str,
) -> Result<PersonIdentity, PersonalTokenError> {
    let found = all(transaction, now)?
        .into_iter()
        .find(|(_, kept)| kept.about.id == id && user.is_none_or(|user| user.id == kept.user.id));
    let (key, kept) = found.ok_or_else(|| PersonalTokenError::NotFound(id.to_owned()))?;
    transaction.remove_record(Space::Tokens, &key)?;
    Ok(kept.user)
}

fn all(transaction: &mut dyn Transaction, now: Timestamp) -> Result<Vec<(String, KeptToken)>, StoreError> {
    let kept = |record: Record| Ok((record.key, serde_json::from_value(record.value)?));
    transaction.records(Space::Tokens, now)?.into_iter().map(kept).collect()
}
