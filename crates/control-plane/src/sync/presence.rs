//! Which runners are there. A status is written as one comes or has been away for some time, and not for each sign of life.

use api::Name;
use api::control::{Kind, RunnerPhase, RunnerStatus};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::identity::RunnerIdentity;
use crate::resources::{self, ResourceError};
use crate::store::{Record, Space, StoreError, Transaction};

/// How long a connection may be lost before its runner is away: networks change, servers are updated.
const GRACE: SignedDuration = SignedDuration::from_mins(2);

/// After how long without a word a process of this server is taken for dead. It says something every 30 seconds.
const DEAD: SignedDuration = SignedDuration::from_secs(95);

/// The connection that a runner has.
#[derive(Debug, Serialize, Deserialize)]
struct Connected {
    /// Which one.
    connection: String,
    /// At which process.
    replica: String,
}

/// A runner that was not heard of since.
#[derive(Debug, Serialize, Deserialize)]
struct Left {
    organization: Name,
    runner: Name,
    at: Timestamp,
}

/// A runner is there, by a connection whose name begins with its process's.
pub(crate) fn came(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    who: &RunnerIdentity,
    connection: &str,
) -> Result<(), ResourceError> {
    let key = key_of(&who.organization, &who.name);
    let replica = connection.split('/').next().unwrap_or_default().to_owned();
    let value = json(&Connected { connection: connection.to_owned(), replica })?;
    transaction.put_record(Space::Connections, &Record { key: key.clone(), value, expires_at: None })?;
    transaction.remove_record(Space::Leaving, &key)?;
    turn_to(transaction, now, (&who.organization, &who.name), RunnerPhase::Active, now)
}

/// A connection ended. If the runner has no other one, it is away in some time.
pub(crate) fn went(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    who: &RunnerIdentity,
    connection: &str,
) -> Result<(), StoreError> {
    let known = transaction.record(Space::Connections, &key_of(&who.organization, &who.name), now)?;
    let known: Option<Connected> = known.map(|record| serde_json::from_value(record.value)).transpose()?;
    if known.is_some_and(|known| known.connection == connection) {
        left(transaction, now, &who.organization, &who.name)?;
    }
    Ok(())
}

/// A runner has no connection; unless one comes, it is away in some time.
pub(crate) fn left(
    transaction: &mut dyn Transaction,
    at: Timestamp,
    organization: &Name,
    runner: &Name,
) -> Result<(), StoreError> {
    let left = Left { organization: organization.clone(), runner: runner.clone(), at };
    let record = Record { key: key_of(organization, runner), value: json(&left)?, expires_at: None };
    transaction.put_record(Space::Leaving, &record)
}

/// Says that this process is there, and writes down who is away.
pub(crate) fn sweep(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    replica: &str,
) -> Result<(), ResourceError> {
    let record = Record { key: replica.to_owned(), value: json!(now), expires_at: None };
    transaction.put_record(Space::Replicas, &record)?;
    for record in transaction.records(Space::Replicas, now)? {
        let seen: Timestamp = serde_json::from_value(record.value).map_err(StoreError::from)?;
        if now - DEAD > seen {
            orphaned(transaction, now, &record.key, seen)?;
            transaction.remove_record(Space::Replicas, &record.key)?;
        }
    }
    for record in transaction.records(Space::Leaving, now)? {
        let left: Left = serde_json::from_value(record.value).map_err(StoreError::from)?;
        if now - GRACE >= left.at {
            transaction.remove_record(Space::Leaving, &record.key)?;
            transaction.remove_record(Space::Connections, &record.key)?;
            turn_to(transaction, now, (&left.organization, &left.runner), RunnerPhase::Away, left.at)?;
        }
    }
    Ok(())
}

/// A process ended without saying so: those who were connected there have been away since, unless they come elsewhere.
fn orphaned(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    replica: &str,
    seen: Timestamp,
) -> Result<(), StoreError> {
    for record in transaction.records(Space::Connections, now)? {
        let known: Connected = serde_json::from_value(record.value)?;
        if known.replica == replica
            && transaction.record(Space::Leaving, &record.key, now)?.is_none()
            && let Some((organization, runner)) = record.key.split_once('/')
            && let (Ok(organization), Ok(runner)) = (Name::parse(organization), Name::parse(runner))
        {
            left(transaction, seen, &organization, &runner)?;
        }
    }
    Ok(())
}

/// Writes the phase of a runner where it is another than before. One whose certificate was taken back stays that.
fn turn_to(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    (organization, runner): (&Name, &Name),
    phase: RunnerPhase,
    heard: Timestamp,
) -> Result<(), ResourceError> {
    let Some(document) = transaction.resource(Kind::Runner, organization, runner)? else { return Ok(()) };
    let mut status: RunnerStatus = serde_json::from_value(document.status).map_err(StoreError::from)?;
    let turns = match phase {
        RunnerPhase::Away => status.phase == RunnerPhase::Active,
        _ => status.phase != phase || status.last_heard_at.is_none(),
    };
    if turns {
        status.phase = phase;
        status.last_heard_at = Some(heard);
        let status = json(&status)?;
        resources::report(transaction, now, Kind::Runner, organization, runner, status)?;
    }
    Ok(())
}

fn key_of(organization: &Name, runner: &Name) -> String {
    format!("{organization}/{runner}")
}

fn json(value: &impl Serialize) -> Result<serde_json::Value, StoreError> {
    Ok(serde_json::to_value(value)?)
}
