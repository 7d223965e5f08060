//! People sign in where there is no browser: a device shows a code, and the person types it into a browser anywhere.
//!
//! The device speaks with this server alone, which is the provider's client and keeps what the provider asks of it.

use api::control::{DeviceAnswer, DeviceCode, DevicePoll, DeviceRequest};
use api::{Name, Problem, ProblemCode};
use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Control;
use super::answer::{Body, Refusal, SMALL};
use super::pace::Paced;
use super::sign_in::{PATIENCE, let_in, provider};
use crate::identity::{self, DeviceProgress, Token};
use crate::store::{Record, Space, StoreError, Transaction};

/// What a device asks with.
const PREFIX: &str = "cove_device_";

/// How long a token lasts that somebody gets by signing in on a device.
const LOGIN_LASTS: SignedDuration = SignedDuration::from_hours(24 * 30);

/// How much slower a device asks each time that the provider finds it too fast, in seconds.
const SLOWER: u64 = 5;

/// Longest and shortest time between questions, in seconds, whatever a provider says.
const INTERVALS: std::ops::RangeInclusive<u64> = 1..=60;

/// Longest title of a token, in characters, as devices call themselves.
const TITLE: usize = 80;

/// What is kept of a sign-in that a device began, under the hash of what it asks with.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    device_code: String,
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    organization: Option<Name>,
    interval: u64,
    /// The provider is not asked before that.
    not_before: Timestamp,
}

/// Begins. Needs nobody to be signed in.
#[utoipa::path(post, path = "/v1/device", tag = "people", security(()), request_body = DeviceRequest,
    responses((status = 200, body = DeviceCode)))]
pub(super) async fn begin(
    State(control): State<Control>,
    _paced: Paced,
    Body(asked): Body<DeviceRequest, SMALL>,
) -> Result<Json<DeviceCode>, Refusal> {
    let grant = provider(&control)?.device().await?;
    let device = Token::new(PREFIX).ok_or_else(no_random)?;
    let now = (control.now)();
    let lasts = SignedDuration::from_secs(i64::try_from(grant.expires_in).unwrap_or(0)).min(PATIENCE);
    let (expires_at, interval) = (now + lasts, grant.interval.clamp(*INTERVALS.start(), *INTERVALS.end()));
    let title = asked.title.as_deref().unwrap_or("a device");
    let begun = Begun {
        device_code: grant.device_code,
        title: title.chars().filter(|c| !c.is_control()).take(TITLE).collect(),
        organization: asked.organization,
        interval,
        not_before: now,
    };
    let record = record(&device.hash(), &begun, expires_at)?;
    let kept = control.database.write(move |transaction| -> Result<_, StoreError> {
        transaction.put_record(Space::SignIns, &record)
    });
    kept.await?;
    Ok(Json(DeviceCode {
        device: device.reveal().to_owned(),
        user_code: grant.user_code,
        verification_uri: grant.verification_uri,
        verification_uri_complete: grant.verification_uri_complete,
        expires_at,
        interval,
    }))
}

/// Says whether the person has signed in, and gives the device its token then.
#[utoipa::path(post, path = "/v1/device/poll", tag = "people", security(()), request_body = DevicePoll,
    responses((status = 200, body = DeviceAnswer)))]
pub(super) async fn poll(
    State(control): State<Control>,
    _paced: Paced,
    Body(asked): Body<DevicePoll, SMALL>,
) -> Result<Json<DeviceAnswer>, Refusal> {
    let key = Token::shown(&asked.device).hash();
    let turn = turn(&control, key.clone(), 0).await?.ok_or_else(over)?;
    let Turn::Now(begun) = turn else {
        let Turn::Later(interval) = turn else { unreachable!("there are two") };
        return Ok(Json(DeviceAnswer::Pending { interval }));
    };
    let claimed = match provider(&control)?.device_progress(&begun.device_code).await {
        Ok(DeviceProgress::Pending) => {
            return Ok(Json(DeviceAnswer::Pending { interval: begun.interval }));
        }
        Ok(DeviceProgress::SlowDown) => {
            let interval = (begun.interval + SLOWER).min(*INTERVALS.end());
            self::turn(&control, key, interval).await?;
            return Ok(Json(DeviceAnswer::Pending { interval }));
        }
        Ok(DeviceProgress::SignedIn(claimed)) => claimed,
        Err(error) => {
            let problem = Problem::from(error);
            // One that is away may answer the next time.
            if problem.code == ProblemCode::SignInRefused {
                forget(&control, key).await?;
            }
            return Err(problem.into());
        }
    };
    let (now, title, by_device) = ((control.now)(), begun.title, key.clone());
    let made = let_in(&control, claimed, begun.organization, "device", move |transaction, person| {
        if !transaction.remove_record(Space::SignIns, &by_device)? {
            return Err(over_problem());
        }
        let made = identity::token_of_sign_in(transaction, now, &person, title, LOGIN_LASTS)?;
        Ok(DeviceAnswer::SignedIn { organization: person.organization, made: Box::new(made) })
    });
    match made.await {
        Ok(made) => Ok(Json(made)),
        Err(refusal) => {
            // The provider gives its answer once.
            forget(&control, key).await?;
            Err(refusal)
        }
    }
}

/// Whose turn it is.
enum Turn {
    /// The provider may be asked.
    Now(Begun),
    /// It was asked just now, and is to be asked again after so many seconds.
    Later(u64),
}

/// Takes the turn to ask the provider, or changes how often that is.
async fn turn(control: &Control, key: String, slower: u64) -> Result<Option<Turn>, StoreError> {
    let now = (control.now)();
    let work = move |transaction: &mut dyn Transaction| -> Result<Option<Turn>, StoreError> {
        let Some(Record { value, expires_at, .. }) = transaction.record(Space::SignIns, &key, now)? else {
            return Ok(None);
        };
        let mut begun: Begun = serde_json::from_value(value)?;
        if slower == 0 && now < begun.not_before {
            return Ok(Some(Turn::Later(begun.interval)));
        }
        begun.interval = begun.interval.max(slower);
        let interval = i64::try_from(begun.interval).unwrap_or(i64::MAX);
        // Half a second less: a device that waits as it was told is not late for its own turn.
        begun.not_before = now + SignedDuration::from_secs(interval) - SignedDuration::from_millis(500);
        transaction.put_record(Space::SignIns, &record(&key, &begun, expires_at.unwrap_or(now))?)?;
        Ok(Some(Turn::Now(begun)))
    };
    control.database.write(work).await
}

async fn forget(control: &Control, key: String) -> Result<(), StoreError> {
    let forgotten = control.database.write(move |transaction| -> Result<bool, StoreError> {
        transaction.remove_record(Space::SignIns, &key)
    });
    forgotten.await.map(drop)
}

fn record(key: &str, begun: &Begun, expires_at: Timestamp) -> Result<Record, StoreError> {
    let value = serde_json::to_value(begun)?;
    Ok(Record { key: key.to_owned(), value, expires_at: Some(expires_at) })
}

fn no_random() -> Problem {
    Problem::new(ProblemCode::Internal, "this computer gives no random numbers")
}

fn over() -> Refusal {
    over_problem().into()
}

fn over_problem() -> Problem {
    let title = "this sign-in is over, or was finished before";
    Problem::new(ProblemCode::SignInRefused, title)
        .with_command("begin again", "cove-control login https://SERVER")
}
