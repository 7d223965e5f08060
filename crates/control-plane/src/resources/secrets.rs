//! Secrets: whose environments get which, which runners may open them, and which cannot yet.
//!
//! Values are sealed where they are given, once for each runner. Nothing here can open one; it is only seen to that each is
//! for the key that its runner has now.

use std::collections::{BTreeMap, BTreeSet};

use api::control::{
    ClassChoice, ClassSpec, Document, EnvironmentSpec, Kind, ProjectSpec, Recipient, RunnerPhase, RunnerSpec,
    RunnerStatus, RunnerVariant, Sealed, SecretScope, SecretSpec, SecretStatus, SecretUse,
};
use api::{DesiredPhase, Name};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{ResourceError, all, spec_of, store};
use crate::authz::runners_in_scope;
use crate::store::{StoreError, Transaction};

/// What every age file that is sealed to such a key begins with.
const SEALED: &[u8] = b"age-encryption.org/v1\n-> X25519 ";

/// The secrets that an environment gets: for each use the one that counts. The person's counts before the project's, and that
/// before the organization's; of two of one scope the first by name.
pub fn secrets_for<'a>(
    environment: &EnvironmentSpec,
    secrets: impl IntoIterator<Item = (&'a Name, &'a SecretSpec)>,
) -> BTreeMap<&'a SecretUse, (&'a Name, &'a SecretSpec)> {
    let mut counts: BTreeMap<_, (_, (&Name, &SecretSpec))> = BTreeMap::new();
    for (name, spec) in secrets {
        let Some(rank) = rank(&spec.scope, environment) else { continue };
        let rank = (rank, std::cmp::Reverse(name));
        let counting = counts.entry(&spec.used_as).or_insert((rank, (name, spec)));
        if rank > counting.0 {
            *counting = (rank, (name, spec));
        }
    }
    counts.into_iter().map(|(used_as, (_, secret))| (used_as, secret)).collect()
}

/// How narrow a scope is that an environment is in.
fn rank(scope: &SecretScope, environment: &EnvironmentSpec) -> Option<u8> {
    match scope {
        SecretScope::Organization => Some(0),
        SecretScope::Project(project) => (environment.project.as_ref() == Some(project)).then_some(1),
        SecretScope::User(user) => (environment.owner.as_ref() == Some(user)).then_some(2),
    }
}

/// Whether an environment can be what it says, as far as secrets go: a person's own computer has environments of that person,
/// of projects that run on such computers. It tells of them itself, and what it says is no proof.
///
/// # Errors
/// The database cannot be read.
pub fn is_credible(
    transaction: &mut dyn Transaction,
    organization: &Name,
    environment: &EnvironmentSpec,
) -> Result<bool, StoreError> {
    let runner: Option<RunnerSpec> = spec_of(transaction, organization, &environment.runner)?;
    let Some(runner) = runner.filter(|runner| runner.variant == RunnerVariant::Personal) else {
        return Ok(true);
    };
    if environment.owner.is_some() && environment.owner != runner.owner {
        return Ok(false);
    }
    let Some(project) = &environment.project else { return Ok(true) };
    let project: Option<ProjectSpec> = spec_of(transaction, organization, project)?;
    Ok(project.is_some_and(|project| {
        project.classes.is_empty() || project.classes.contains(&ClassChoice::MyComputer)
    }))
}

/// The runners that a secret of this scope may be sealed to, with what it is sealed to; without that those that no computer
/// came in as yet. They are those that have an environment that gets it, and those that such an environment can be made on
/// without anybody being asked for the value again.
///
/// # Errors
/// The database cannot be read.
pub fn recipients(
    transaction: &mut dyn Transaction,
    organization: &Name,
    scope: &SecretScope,
) -> Result<Vec<Recipient>, ResourceError> {
    let environments = environments(transaction, organization)?;
    let mut within = runners_in_scope(scope, environments.iter().map(|(_, spec)| spec));
    let project: Option<ProjectSpec> = match scope {
        SecretScope::Project(project) => spec_of(transaction, organization, project)?,
        SecretScope::Organization | SecretScope::User(_) => None,
    };
    if let Some(project) = &project {
        for class in all(transaction, Kind::EnvironmentClass, organization)? {
            if project.classes.contains(&ClassChoice::Class(class.metadata.name)) {
                within.insert(ClassSpec::deserialize(&class.spec).map_err(StoreError::from)?.runner);
            }
        }
    }
    let may_come_to = |runner: &RunnerSpec| match (scope, &project) {
        (SecretScope::Organization, _) => true,
        (SecretScope::User(user), _) => runner.owner.as_ref() == Some(user),
        (SecretScope::Project(_), None) => false,
        (SecretScope::Project(_), Some(project)) => {
            let own = || project.classes.contains(&ClassChoice::MyComputer);
            project.classes.is_empty() || (runner.variant == RunnerVariant::Personal && own())
        }
    };
    let mut recipients = Vec::new();
    for document in all(transaction, Kind::Runner, organization)? {
        let (name, key) = (document.metadata.name.clone(), key_of(&document)?);
        let spec = RunnerSpec::deserialize(&document.spec).map_err(StoreError::from)?;
        if within.contains(&name) || may_come_to(&spec) {
            recipients.push(Recipient { runner: name, recipient: key });
        }
    }
    Ok(recipients)
}

/// Whether a secret can be so. Sealed values that were there before stay, whatever became of their runners.
pub(super) fn check(
    transaction: &mut dyn Transaction,
    (organization, name): (&Name, &Name),
    spec: &Value,
    present: Option<&Value>,
) -> Result<(), ResourceError> {
    let invalid = |field: &str, wrong: String| {
        ResourceError::invalid(Kind::Secret, name, &format!("spec.{field}"), wrong)
    };
    let after = SecretSpec::deserialize(spec).map_err(StoreError::from)?;
    if let Some((field, wrong)) = unusable(&after.used_as) {
        return Err(invalid(&format!("used_as.{field}"), wrong.to_owned()));
    }
    let before = present.map(SecretSpec::deserialize).transpose();
    if before.map_err(StoreError::from)?.is_some_and(|before| before.sealed == after.sealed) {
        return Ok(());
    }
    let recipients: BTreeMap<_, _> = recipients(transaction, organization, &after.scope)?
        .into_iter()
        .map(|one| (one.runner, one.recipient))
        .collect();
    let mut seen = BTreeSet::new();
    for (index, Sealed { runner, recipient, value }) in after.sealed.iter().enumerate() {
        let wrong = match recipients.get(runner) {
            None => Some(("runner", format!("no environment that gets it comes to a runner `{runner}`"))),
            Some(_) if !seen.insert(runner) => Some(("runner", format!("`{runner}` is there twice"))),
            Some(None) => Some(("runner", format!("no computer is there as `{runner}`"))),
            Some(Some(key)) if key != recipient => {
                Some(("recipient", format!("`{runner}` has another key now; seal the value to that")))
            }
            Some(Some(_)) if !is_sealed(value) => {
                Some(("value", "it is no value that was sealed: an age file, in Base64".to_owned()))
            }
            Some(Some(_)) => None,
        };
        if let Some((field, wrong)) = wrong {
            return Err(invalid(&format!("sealed[{index}].{field}"), wrong));
        }
    }
    Ok(())
}

/// Why nothing can be used like that, and where.
fn unusable(used_as: &SecretUse) -> Option<(&'static str, &'static str)> {
    let is_word = |c: char| c == '_' || c.is_ascii_alphanumeric();
    match used_as {
        SecretUse::Variable(name) => {
            let fits = name.chars().all(is_word) && name.starts_with(|c: char| !c.is_ascii_digit());
            (!fits).then_some(("variable", "a variable is letters, digits and `_`, and begins with no digit"))
        }
        SecretUse::File(path) => {
            let fits = path.starts_with('/') && !path.ends_with('/') && !path.contains(char::is_control);
            let fits = fits && path.split('/').all(|part| part != ".." && part != ".");
            (!fits).then_some(("file", "a file has an absolute path, without `..` in it"))
        }
        SecretUse::Git(host) | SecretUse::Registry(host) => {
            let is_of_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
            let field = if matches!(used_as, SecretUse::Git(_)) { "git" } else { "registry" };
            let fits = !host.is_empty() && host.chars().all(is_of_host);
            (!fits).then_some((field, "it is the name of a host, such as `git.example.com`"))
        }
    }
}

/// Whether it can be what somebody sealed. A value that was put there as it is would be read by everybody who sees secrets.
fn is_sealed(value: &str) -> bool {
    BASE64.decode(value).is_ok_and(|bytes| bytes.starts_with(SEALED))
}

/// What secrets are sealed to for a runner; nothing where no computer is let in as it.
fn key_of(runner: &Document) -> Result<Option<String>, StoreError> {
    let status = RunnerStatus::deserialize(&runner.status)?;
    Ok(status.recipient.filter(|_| status.phase != RunnerPhase::Revoked))
}

/// Whether a change of an environment is one of what secrets it gets, or where.
pub(super) fn moves(fields: &BTreeMap<String, [Option<Value>; 2]>) -> bool {
    fields.iter().any(|(field, sides)| match field.as_str() {
        "owner" | "project" | "runner" => true,
        "desired_phase" => sides.iter().flatten().any(|phase| phase == "deleted"),
        _ => false,
    })
}

/// Writes down which runners lack a secret that an environment of theirs gets, after a change of environments, of runners or
/// of a secret. Values that are sealed to a key that no runner has any more are taken away: nobody is to open them.
///
/// # Errors
/// The database cannot be written.
pub fn recount_secrets(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    organization: &Name,
) -> Result<(), ResourceError> {
    if transaction.count(Kind::Secret, organization)? == 0 {
        return Ok(());
    }
    let mut keys = BTreeMap::new();
    let mut sealed_to = BTreeMap::new();
    for runner in all(transaction, Kind::Runner, organization)? {
        let status = RunnerStatus::deserialize(&runner.status).map_err(StoreError::from)?;
        keys.insert(runner.metadata.name.clone(), key_of(&runner)?);
        sealed_to.insert(runner.metadata.name, status.recipient);
    }
    let environments = environments(transaction, organization)?;
    let staying: Vec<_> = environments.iter().filter(|(stays, _)| *stays).map(|(_, spec)| spec).collect();
    for mut secret in all(transaction, Kind::Secret, organization)? {
        let mut spec = SecretSpec::deserialize(&secret.spec).map_err(StoreError::from)?;
        let sealed = spec.sealed.len();
        spec.sealed
            .retain(|one| sealed_to.get(&one.runner).is_some_and(|key| key.as_ref() == Some(&one.recipient)));
        let has = |runner: &Name| spec.sealed.iter().any(|one| one.runner == *runner);
        let within = runners_in_scope(&spec.scope, staying.iter().copied());
        let lacks = |runner: &Name| keys.get(runner).is_some_and(Option::is_some) && !has(runner);
        let status = SecretStatus { missing: within.into_iter().filter(lacks).collect() };
        let status = serde_json::to_value(status).map_err(StoreError::from)?;
        if sealed == spec.sealed.len() && secret.status == status {
            continue;
        }
        if sealed != spec.sealed.len() {
            secret.metadata.generation += 1;
            secret.spec = serde_json::to_value(spec).map_err(StoreError::from)?;
        }
        secret.status = status;
        store(transaction, now, &mut secret)?;
    }
    Ok(())
}

/// All environments that can be what they say, and whether each is to stay.
fn environments(
    transaction: &mut dyn Transaction,
    organization: &Name,
) -> Result<Vec<(bool, EnvironmentSpec)>, ResourceError> {
    let mut credible = Vec::new();
    for document in all(transaction, Kind::Environment, organization)? {
        let spec = EnvironmentSpec::deserialize(&document.spec).map_err(StoreError::from)?;
        if is_credible(transaction, organization, &spec)? {
            let stays = document.metadata.deleted_at.is_none() && spec.desired_phase != DesiredPhase::Deleted;
            credible.push((stays, spec));
        }
    }
    Ok(credible)
}
