//! Links with which the host lets a browser in as somebody: where there is no identity provider, or it is away.
//!
//! A link serves once, within a minute, and is kept as a hash like every token.

use jiff::{SignedDuration, Timestamp};

use super::{PersonIdentity, Token};
use crate::store::{Record, Space, StoreError, Transaction};

/// How long a link can be used: it goes from a terminal to the browser beside it.
const LASTS: SignedDuration = SignedDuration::from_mins(1);

/// What they begin with.
const PREFIX: &str = "cove_console_";

/// Makes one, and says until when it serves; none where the system gives no random bytes.
///
/// # Errors
/// The database failed.
pub fn link(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    user: &PersonIdentity,
) -> Result<Option<(Token, Timestamp)>, StoreError> {
    let Some(token) = Token::new(PREFIX) else { return Ok(None) };
    let expires_at = now + LASTS;
    let record =
        Record { key: token.hash(), value: serde_json::to_value(user)?, expires_at: Some(expires_at) };
    transaction.put_record(Space::ConsoleLinks, &record)?;
    Ok(Some((token, expires_at)))
}

/// Whom a link lets in. It serves no more.
///
/// # Errors
/// The database failed.
pub fn enter(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    shown: &Token,
) -> Result<Option<PersonIdentity>, StoreError> {
    let key = shown.hash();
    let Some(record) = transaction.record(Space::ConsoleLinks, &key, now)? else { return Ok(None) };
    transaction.remove_record(Space::ConsoleLinks, &key)?;
    Ok(Some(serde_json::from_value(record.value)?))
}
