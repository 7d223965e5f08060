//! Tokens that say in which environment a program runs: signed by the server, verified by anybody with its public keys.
//!
//! A key signs for a month. The next one is published a day before it signs, and the former stays as long as a token of it
//! can be shown: whoever keeps the keys for some hours never meets one that they do not know. A key that may have leaked is
//! rotated at once instead, and the next one signs unannounced. All replicas have the same.

use api::control::{EnvironmentSpec, WorkloadKeyRotated};
use api::{Name, Problem, ProblemCode};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::jwt;
use crate::store::{Record, Space, StoreError, Transaction};

/// Where the keys are in [`Space::Server`].
const KEYS: &str = "workload-keys";

/// How old the newest key is when the next one is made.
const ROTATED: SignedDuration = SignedDuration::from_hours(24 * 30);
/// How long a key is published before it signs.
const ANNOUNCED: SignedDuration = SignedDuration::from_hours(24);
/// How long a key stays after another one began to sign: longer than any of its tokens.
const KEPT: SignedDuration = SignedDuration::from_hours(2);

/// How long a token lasts unless something else is asked for.
const LASTS: SignedDuration = SignedDuration::from_mins(15);
/// Shortest and longest.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);
const LONGEST: SignedDuration = SignedDuration::from_hours(1);
/// Clocks differ.
const BACK: SignedDuration = SignedDuration::from_secs(60);

/// Longest audience, in characters.
const AUDIENCE: usize = 120;

/// A workload token cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// Nobody it could be for.
    #[error("`audience` is to say in one line of at most {AUDIENCE} characters who takes the token")]
    Audience,
    /// It would last too long, or hardly at all.
    #[error("a workload token lasts from a minute to an hour, in seconds")]
    Lifetime,
    /// The server's key cannot be made or used.
    #[error("the server cannot sign")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<serde_json::Error> for WorkloadError {
    fn from(error: serde_json::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<WorkloadError> for Problem {
    fn from(error: WorkloadError) -> Self {
        let code = match error {
            WorkloadError::Store(error) => return error.into(),
            WorkloadError::Audience | WorkloadError::Lifetime => ProblemCode::InvalidRequest,
            WorkloadError::Key(_) => ProblemCode::Internal,
        };
        Self::new(code, error.to_string()).caused_by(&error)
    }
}

/// The environment that a token speaks of.
#[derive(Debug, Clone, Copy)]
pub struct Workload<'a> {
    /// Its organization.
    pub organization: &'a Name,
    /// Its name.
    pub name: &'a Name,
    /// Its id.
    pub id: &'a str,
    /// All else of it.
    pub spec: &'a EnvironmentSpec,
}

/// A token that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedWorkload {
    /// What the program shows.
    pub token: String,
    /// Its own id, for the audit log.
    pub id: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Keys, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Keys(Vec<Key>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    id: String,
    /// The private key, in base64.
    pkcs8: String,
    /// The point that is public, as a JWK has it.
    x: String,
    y: String,
    made_at: Timestamp,
    /// Whether it signs from then on, and not only after it was announced.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    at_once: bool,
}

/// Signs a token for a program in an environment.
///
/// # Errors
/// It would be for nobody or last too long, or the server cannot sign.
pub fn workload_token(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    issuer: &str,
    workload: Workload<'_>,
    audience: &str,
    lifetime: Option<u64>,
) -> Result<SignedWorkload, WorkloadError> {
    let is_line = !audience.trim().is_empty() && !audience.chars().any(char::is_control);
    if !is_line || audience.chars().count() > AUDIENCE {
        return Err(WorkloadError::Audience);
    }
    let lifetime = match lifetime.map(i64::try_from) {
        None => LASTS,
        Some(Ok(seconds)) => SignedDuration::from_secs(seconds),
        Some(Err(_)) => return Err(WorkloadError::Lifetime),
    };
    if !(SHORTEST..=LONGEST).contains(&lifetime) {
        return Err(WorkloadError::Lifetime);
    }
    let (expires_at, id) = (now + lifetime, uuid::Uuid::new_v4().to_string());
    let Workload { organization, name, id: environment_id, spec } = workload;
    let within = spec.project.as_ref().map(|project| format!("/project/{project}")).unwrap_or_default();
    let claims = json!({
        "iss": issuer,
        "sub": format!("organization/{organization}{within}/environment/{name}"),
        "aud": audience,
        "iat": now.as_second(),
        "nbf": (now - BACK).as_second(),
        "exp": expires_at.as_second(),
        "jti": id,
        "organization": organization,
        "project": spec.project,
        "owner": spec.owner,
        "environment": name,
        "environment_id": environment_id,
        "runner": spec.runner,
    });
    let keys = kept_up(transaction, now)?;
    let token = keys.signing(now).ok_or_else(no_key)?.sign(&claims)?;
    Ok(SignedWorkload { token, id, expires_at })
}

/// The public keys, as whoever verifies a token reads them; nothing if one is to be made before that.
///
/// # Errors
/// The database failed.
pub fn published_keys(
    transaction: &mut dyn Transaction,
    now: Timestamp,
) -> Result<Option<Value>, WorkloadError> {
    let keys = read(transaction, now)?;
    let is_due = keys.clone().keep_up(now)?;
    Ok((!is_due).then(|| keys.published()))
}

/// The same, in a transaction that may make one.
///
/// # Errors
/// The database failed, or no key can be made.
pub fn publish_keys(transaction: &mut dyn Transaction, now: Timestamp) -> Result<Value, WorkloadError> {
    Ok(kept_up(transaction, now)?.published())
}

/// Lets a new key sign from now on. The former one is published as long as a token of it can be shown; one that was
/// announced and never signed is forgotten.
///
/// # Errors
/// The database failed, or no key can be made.
pub fn rotate_key(
    transaction: &mut dyn Transaction,
    now: Timestamp,
) -> Result<WorkloadKeyRotated, WorkloadError> {
    let mut keys = read(transaction, now)?;
    keys.keep_up(now)?;
    let id = keys.rotate(now)?;
    write(transaction, &keys)?;
    Ok(WorkloadKeyRotated { id, former_until: now + KEPT })
}

fn kept_up(transaction: &mut dyn Transaction, now: Timestamp) -> Result<Keys, WorkloadError> {
    let mut keys = read(transaction, now)?;
    if keys.keep_up(now)? {
        write(transaction, &keys)?;
    }
    Ok(keys)
}

fn write(transaction: &mut dyn Transaction, keys: &Keys) -> Result<(), WorkloadError> {
    let value = serde_json::to_value(keys)?;
    transaction.put_record(Space::Server, &Record { key: KEYS.to_owned(), value, expires_at: None })?;
    Ok(())
}

fn read(transaction: &mut dyn Transaction, now: Timestamp) -> Result<Keys, WorkloadError> {
    Ok(match transaction.record(Space::Server, KEYS, now)? {
        Some(record) => serde_json::from_value(record.value)?,
        None => Keys::default(),
    })
}

impl Keys {
    /// Makes a key if one is due, and lets go of those of which no token counts any more. Whether anything changed.
    fn keep_up(&mut self, now: Timestamp) -> Result<bool, WorkloadError> {
        let before = self.0.len();
        let is_due = self.0.last().is_none_or(|newest| newest.made_at + ROTATED <= now);
        if is_due {
            self.0.push(Key::new(now, false)?);
        }
        while self.0.get(1).is_some_and(|next| next.signs_at() + KEPT <= now) {
            self.0.remove(0);
        }
        Ok(is_due || self.0.len() != before)
    }

    /// Lets a new key sign at once, and says which it is.
    fn rotate(&mut self, now: Timestamp) -> Result<String, WorkloadError> {
        let signing = self.signing(now).map(|key| key.id.clone());
        let key = Key::new(now, true)?;
        let id = key.id.clone();
        self.0.retain(|key| key.signs_at() <= now || Some(&key.id) == signing.as_ref());
        self.0.push(key);
        Ok(id)
    }

    /// The newest that everybody can know of, or that is not to wait for that; the first one signs at once.
    fn signing(&self, now: Timestamp) -> Option<&Key> {
        let known = self.0.iter().rev().find(|key| key.signs_at() <= now);
        known.or_else(|| self.0.first())
    }

    fn published(&self) -> Value {
        let key = |Key { id, x, y, .. }: &Key| json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": id, "x": x, "y": y });
        json!({ "keys": self.0.iter().map(key).collect::<Vec<_>>() })
    }
}

impl Key {
    fn new(now: Timestamp, at_once: bool) -> Result<Self, WorkloadError> {
        let pair = KeyPair::generate().map_err(|error| WorkloadError::Key(Box::new(error)))?;
        // An uncompressed point: a byte that says so, and two numbers of 32.
        let (x, y) = pair.der_bytes().get(1..65).ok_or_else(no_key)?.split_at(32);
        Ok(Self {
            id: uuid::Uuid::new_v4().to_string(),
            pkcs8: STANDARD.encode(pair.serialize_der()),
            x: URL_SAFE_NO_PAD.encode(x),
            y: URL_SAFE_NO_PAD.encode(y),
            made_at: now,
            at_once,
        })
    }

    fn signs_at(&self) -> Timestamp {
        if self.at_once { self.made_at } else { self.made_at + ANNOUNCED }
    }

    fn sign(&self, claims: &Value) -> Result<String, WorkloadError> {
        let key = STANDARD.decode(&self.pkcs8).map_err(|error| WorkloadError::Key(Box::new(error)))?;
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::ES256) };
        jwt::encode(&header, claims, &EncodingKey::from_ec_der(&key))
            .map_err(|error| WorkloadError::Key(Box::new(error)))
    }
}

fn no_key() -> WorkloadError {
    WorkloadError::Key("it has no key of the kind that it makes".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_before_it_signs_and_as_long_as_its_tokens_count() {
        let begun = Timestamp::UNIX_EPOCH;
        let mut keys = Keys::default();
        assert!(keys.keep_up(begun).unwrap());
        let (mut published, mut signed_with) = (Vec::new(), Vec::new());
        for hour in 0..24 * 100 {
            let now = begun + SignedDuration::from_hours(hour);
            keys.keep_up(now).unwrap();
            published.push(keys.0.iter().map(|key| key.id.clone()).collect::<Vec<_>>());
            signed_with.push(keys.signing(now).unwrap().id.clone());
        }
        assert_eq!(signed_with.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "one a month");
        for (hour, key) in signed_with.iter().enumerate() {
            // Whoever read the keys hours ago, or reads them when the token ends.
            let (before, after) = (hour.saturating_sub(20), (hour + 1).min(published.len() - 1));
            assert!(published[before].contains(key) || before == 0, "hour {hour}");
            assert!(published[after].contains(key), "hour {hour}");
            assert!(published[hour].len() <= 2, "hour {hour}");
        }
        assert!(!keys.keep_up(begun + SignedDuration::from_hours(24 * 100)).unwrap(), "nothing is due");
    }

    #[test]
    fn a_key_that_is_rotated_signs_no_more_and_is_known_as_long_as_its_tokens_count() {
        let begun = Timestamp::UNIX_EPOCH;
        // On the first day, on some other, and while the next one is announced.
        for hours in [0, 1, 24 * 10, 24 * 30 + 1, 24 * 31 + 1] {
            let mut keys = Keys::default();
            for hour in 0..=hours {
                keys.keep_up(begun + SignedDuration::from_hours(hour)).unwrap();
            }
            let rotated_at = begun + SignedDuration::from_hours(hours);
            let former = keys.signing(rotated_at).unwrap().id.clone();
            let key = keys.rotate(rotated_at).unwrap();
            assert_ne!(key, former);
            for minutes in 0..24 * 60 * 29 / 10 {
                let now = rotated_at + SignedDuration::from_mins(10 * minutes);
                keys.keep_up(now).unwrap();
                assert_eq!(keys.signing(now).unwrap().id, key, "hour {hours}, minute {}", 10 * minutes);
                let is_published = |id: &str| keys.0.iter().any(|key| key.id == id);
                assert!(is_published(&key));
                let counts = now < rotated_at + KEPT;
                assert_eq!(is_published(&former), counts, "hour {hours}, minute {}", 10 * minutes);
                assert!(keys.0.len() <= if hours < 24 * 31 { 2 } else { 3 });
            }
        }
    }
}
