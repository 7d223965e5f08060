//! That somebody can administer an organization, always.

use std::collections::BTreeSet;

use api::Name;
use api::control::{Document, GroupSpec, Kind, Permission, RoleSpec, Subject, UserSpec, Verb};

use super::{ResourceError, all};
use crate::store::{StoreError, Transaction};

/// Whether there was an administrator before a change, where the change could take the last one away.
pub(super) struct Guard(Option<Name>);

/// Looks before a change of a resource.
pub(super) fn before(transaction: &mut dyn Transaction, changed: &Document) -> Result<Guard, ResourceError> {
    let organization = &changed.metadata.organization;
    let matters = matches!(changed.kind, Kind::User | Kind::Group | Kind::Role);
    let had_one = matters && has_administrator(transaction, organization)?;
    Ok(Guard(had_one.then(|| organization.clone())))
}

impl Guard {
    /// Looks after it.
    ///
    /// # Errors
    /// There was an administrator, and there is none any more: the transaction is to be given up.
    pub(super) fn after(self, transaction: &mut dyn Transaction) -> Result<(), ResourceError> {
        match self.0 {
            Some(organization) if !has_administrator(transaction, &organization)? => {
                Err(ResourceError::LastAdministrator { organization })
            }
            _ => Ok(()),
        }
    }
}

fn has_administrator(transaction: &mut dyn Transaction, organization: &Name) -> Result<bool, ResourceError> {
    let specs = |transaction: &mut dyn Transaction, kind| all(transaction, kind, organization);
    let mut active = BTreeSet::new();
    for user in specs(transaction, Kind::User)? {
        let spec: UserSpec = serde_json::from_value(user.spec).map_err(StoreError::from)?;
        if !spec.suspended {
            active.insert(user.metadata.name);
        }
    }
    let mut groups = Vec::new();
    for group in specs(transaction, Kind::Group)? {
        let spec: GroupSpec = serde_json::from_value(group.spec).map_err(StoreError::from)?;
        groups.push((group.metadata.name, spec.members));
    }
    for role in specs(transaction, Kind::Role)? {
        let role: RoleSpec = serde_json::from_value(role.spec).map_err(StoreError::from)?;
        let has_somebody = |subject: &Subject| match subject {
            Subject::User(name) => active.contains(name),
            Subject::Group(name) => {
                let members =
                    groups.iter().filter(|(group, _)| group == name).flat_map(|(_, members)| members);
                members.into_iter().any(|member| active.contains(member))
            }
            Subject::Everybody => !active.is_empty(),
        };
        if administers(&role) && role.subjects.iter().any(has_somebody) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether who has a role can change roles everywhere.
fn administers(role: &RoleSpec) -> bool {
    let can = |permission: &Permission| {
        (permission.verbs.is_empty() || permission.verbs.contains(&Verb::Update))
            && (permission.kinds.is_empty() || permission.kinds.contains(&Kind::Role))
    };
    role.projects.is_none() && !role.own && role.permissions.iter().any(can)
}
