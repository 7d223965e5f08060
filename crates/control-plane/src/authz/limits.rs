//! What several policies come to.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use api::Name;
use api::control::{Among, Bound, Limits, PolicySpec};

/// The limits that hold for environments of a project, or of none, of all an organization's policies.
pub fn narrowest<'a>(
    policies: impl IntoIterator<Item = (&'a Name, &'a PolicySpec)>,
    project: Option<&Name>,
) -> Limits {
    let holds = |policy: &PolicySpec| match &policy.projects {
        None => true,
        Some(projects) => project.is_some_and(|project| projects.contains(project)),
    };
    let holding = policies.into_iter().filter(|(_, policy)| holds(policy));
    holding.map(|(name, policy)| limits_of(name, policy)).fold(Limits::default(), both)
}

/// What one policy says, for environments that it holds for.
pub fn limits_of(name: &Name, policy: &PolicySpec) -> Limits {
    let among = |values: &Option<Vec<String>>| -> BTreeSet<Among> {
        let values = values.iter().map(|values| values.iter().cloned().collect());
        values.map(|values| Among { policy: name.clone(), values }).collect()
    };
    Limits {
        editors: among(&policy.editors),
        images: among(&policy.images),
        running_per_user: bound(name, policy.running_per_user),
        environments_per_user: bound(name, policy.environments_per_user),
        stop_after: bound(name, policy.stop_after),
        delete_after: bound(name, policy.delete_after),
        ports: bound(name, policy.ports),
        egress: among(&policy.egress),
        host_mounts: bound(name, policy.host_mounts),
        initialize_command: bound(name, policy.initialize_command),
    }
}

/// Of two limits each the narrower one. In which order they are taken does not matter, nor how often.
pub(super) fn both(one: Limits, other: Limits) -> Limits {
    Limits {
        editors: &one.editors | &other.editors,
        images: &one.images | &other.images,
        running_per_user: lower(one.running_per_user, other.running_per_user),
        environments_per_user: lower(one.environments_per_user, other.environments_per_user),
        stop_after: lower(one.stop_after, other.stop_after),
        delete_after: lower(one.delete_after, other.delete_after),
        ports: lower(one.ports, other.ports),
        egress: &one.egress | &other.egress,
        host_mounts: lower(one.host_mounts, other.host_mounts),
        initialize_command: lower(one.initialize_command, other.initialize_command),
    }
}

fn bound<T>(name: &Name, value: Option<T>) -> Option<Bound<T>> {
    value.map(|value| Bound { value, policies: [name.clone()].into() })
}

/// The lower value, with the policies that say it. `false` is lower than `true`, the owner than everybody.
fn lower<T: Ord>(one: Option<Bound<T>>, other: Option<Bound<T>>) -> Option<Bound<T>> {
    let (mut one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        (one, other) => return one.or(other),
    };
    match one.value.cmp(&other.value) {
        Ordering::Less => {}
        Ordering::Equal => one.policies.extend(other.policies),
        Ordering::Greater => one = other,
    }
    Some(one)
}
