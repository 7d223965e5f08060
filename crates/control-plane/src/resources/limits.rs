//! What policies say of environments, held where they are written.

use api::Name;
use api::control::{
    ClassChoice, ClassSpec, Document, EnvironmentSource, EnvironmentSpec, Kind, Limits, PolicySpec,
    ProjectSpec, RunnerSpec, RunnerVariant,
};
use serde::Deserialize;

use super::{Proposal, ResourceError, all, spec_of};
use crate::authz::{self, Counts};
use crate::store::{Listing, StoreError, Transaction};

/// The limits that hold for environments of a project, or of none: what a runner is to hold them to, and what a write is
/// held to.
///
/// # Errors
/// The database cannot be read.
pub fn limits_for(
    transaction: &mut dyn Transaction,
    organization: &Name,
    project: Option<&Name>,
) -> Result<Limits, StoreError> {
    let mut policies = Vec::new();
    for document in transaction.resources(&Listing::of(Kind::Policy, organization))? {
        policies.push((document.metadata.name, serde_json::from_value::<PolicySpec>(document.spec)?));
    }
    Ok(authz::narrowest(policies.iter().map(|(name, policy)| (name, policy)), project))
}

/// Holds what was proposed to the policies of its project, whoever proposed it: fills in what they say about what was left
/// open, and refuses what it would take beyond them. Only environments have limits. What a runner reports does not come here:
/// it tells what is, and nobody forbids that.
///
/// # Errors
/// A policy forbids it.
pub fn hold(transaction: &mut dyn Transaction, proposal: &mut Proposal) -> Result<(), ResourceError> {
    if proposal.kind != Kind::Environment {
        return Ok(());
    }
    let mut after = EnvironmentSpec::deserialize(&proposal.spec).map_err(StoreError::from)?;
    let before = proposal.present.as_ref().map(|document| EnvironmentSpec::deserialize(&document.spec));
    let before = before.transpose().map_err(StoreError::from)?;
    let (organization, name) = (&proposal.organization, &proposal.metadata.name);
    takes(transaction, organization, name, (before.as_ref(), &after))?;
    let limits = limits_for(transaction, organization, after.project.as_ref())?;
    if limits == Limits::default() {
        return Ok(());
    }
    authz::fit(&limits, &mut after);
    let counts = match &after.owner {
        Some(owner) if limits.environments_per_user.is_some() || limits.running_per_user.is_some() => {
            let others = all(transaction, Kind::Environment, organization)?;
            Counts::of(owner, &staying(others, name)?)
        }
        _ => Counts::default(),
    };
    authz::admit(&limits, before.as_ref(), &after, counts).map_err(|forbidden| ResourceError::Forbidden {
        kind: Kind::Environment,
        name: name.clone(),
        forbidden,
    })?;
    proposal.spec = serde_json::to_value(after).map_err(StoreError::from)?;
    Ok(())
}

/// Whether the place that an environment is to have takes it, and is one of its project's: a new one, or one that is to move
/// there.
fn takes(
    transaction: &mut dyn Transaction,
    organization: &Name,
    name: &Name,
    (before, after): (Option<&EnvironmentSpec>, &EnvironmentSpec),
) -> Result<(), ResourceError> {
    let wrong = |field: &str, reason: String| {
        Err(ResourceError::invalid(Kind::Environment, name, &format!("spec.{field}"), reason))
    };
    if before.is_none_or(|before| before.runner != after.runner) {
        if let (Some(before), EnvironmentSource::Folder { path }) = (before, &after.source) {
            return wrong(
                "runner",
                format!("its files are a folder of `{}`, {path}, which no other has", before.runner),
            );
        }
        let runner: Option<RunnerSpec> = spec_of(transaction, organization, &after.runner)?;
        if runner.is_some_and(|runner| runner.paused) {
            return wrong("runner", format!("`{}` takes no new environments now", after.runner));
        }
    }
    if let Some(class) =
        after.class.as_ref().filter(|_| before.is_none_or(|before| before.class != after.class))
    {
        let found: Option<ClassSpec> = spec_of(transaction, organization, class)?;
        if found.is_some_and(|found| found.paused) {
            return wrong("class", format!("`{class}` takes no new environments now"));
        }
    }
    // A person's own computer is nobody else's.
    let is_same = |before: &EnvironmentSpec| {
        (&before.project, &before.class, &before.runner, &before.owner)
            == (&after.project, &after.class, &after.runner, &after.owner)
    };
    if let Some(project) = after.project.as_ref().filter(|_| !before.is_some_and(is_same))
        && let Some(ProjectSpec { classes, .. }) = spec_of(transaction, organization, project)?
        && !classes.is_empty()
        && !is_among(transaction, organization, &classes, after)?
    {
        let may_be_own = after.class.is_none() && classes.contains(&ClassChoice::MyComputer);
        let field = if may_be_own { "runner" } else { "class" };
        return wrong(field, format!("environments of `{project}` run {}", in_words(&classes)));
    }
    Ok(())
}

/// Whether an environment is in one of these places. A person's own computer is one that an environment has no class on.
fn is_among(
    transaction: &mut dyn Transaction,
    organization: &Name,
    classes: &[ClassChoice],
    environment: &EnvironmentSpec,
) -> Result<bool, StoreError> {
    if let Some(class) = &environment.class {
        return Ok(classes.contains(&ClassChoice::Class(class.clone())));
    }
    let runner: Option<RunnerSpec> = spec_of(transaction, organization, &environment.runner)?;
    let is_own = runner.is_some_and(|runner| {
        runner.variant == RunnerVariant::Personal
            && environment.owner.as_ref().is_none_or(|owner| runner.owner.as_ref() == Some(owner))
    });
    Ok(is_own && classes.contains(&ClassChoice::MyComputer))
}

fn in_words(classes: &[ClassChoice]) -> String {
    let names: Vec<String> = classes
        .iter()
        .filter_map(|choice| match choice {
            ClassChoice::MyComputer => None,
            ClassChoice::Class(name) => Some(format!("`{name}`")),
        })
        .collect();
    let of_classes = format!("in a class of these: {}", names.join(", "));
    match (classes.contains(&ClassChoice::MyComputer), names.is_empty()) {
        (true, true) => "on their owner's own computer, without a class".to_owned(),
        (true, false) => format!("on their owner's own computer, without a class, or {of_classes}"),
        (false, _) => of_classes,
    }
}

/// The specs of all environments that are not on their way out, but of the one of this name.
fn staying(documents: Vec<Document>, but: &Name) -> Result<Vec<EnvironmentSpec>, StoreError> {
    let others =
        documents.into_iter().filter(|one| one.metadata.deleted_at.is_none() && one.metadata.name != *but);
    Ok(others.map(|one| serde_json::from_value(one.spec)).collect::<Result<_, _>>()?)
}
