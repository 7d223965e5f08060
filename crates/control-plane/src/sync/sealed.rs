//! What policies and secrets come to for one environment, as its runner is told.

use std::collections::BTreeSet;

use api::Name;
use api::control::{EnvironmentSpec, Kind, SecretSpec};
use serde::Deserialize as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sync::{Key, RunnerId, Scope, Sealed};

use crate::identity::hex;
use crate::resources;
use crate::store::{Listing, StoreError, Transaction};

/// The secrets that count for an environment and that its runner can open: of several with one use those of its person,
/// then those of its project.
pub(super) fn secrets_of(
    transaction: &mut dyn Transaction,
    organization: &Name,
    key: &Key,
) -> Result<Vec<Sealed>, StoreError> {
    let found = transaction.resource_by_id(key.as_str())?;
    let is_it = |document: &api::control::Document| {
        document.kind == Kind::Environment && document.metadata.organization == *organization
    };
    let Some(environment) = found.filter(is_it) else { return Ok(Vec::new()) };
    let environment = EnvironmentSpec::deserialize(&environment.spec)?;
    if !resources::is_credible(transaction, organization, &environment)? {
        return Ok(Vec::new());
    }
    let mut secrets = Vec::new();
    for secret in transaction.resources(&Listing::of(Kind::Secret, organization))? {
        secrets.push((secret.metadata.name, SecretSpec::deserialize(&secret.spec)?));
    }
    let counting = resources::secrets_for(&environment, secrets.iter().map(|(name, spec)| (name, spec)));
    let sealed = counting.into_values().filter_map(|(name, spec)| {
        let one = spec.sealed.iter().find(|sealed| sealed.runner == environment.runner)?;
        let sealed = json!({ "used_as": spec.used_as, "session": spec.session, "recipient": one.recipient,
            "value": one.value });
        Some(Sealed {
            name: name.to_string(),
            scope: Scope::Document { key: key.clone() },
            recipients: BTreeSet::from([runner_id(&environment.runner)]),
            sealed: sealed.to_string(),
        })
    });
    Ok(sealed.collect())
}

/// Tells whether secrets are others than before.
pub(super) fn mark_of(secrets: &[Sealed]) -> String {
    if secrets.is_empty() {
        return String::new();
    }
    let json = serde_json::to_vec(secrets).expect("they are plain data that JSON can hold");
    hex(&Sha256::digest(json))
}

/// A runner as sync knows it: by its name.
pub(super) fn runner_id(name: &Name) -> RunnerId {
    RunnerId::parse(name.as_str()).expect("each name of ours is one of sync's")
}
