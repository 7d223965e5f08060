//! Environments as both sides of sync have them: what they say becomes the resource.

use api::control::{
    Difference, DifferenceKind, Document, EnvironmentSpec, EnvironmentStatus, ExecutionSpec, Kind, Metadata,
};
use api::{Name, Problem, ProblemCode, Session};
use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::Value;

use super::{
    Applied, RUNNER_FINALIZER, ResourceError, announce, changed_fields, check, recount_secrets, secrets,
    store, vanish,
};
use crate::store::{Listing, StoreError, Transaction};

/// Most executions that are kept of an environment.
const EXECUTIONS: usize = 20;

/// How an environment is to be.
pub struct Mirrored {
    /// Its id.
    pub id: String,
    /// Its organization.
    pub organization: Name,
    /// Its name and spec; absent where what is shared of it is no environment: what was there before stays.
    pub spec: Option<(Name, EnvironmentSpec)>,
    /// What its runner reported, and what is in dispute. The generation in it is filled in.
    pub status: EnvironmentStatus,
    /// Whether the runner has all that is wanted.
    pub observed: bool,
    /// Whether it is on its way out.
    pub is_deleted: bool,
}

/// Makes, or changes, an environment as it is shared. What it refers to need not be there: a runner is not kept from
/// telling what it has, and its environment says what is wrong with it.
///
/// # Errors
/// The database failed, or it is larger than a resource may be. Nothing was written then.
pub fn mirror(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    wanted: Mirrored,
) -> Result<Option<Applied>, ResourceError> {
    let present = transaction.resource_by_id(&wanted.id)?;
    let (mut status, observed) = (wanted.status, wanted.observed);
    let (name, spec) = match (wanted.spec, &present) {
        (Some((name, spec)), _) => {
            let spec = serde_json::to_value(spec).map_err(StoreError::from)?;
            let referred =
                check::references(transaction, &wanted.organization, Kind::Environment, &name, &spec);
            match referred {
                Ok(()) => {}
                Err(ResourceError::Store(error)) => return Err(error.into()),
                Err(wrong) => status.problem = Some(wrong.into()),
            }
            (name, spec)
        }
        (None, Some(present)) => {
            let title = "what its runner says of this environment cannot be read";
            let problem = Problem::new(ProblemCode::ResourceInvalid, title);
            status.problem =
                Some(problem.with_hint("update the older one of the control plane and the runner"));
            (present.metadata.name.clone(), present.spec.clone())
        }
        (None, None) => return Ok(None),
    };
    let is_new = present.is_none();
    let mut document = present.unwrap_or_else(|| new(&wanted.id, wanted.organization, &name, now));
    let before = document.clone();
    document.metadata.name = name;
    if document.spec != spec {
        document.metadata.generation += 1;
        document.spec = spec;
    }
    document.metadata.deleted_at = match document.metadata.deleted_at {
        Some(since) if wanted.is_deleted => Some(since),
        _ => wanted.is_deleted.then_some(now),
    };
    status.observed_generation = if observed {
        document.metadata.generation
    } else {
        let former = EnvironmentStatus::deserialize(&before.status).unwrap_or_default();
        former.observed_generation
    };
    document.status = serde_json::to_value(status).map_err(StoreError::from)?;
    if !is_new && document == before {
        let difference = Difference { kind: DifferenceKind::Same, fields: [].into() };
        return Ok(Some(Applied { document, difference }));
    }
    store(transaction, now, &mut document)?;
    if document.metadata.name != before.metadata.name {
        rename(transaction, now, &before, &document.metadata.name)?;
    }
    let kind = if is_new { DifferenceKind::Create } else { DifferenceKind::Update };
    let fields = changed_fields((!is_new).then_some(&before.spec), &document.spec);
    if secrets::moves(&fields) || document.metadata.deleted_at != before.metadata.deleted_at {
        recount_secrets(transaction, now, &document.metadata.organization)?;
    }
    Ok(Some(Applied { document, difference: Difference { kind, fields } }))
}

/// Takes an environment away that nobody has any more, with its executions.
///
/// # Errors
/// The database failed.
pub fn unmirror(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    document: &Document,
) -> Result<(), ResourceError> {
    for execution in executions(transaction, document)? {
        vanish(transaction, &execution)?;
    }
    vanish(transaction, document)?;
    recount_secrets(transaction, now, &document.metadata.organization)
}

/// A name for an environment that is free, as like the one that is wanted as can be.
///
/// # Errors
/// The database failed.
pub fn free_name(
    transaction: &mut dyn Transaction,
    organization: &Name,
    id: &str,
    wanted: &Name,
) -> Result<Name, StoreError> {
    let (mut name, mut number) = (wanted.clone(), 1);
    while let Some(other) = transaction.resource(Kind::Environment, organization, &name)?
        && other.metadata.id != id
    {
        number += 1;
        name = wanted.numbered(number);
    }
    Ok(name)
}

/// The name of an execution: that of its environment first, so that those of one are beside each other.
pub fn execution_name(environment: &Name, automation: &str, session: &str) -> Name {
    use sha2::{Digest as _, Sha256};
    let mark = crate::identity::hex(&Sha256::digest(format!("{environment} {automation} {session}")));
    let short = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    let automation = Name::from_text(automation);
    let text =
        format!("{}-{}-{}", short(environment.as_str(), PREFIX), short(automation.as_str(), 16), &mark[..6]);
    Name::from_text(&text)
}

/// The execution of a run, if somebody asked for it or it was reported before.
///
/// # Errors
/// The database failed.
pub fn execution_of(
    transaction: &mut dyn Transaction,
    environment: &Document,
    automation: &str,
    session: &Session,
) -> Result<Option<Name>, ResourceError> {
    for execution in executions(transaction, environment)? {
        let spec: ExecutionSpec = serde_json::from_value(execution.spec).map_err(StoreError::from)?;
        if spec.automation == automation && spec.session == *session {
            return Ok(Some(execution.metadata.name));
        }
    }
    Ok(None)
}

/// How much of an environment's name is in those of its executions.
const PREFIX: usize = 24;

/// Makes room for one more execution of an environment.
///
/// # Errors
/// The database failed.
pub fn forget_old_executions(
    transaction: &mut dyn Transaction,
    environment: &Document,
) -> Result<(), ResourceError> {
    let mut known = executions(transaction, environment)?;
    known.sort_by_key(|execution| execution.metadata.created_at);
    let surplus = (known.len() + 1).saturating_sub(EXECUTIONS);
    known.iter().take(surplus).try_for_each(|execution| vanish(transaction, execution))
}

/// The executions of an environment. Those that people asked for have any name, so all of the organization are looked at: of
/// each environment some are kept.
fn executions(
    transaction: &mut dyn Transaction,
    environment: &Document,
) -> Result<Vec<Document>, StoreError> {
    let Metadata { name, organization, .. } = &environment.metadata;
    let mut found = Vec::new();
    for execution in transaction.resources(&Listing::of(Kind::Execution, organization))? {
        if ExecutionSpec::deserialize(&execution.spec)?.environment == *name {
            found.push(execution);
        }
    }
    Ok(found)
}

/// Executions go on belonging to an environment that has another name now.
fn rename(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    before: &Document,
    name: &Name,
) -> Result<(), ResourceError> {
    for mut execution in executions(transaction, before)? {
        let session = execution.spec["session"].as_str().unwrap_or_default().to_owned();
        let automation = execution.spec["automation"].as_str().unwrap_or_default().to_owned();
        let version = transaction.version()? + 1;
        transaction.set_version(version)?;
        announce(transaction, &execution, version, true)?;
        if execution.metadata.name == execution_name(&before.metadata.name, &automation, &session) {
            execution.metadata.name = execution_name(name, &automation, &session);
        }
        execution.spec["environment"] = Value::from(name.as_str());
        store(transaction, now, &mut execution)?;
    }
    Ok(())
}

fn new(id: &str, organization: Name, name: &Name, now: Timestamp) -> Document {
    let metadata = Metadata {
        id: id.to_owned(),
        name: name.clone(),
        organization,
        labels: [].into(),
        generation: 0,
        resource_version: 0,
        created_at: now,
        updated_at: now,
        deleted_at: None,
        finalizers: vec![RUNNER_FINALIZER.to_owned()],
    };
    let status = check::status_of_new(Kind::Environment);
    Document { kind: Kind::Environment, metadata, spec: Value::Null, status }
}
