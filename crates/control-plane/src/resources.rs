//! How resources come, change and go.
//!
//! Everything here works on one open transaction and decides nothing about rights: that was done before. A change of a
//! spec raises the generation, a change of anything gives the next version and is told to those who watch. What does not
//! change anything changes nothing, not even a version: applying a file twice is one change.

mod administrator;
mod check;
mod error;
mod limits;
mod mirrored;
mod organization;
mod secrets;
#[cfg(test)]
mod tests;
mod unused;

use std::collections::BTreeMap;

use api::Name;
use api::control::{
    Change, Difference, DifferenceKind, Document, Draft, DraftMetadata, Kind, Metadata, SpecOf,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::store::{Listing, StoreError, Transaction};

pub(crate) use check::misfit;
pub use check::spec as check_spec;
pub use error::ResourceError;
pub use limits::{hold, limits_for};
pub use mirrored::{
    Mirrored, execution_name, execution_of, forget_old_executions, free_name, mirror, unmirror,
};
pub use secrets::{is_credible, recipients, recount_secrets, secrets_for};
pub use unused::{Unused, unused};

/// Largest resource, in bytes of JSON.
pub const LARGEST: usize = 1 << 20;

/// Who must have done their part before an environment is gone: its runner has saved or given up its work.
pub const RUNNER_FINALIZER: &str = "runner";

/// What applying a draft did.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The resource now.
    pub document: Document,
    /// What changed by it.
    pub difference: Difference,
}

/// What a deletion did.
#[derive(Debug, Clone, PartialEq)]
pub enum Deleted {
    /// It is gone.
    Gone,
    /// It goes once those in its `finalizers` are done.
    Going(Box<Document>),
}

/// What a draft would make of what there is: all that is known before anything is written, so that it can be decided
/// whether it may be so.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Where the resource lies.
    pub organization: Name,
    /// Its kind.
    pub kind: Kind,
    /// What the draft says beside the spec.
    pub metadata: DraftMetadata,
    /// The spec, in the form in which it is kept.
    pub spec: Value,
    /// What there is.
    pub present: Option<Document>,
}

/// Reads a draft beside what there is.
///
/// # Errors
/// The draft lies elsewhere, or its spec has not the form of its kind.
pub fn propose(
    transaction: &mut dyn Transaction,
    organization: &Name,
    draft: Draft,
) -> Result<Proposal, ResourceError> {
    let organization = place_of(organization, &draft)?;
    let Draft { kind, metadata, spec } = draft;
    let spec = check::spec(kind, &metadata.name, spec)?;
    let present = transaction.resource(kind, &organization, &metadata.name)?;
    Ok(Proposal { organization, kind, metadata, spec, present })
}

/// Makes a resource as a draft wants it, or changes the one there is.
///
/// # Errors
/// Those of [`propose`] and of [`carry_out`].
pub fn apply(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    organization: &Name,
    draft: Draft,
) -> Result<Applied, ResourceError> {
    let proposal = propose(transaction, organization, draft)?;
    carry_out(transaction, now, proposal)
}

/// Does what was proposed in this transaction.
///
/// # Errors
/// It cannot be so, or was made from another version than there is. Nothing was changed then, as long as the transaction is
/// given up.
pub fn carry_out(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    proposal: Proposal,
) -> Result<Applied, ResourceError> {
    stale(&proposal)?;
    let difference = proposal.difference();
    let Proposal { organization, kind, metadata, spec, present } = proposal;
    let Some(mut document) = present else {
        let document = create(transaction, now, organization, kind, metadata, spec)?;
        return Ok(Applied { document: settled(transaction, now, document, &difference)?, difference });
    };
    if document.metadata.deleted_at.is_some() {
        return Err(ResourceError::Going { kind, name: document.metadata.name });
    }
    if difference.kind == DifferenceKind::Same {
        return Ok(Applied { document, difference });
    }
    check::change(&document, &spec)?;
    check::references(transaction, &organization, kind, &metadata.name, &spec)?;
    match kind {
        Kind::Secret => {
            secrets::check(transaction, (&organization, &metadata.name), &spec, Some(&document.spec))?;
        }
        Kind::User => {
            check::address(transaction, (&organization, &metadata.name), &spec, Some(&document.spec))?;
        }
        _ => {}
    }
    if document.spec != spec {
        document.metadata.generation += 1;
        document.spec = spec;
    }
    document.metadata.labels = metadata.labels;
    let guard = administrator::before(transaction, &document)?;
    store(transaction, now, &mut document)?;
    guard.after(transaction)?;
    Ok(Applied { document: settled(transaction, now, document, &difference)?, difference })
}

/// A resource after all that its change means for others: it is said anew who lacks which secret.
fn settled(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    document: Document,
    difference: &Difference,
) -> Result<Document, ResourceError> {
    let Metadata { organization, name, .. } = &document.metadata;
    match document.kind {
        Kind::Environment if secrets::moves(&difference.fields) => {
            recount_secrets(transaction, now, organization)?;
        }
        Kind::Secret => {
            recount_secrets(transaction, now, organization)?;
            return find(transaction, document.kind, organization, name);
        }
        _ => {}
    }
    Ok(document)
}

impl Proposal {
    /// What it would change.
    pub fn difference(&self) -> Difference {
        let fields = changed_fields(self.present.as_ref().map(|document| &document.spec), &self.spec);
        let kind = match &self.present {
            None => DifferenceKind::Create,
            Some(document) if fields.is_empty() && document.metadata.labels == self.metadata.labels => {
                DifferenceKind::Same
            }
            Some(_) => DifferenceKind::Update,
        };
        Difference { kind, fields }
    }
}

/// Takes a resource away, or says that it is to go where somebody has something to do before that.
///
/// # Errors
/// It is not there, is of another version, or something needs it.
pub fn delete(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    kind: Kind,
    organization: &Name,
    name: &Name,
    version: Option<u64>,
) -> Result<Deleted, ResourceError> {
    let mut document = find(transaction, kind, organization, name)?;
    let present = document.metadata.resource_version;
    if let Some(wanted) = version.filter(|wanted| *wanted != present) {
        return Err(ResourceError::Stale { kind, name: name.clone(), wanted, present });
    }
    check::unused(transaction, &document)?;
    if document.metadata.finalizers.is_empty() {
        let guard = administrator::before(transaction, &document)?;
        if kind == Kind::Organization {
            for role in all(transaction, Kind::Role, name)? {
                vanish(transaction, &role)?;
            }
        }
        vanish(transaction, &document)?;
        guard.after(transaction)?;
        if kind == Kind::Runner {
            recount_secrets(transaction, now, organization)?;
        }
        return Ok(Deleted::Gone);
    }
    if document.metadata.deleted_at.is_none() {
        document.metadata.deleted_at = Some(now);
        store(transaction, now, &mut document)?;
        recount_secrets(transaction, now, organization)?;
    }
    Ok(Deleted::Going(Box::new(document)))
}

/// Somebody has done what they had to do before a resource may be gone. `true` once it is.
///
/// # Errors
/// It is not there.
pub fn release(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    id: &str,
    finalizer: &str,
) -> Result<bool, ResourceError> {
    let Some(mut document) = transaction.resource_by_id(id)? else { return Ok(true) };
    document.metadata.finalizers.retain(|named| named != finalizer);
    if document.metadata.deleted_at.is_some() && document.metadata.finalizers.is_empty() {
        vanish(transaction, &document)?;
        recount_secrets(transaction, now, &document.metadata.organization)?;
        return Ok(true);
    }
    store(transaction, now, &mut document)?;
    Ok(false)
}

/// Writes down what was observed of a resource.
///
/// # Errors
/// It is not there, or the status has another form.
pub fn report(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    kind: Kind,
    organization: &Name,
    name: &Name,
    status: Value,
) -> Result<Document, ResourceError> {
    let mut document = find(transaction, kind, organization, name)?;
    let status = check::status(kind, name, status)?;
    if document.status == status {
        return Ok(document);
    }
    let key = |status: &Value| {
        (status.get("recipient").cloned(), status.get("phase").is_some_and(|phase| phase == "revoked"))
    };
    let is_other_key = kind == Kind::Runner && key(&document.status) != key(&status);
    document.status = status;
    store(transaction, now, &mut document)?;
    if is_other_key {
        recount_secrets(transaction, now, organization)?;
    }
    Ok(document)
}

/// A resource that is there.
///
/// # Errors
/// It is not.
pub fn find(
    transaction: &mut dyn Transaction,
    kind: Kind,
    organization: &Name,
    name: &Name,
) -> Result<Document, ResourceError> {
    let at = if kind == Kind::Organization { name } else { organization };
    let found = transaction.resource(kind, at, name)?;
    found.ok_or_else(|| ResourceError::NotFound { kind, name: name.clone() })
}

/// What is wanted of a resource by name, where it is there.
///
/// # Errors
/// The database cannot be read, or a later version wrote it.
pub fn spec_of<Spec: SpecOf>(
    transaction: &mut dyn Transaction,
    organization: &Name,
    name: &Name,
) -> Result<Option<Spec>, StoreError> {
    let found = transaction.resource(Spec::KIND, organization, name)?;
    Ok(found.map(|found| serde_json::from_value(found.spec)).transpose()?)
}

/// An organization lies in itself; all else where the draft or the address says, which must be the same.
fn place_of(organization: &Name, draft: &Draft) -> Result<Name, ResourceError> {
    if draft.kind == Kind::Organization {
        return Ok(draft.metadata.name.clone());
    }
    match &draft.metadata.organization {
        Some(other) if other != organization => Err(ResourceError::invalid(
            draft.kind,
            &draft.metadata.name,
            "metadata.organization",
            format!("it is `{other}`, but this request is for `{organization}`"),
        )),
        _ => Ok(organization.clone()),
    }
}

fn stale(proposal: &Proposal) -> Result<(), ResourceError> {
    let version = proposal.present.as_ref().map_or(0, |document| document.metadata.resource_version);
    match proposal.metadata.resource_version {
        Some(wanted) if wanted != version => Err(ResourceError::Stale {
            kind: proposal.kind,
            name: proposal.metadata.name.clone(),
            wanted,
            present: version,
        }),
        _ => Ok(()),
    }
}

fn create(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    organization: Name,
    kind: Kind,
    draft: DraftMetadata,
    spec: Value,
) -> Result<Document, ResourceError> {
    if kind != Kind::Organization {
        find(transaction, Kind::Organization, &organization, &organization)?;
    }
    check::references(transaction, &organization, kind, &draft.name, &spec)?;
    match kind {
        Kind::Secret => secrets::check(transaction, (&organization, &draft.name), &spec, None)?,
        Kind::User => check::address(transaction, (&organization, &draft.name), &spec, None)?,
        _ => {}
    }
    let finalizers = match kind {
        Kind::Environment => vec![RUNNER_FINALIZER.to_owned()],
        _ => Vec::new(),
    };
    let metadata = Metadata {
        id: uuid::Uuid::new_v4().to_string(),
        name: draft.name,
        organization,
        labels: draft.labels,
        generation: 1,
        resource_version: 0,
        created_at: now,
        updated_at: now,
        deleted_at: None,
        finalizers,
    };
    let mut document = Document { kind, metadata, spec, status: check::status_of_new(kind) };
    store(transaction, now, &mut document)?;
    if kind == Kind::Organization {
        organization::furnish(transaction, now, &document.metadata.name)?;
    }
    Ok(document)
}

/// Writes a resource with the next version, and tells those who watch.
fn store(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    document: &mut Document,
) -> Result<(), ResourceError> {
    document.metadata.resource_version = transaction.version()? + 1;
    document.metadata.updated_at = now;
    let size = serde_json::to_string(document).map_err(StoreError::from)?.len();
    if size > LARGEST {
        return Err(ResourceError::TooLarge {
            kind: document.kind,
            name: document.metadata.name.clone(),
            size,
        });
    }
    transaction.set_version(document.metadata.resource_version)?;
    transaction.put(document)?;
    announce(transaction, document, document.metadata.resource_version, false)
}

fn vanish(transaction: &mut dyn Transaction, document: &Document) -> Result<(), ResourceError> {
    let version = transaction.version()? + 1;
    transaction.set_version(version)?;
    transaction.remove(&document.metadata.id)?;
    announce(transaction, document, version, true)
}

fn announce(
    transaction: &mut dyn Transaction,
    document: &Document,
    resource_version: u64,
    gone: bool,
) -> Result<(), ResourceError> {
    let Metadata { id, name, organization, .. } = &document.metadata;
    let change = Change { resource_version, kind: document.kind, id: id.clone(), name: name.clone(), gone };
    Ok(transaction.announce(organization, &change)?)
}

/// All resources of a kind in an organization.
fn all(
    transaction: &mut dyn Transaction,
    kind: Kind,
    organization: &Name,
) -> Result<Vec<Document>, ResourceError> {
    Ok(transaction.resources(&Listing::of(kind, organization))?)
}

/// What differs between two specs, by path.
fn changed_fields(before: Option<&Value>, after: &Value) -> BTreeMap<String, [Option<Value>; 2]> {
    let mut fields = BTreeMap::new();
    compare("", before, Some(after), &mut fields);
    fields
}

/// Collects what differs, by path, down to what is neither an object nor in one.
fn compare(
    path: &str,
    before: Option<&Value>,
    after: Option<&Value>,
    fields: &mut BTreeMap<String, [Option<Value>; 2]>,
) {
    if before == after {
        return;
    }
    let empty = json!({});
    let objects = match (before, after) {
        (Some(Value::Object(_)), Some(Value::Object(_))) => before.zip(after),
        (None, Some(Value::Object(_))) => after.map(|after| (&empty, after)),
        _ => None,
    };
    let Some((Value::Object(old), Value::Object(new))) = objects else {
        fields.insert(path.to_owned(), [before.cloned(), after.cloned()]);
        return;
    };
    for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        compare(&below, old.get(key), new.get(key), fields);
    }
}
