//! People whose name was proved: by a personal token, or by the session of a browser.
//!
//! Tokens and sessions are kept as hashes, and say whose they are by the id of the user's resource: one who is deleted and
//! declared again under the same name gets nothing back. Whether somebody is suspended is looked up with each request.

use api::Name;
use api::control::{Kind, PersonalToken, TokenScope, UserSpec};
use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};
use serde::{Deserialize, Serialize};

use super::Token;
use crate::store::{Record, Space, StoreError, Transaction};

/// How long a browser is signed in: a day's work.
pub const SESSION_LASTS: SignedDuration = SignedDuration::from_hours(12);

/// What cookies of sessions begin with.
const SESSION: &str = "cove_session_";

/// A person of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonIdentity {
    /// The id of their user.
    pub id: String,
    /// Their organization.
    pub organization: Name,
    /// Their name.
    pub name: Name,
}

/// What proved who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// A personal token.
    Token {
        /// To take it back by.
        id: String,
        /// Whether it was got by signing in on a device, and not by another token.
        by_sign_in: bool,
    },
    /// A session, by the hash of its cookie.
    Session(String),
}

/// A person, and how it is known that they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub identity: PersonIdentity,
    /// What their token can be used for; a session leaves nothing out.
    pub scope: Option<TokenScope>,
    /// How that is known.
    pub evidence: Evidence,
    /// When that is over.
    pub expires_at: Timestamp,
}

/// What is kept of a personal token, under its hash.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct KeptToken {
    pub(super) user: PersonIdentity,
    pub(super) by_sign_in: bool,
    pub(super) about: PersonalToken,
}

/// What is kept of a session, under the hash of its cookie.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeptSession {
    user: PersonIdentity,
}

/// Whose a personal token is; nobody's if it is none, over, or taken back, or its person is suspended or gone. `true` with
/// it where that it is used was not written down within this hour: see [`used`].
///
/// # Errors
/// The database failed.
pub fn by_token(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    shown: &Token,
) -> Result<Option<(Person, bool)>, StoreError> {
    let Some(record) = transaction.record(Space::Tokens, &shown.hash(), now)? else { return Ok(None) };
    let KeptToken { user, by_sign_in, about } = serde_json::from_value(record.value)?;
    if !is_let_in(transaction, &user)? {
        return Ok(None);
    }
    let is_news = about.used_at != Some(hour(now));
    let scope = (!about.scope.is_everything()).then_some(about.scope);
    let evidence = Evidence::Token { id: about.id, by_sign_in };
    Ok(Some((Person { identity: user, scope, evidence, expires_at: about.expires_at }, is_news)))
}

/// Writes down that a token was used, to the hour. One that was taken back meanwhile stays so.
///
/// # Errors
/// The database failed.
pub fn used(transaction: &mut dyn Transaction, now: Timestamp, shown: &Token) -> Result<(), StoreError> {
    if let Some(mut record) = transaction.record(Space::Tokens, &shown.hash(), now)? {
        let mut kept: KeptToken = serde_json::from_value(record.value)?;
        kept.about.used_at = Some(hour(now));
        record.value = serde_json::to_value(kept)?;
        transaction.put_record(Space::Tokens, &record)?;
    }
    Ok(())
}

/// Begins a session; none where the system gives no random bytes.
///
/// # Errors
/// The database failed.
pub fn begin_session(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    user: PersonIdentity,
) -> Result<Option<Token>, StoreError> {
    let Some(cookie) = Token::new(SESSION) else { return Ok(None) };
    let value = serde_json::to_value(KeptSession { user })?;
    let record = Record { key: cookie.hash(), value, expires_at: Some(now + SESSION_LASTS) };
    transaction.put_record(Space::Sessions, &record)?;
    Ok(Some(cookie))
}

/// Whose a session is; nobody's as with [`by_token`].
///
/// # Errors
/// The database failed.
pub fn by_session(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    cookie: &Token,
) -> Result<Option<Person>, StoreError> {
    let key = cookie.hash();
    let Some(record) = transaction.record(Space::Sessions, &key, now)? else { return Ok(None) };
    let KeptSession { user } = serde_json::from_value(record.value)?;
    if !is_let_in(transaction, &user)? {
        return Ok(None);
    }
    let expires_at = record.expires_at.unwrap_or(now);
    Ok(Some(Person { identity: user, scope: None, evidence: Evidence::Session(key), expires_at }))
}

/// Whether this user is there still, and not suspended.
fn is_let_in(transaction: &mut dyn Transaction, user: &PersonIdentity) -> Result<bool, StoreError> {
    let Some(found) = transaction.resource_by_id(&user.id)? else { return Ok(false) };
    if found.kind != Kind::User || found.metadata.deleted_at.is_some() {
        return Ok(false);
    }
    let spec: UserSpec = serde_json::from_value(found.spec)?;
    Ok(!spec.suspended)
}

/// Nobody needs to know it closer, and so it is written once an hour.
fn hour(now: Timestamp) -> Timestamp {
    let to_the_hour = TimestampRound::new().smallest(Unit::Hour).mode(jiff::RoundMode::Trunc);
    now.round(to_the_hour).unwrap_or(now)
}
