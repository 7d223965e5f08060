//! Whether somebody may make a change, as things are and as they become.

use api::DesiredPhase;
use api::control::{EnvironmentSpec, GroupSpec, Kind, RunnerSpec, Subject, UserSpec};
use serde::Deserialize;

use super::caller::{Caller, Failed, Rules, Wish, target, target_of};
use crate::audit::Told;
use crate::authz::{Asked, Asker, World};
use crate::resources::{self, Proposal, ResourceError};
use crate::store::{StoreError, Transaction};

impl Caller {
    /// Whether they may carry something out: change it as it is and as it becomes, use what an environment uses, and give
    /// whatever a change of people gives. The rules that let them.
    pub(super) fn may_carry_out(
        &self,
        rules: &Rules,
        transaction: &mut dyn Transaction,
        proposal: &Proposal,
    ) -> Result<Vec<String>, Failed> {
        // The host may make an organization of which nobody knows anything yet.
        if matches!(self, Self::Host) {
            return Ok(vec!["host of the server".to_owned()]);
        }
        let world = rules.of(transaction, &proposal.organization)?;
        let asked = questions(&world, transaction, &self.asker(), proposal)?;
        let decided = world.decide_all(&asked).map(|decision| decision.because);
        decided.map_err(|(asked, decision)| {
            let organization = Some(&proposal.organization);
            let Asked { verb, kind, resource, .. } = asked;
            let wish = Wish { verb: *verb, kind: *kind, organization, name: resource.name.as_ref() };
            let line = self.line(verb.as_str(), &wish);
            Failed::Denied(Box::new(Told { because: decision.because, ..line }))
        })
    }

    /// The same error, as the refusal that it is where a policy forbids something: such a line is in the audit log.
    pub(super) fn refused(&self, error: ResourceError, wish: &Wish<'_>) -> Failed {
        let ResourceError::Forbidden { forbidden, .. } = &error else { return error.into() };
        let because = forbidden.policies.iter().map(|policy| format!("policy {policy}")).collect();
        let told = Told { because, ..self.line(wish.verb.as_str(), wish) };
        Failed::Forbidden(Box::new((told, error.into())))
    }
}

/// Everything that must be allowed for a change to be made.
fn questions(
    world: &World,
    transaction: &mut dyn Transaction,
    principal: &Asker,
    proposal: &Proposal,
) -> Result<Vec<Asked>, StoreError> {
    let Proposal { organization, kind, metadata, present, .. } = proposal;
    let target_before = present.as_ref().map(|document| target_of(transaction, document)).transpose()?;
    let after = target(transaction, (*kind, organization, &metadata.name), &proposal.spec)?;
    let mut asked = Asked::of_change(principal, *kind, target_before.clone(), Some(after));
    match kind {
        Kind::Environment => {
            let (before, after) = both::<EnvironmentSpec>(proposal)?;
            let runner: Option<RunnerSpec> = resources::spec_of(transaction, organization, &after.runner)?;
            let owner = runner.and_then(|runner| runner.owner);
            asked.extend(Asked::of_uses(principal, organization, before.as_ref(), &after, owner.as_ref()));
            // To wish it away is to take it away, by whichever route.
            if after.desired_phase == DesiredPhase::Deleted {
                asked.extend(Asked::of_change(principal, *kind, target_before, None));
            }
        }
        Kind::Group => {
            let (before, after) = both::<GroupSpec>(proposal)?;
            if before.is_none_or(|before| before.members != after.members) {
                let given = world.given_to(&Subject::Group(metadata.name.clone()));
                asked.extend(Asked::of_gifts(principal, organization, given));
            }
        }
        Kind::User => {
            let (before, after) = both::<UserSpec>(proposal)?;
            if before.is_none_or(|it| it.email != after.email || it.suspended != after.suspended) {
                let given = world.given_to(&Subject::User(metadata.name.clone()));
                asked.extend(Asked::of_gifts(principal, organization, given));
            }
        }
        _ => {}
    }
    Ok(asked)
}

/// The specs that there is, and that there is to be.
fn both<Spec: for<'a> Deserialize<'a>>(proposal: &Proposal) -> Result<(Option<Spec>, Spec), StoreError> {
    let before = proposal.present.as_ref().map(|document| Spec::deserialize(&document.spec)).transpose()?;
    Ok((before, Spec::deserialize(&proposal.spec)?))
}
