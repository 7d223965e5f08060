//! Environments that nobody used for as long as a policy lets them be.

use std::collections::{BTreeMap, BTreeSet};

use api::control::{
    Document, EnvironmentSpec, EnvironmentStatus, Kind, Limits, PolicySpec, Resource, RunnerPhase,
    RunnerStatus,
};
use api::{DesiredPhase, Name};
use jiff::{SignedDuration, Timestamp};

use crate::authz;
use crate::store::{Listing, StoreError, Transaction};

/// How long a runner must be there before what it says of its environments counts: one that was away for a month has to tell
/// first that they were used all the time.
const SETTLED: SignedDuration = SignedDuration::from_mins(5);

/// An environment that is to go, and the policies that say so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// Where it lies.
    pub organization: Name,
    /// Its name.
    pub name: Name,
    /// The policies.
    pub policies: BTreeSet<Name>,
}

/// The environments that nobody used for as long as a policy lets them be, by what their runners say: only where the runner
/// has been there for a while, and only where it says that everything in them is saved elsewhere.
///
/// # Errors
/// The database cannot be read.
pub fn unused(transaction: &mut dyn Transaction, now: Timestamp) -> Result<Vec<Unused>, StoreError> {
    let every = Listing { kind: Kind::Policy, organization: None, after: None, most: u32::MAX };
    let mut policies: BTreeMap<Name, Vec<(Name, PolicySpec)>> = BTreeMap::new();
    for Document { metadata, spec, .. } in transaction.resources(&every)? {
        policies
            .entry(metadata.organization)
            .or_default()
            .push((metadata.name, serde_json::from_value(spec)?));
    }
    policies.retain(|_, policies| policies.iter().any(|(_, policy)| policy.delete_after.is_some()));
    let mut found = Vec::new();
    for (organization, policies) in policies {
        let here = settled(transaction, now, &organization)?;
        let mut limits: BTreeMap<Option<Name>, Limits> = BTreeMap::new();
        for environment in all_environments(transaction, &organization)? {
            let project = environment.spec.project.clone();
            let limits = limits.entry(project).or_insert_with_key(|project| {
                authz::narrowest(policies.iter().map(|(name, policy)| (name, policy)), project.as_ref())
            });
            if let Some(policies) = lets_go(limits, now, &environment, &here) {
                let (organization, name) = (organization.clone(), environment.metadata.name);
                found.push(Unused { organization, name, policies });
            }
        }
    }
    Ok(found)
}

type Environment = Resource<EnvironmentSpec, EnvironmentStatus>;

fn all_environments(
    transaction: &mut dyn Transaction,
    organization: &Name,
) -> Result<Vec<Environment>, StoreError> {
    let documents = transaction.resources(&Listing::of(Kind::Environment, organization))?;
    Ok(documents.into_iter().map(Document::typed).collect::<Result<_, _>>()?)
}

/// The runners that have been there for a while.
fn settled(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    organization: &Name,
) -> Result<BTreeSet<Name>, StoreError> {
    let mut settled = BTreeSet::new();
    for document in transaction.resources(&Listing::of(Kind::Runner, organization))? {
        let status: RunnerStatus = serde_json::from_value(document.status)?;
        let is_settled = status.last_heard_at.is_some_and(|came| now.duration_since(came) >= SETTLED);
        if status.phase == RunnerPhase::Active && is_settled {
            settled.insert(document.metadata.name);
        }
    }
    Ok(settled)
}

/// The policies by which an environment is to go now.
fn lets_go(
    limits: &Limits,
    now: Timestamp,
    environment: &Environment,
    here: &BTreeSet<Name>,
) -> Option<BTreeSet<Name>> {
    let bound = limits.delete_after.as_ref()?;
    let Resource { metadata, spec, status } = environment;
    let is_there = spec.desired_phase != DesiredPhase::Deleted && metadata.deleted_at.is_none();
    let is_known = status.runner.as_ref() == Some(&spec.runner) && here.contains(&spec.runner);
    let is_saved = status.unsaved == Some(0) && status.conflicts.is_empty();
    // A clock that is wrong says at the worst that it was never used.
    let last = status.used_at.unwrap_or(metadata.created_at).max(metadata.created_at);
    let most = SignedDuration::from_secs(i64::try_from(bound.value).unwrap_or(i64::MAX));
    let is_over = now.duration_since(last) >= most;
    (is_there && is_known && is_saved && is_over).then(|| bound.policies.clone())
}
