//! What a new organization begins with.

use api::Name;
use api::control::{DraftMetadata, Kind, Permission, RoleSpec, Verb};
use jiff::Timestamp;

use super::{ResourceError, create};
use crate::store::{StoreError, Transaction};

/// The role of those who administer.
const OWNER: &str = "owner";

/// Gives an organization its first roles. They are resources like any others: people change them as they like.
pub(super) fn furnish(
    transaction: &mut dyn Transaction,
    now: Timestamp,
    organization: &Name,
) -> Result<(), ResourceError> {
    for (name, spec) in roles() {
        let name = Name::parse(name).expect("names of roles are names");
        let metadata = DraftMetadata { name, organization: None, labels: [].into(), resource_version: None };
        let spec = serde_json::to_value(spec).map_err(StoreError::from)?;
        create(transaction, now, organization.clone(), Kind::Role, metadata, spec)?;
    }
    Ok(())
}

fn roles() -> [(&'static str, RoleSpec); 4] {
    let see = Permission { verbs: vec![Verb::Get, Verb::List], kinds: Vec::new() };
    let role = |title: &str, permissions, own| RoleSpec {
        title: Some(title.to_owned()),
        permissions,
        subjects: Vec::new(),
        projects: None,
        own,
    };
    let work = Permission {
        verbs: vec![Verb::Create, Verb::Update, Verb::Delete],
        kinds: vec![Kind::Environment, Kind::Execution, Kind::Secret],
    };
    let own_computer = Permission { verbs: vec![Verb::Use], kinds: vec![Kind::Runner] };
    let of_others = Permission { verbs: vec![Verb::Use], kinds: vec![Kind::Project, Kind::EnvironmentClass] };
    let with_projects = Permission {
        verbs: vec![Verb::Create, Verb::Update, Verb::Delete],
        kinds: vec![Kind::Project, Kind::EnvironmentClass, Kind::Runner],
    };
    [
        (OWNER, role("May do everything", vec![Permission { verbs: Vec::new(), kinds: Vec::new() }], false)),
        (
            "maintainer",
            role(
                "Looks after projects and runners",
                vec![see.clone(), with_projects, of_others.clone()],
                false,
            ),
        ),
        ("member", role("Has environments of their own", vec![work, own_computer], true)),
        ("viewer", role("Sees everything, and uses projects", vec![see, of_others], false)),
    ]
}
