//! Containers and the networks they need.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use engine::ContainerRecord;

use super::{Action, Item, Kind, Plan, Reason, Wishes, short_id};
use crate::definition::{self, Names, References, body, same_definition};
use crate::images::same_image;
use crate::networks;
use crate::observe::Observed;

/// Paths that every machine has of its own.
const OF_THE_MACHINE: [&str; 8] = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/dev",
    "/proc",
    "/sys",
    "/lib/modules",
    "/etc/localtime",
    "/var/lib/docker",
];

/// A container that is not here yet.
struct Candidate<'a> {
    record: &'a ContainerRecord,
    references: References,
}

/// Adds networks and containers.
pub(super) fn plan(observed: &Observed, wishes: &Wishes, plan: &mut Plan) {
    let source_names = Names::of(&observed.source);
    let target_names = Names::of(&observed.target);
    let mut settled = Vec::new();
    let mut candidates = Vec::new();
    for record in &observed.source.containers {
        let wanted = body(record, &source_names);
        let here = observed.target.containers.iter().find(|here| here.name == record.name);
        let Some(here) = here else {
            candidates.push(Candidate { record, references: definition::references(&wanted) });
            continue;
        };
        let alike =
            same_definition(&wanted, &body(here, &target_names)) && has_same_image(observed, record, here);
        let taken = || Action::leave_out(Reason::NameTaken { name: record.name.clone() });
        settled.push(item(record, if alike { Action::Nothing } else { taken() }));
    }
    let wanted: BTreeSet<_> = candidates.iter().flat_map(|it| &it.references.networks).cloned().collect();
    plan.items.extend(wanted.iter().filter_map(|name| network(observed, name)));
    plan.items.append(&mut settled);
    // What others are joined to comes first.
    while !candidates.is_empty() {
        let waiting: BTreeSet<_> = candidates.iter().map(|it| it.record.name.clone()).collect();
        let (ready, rest): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|it| {
            it.references.containers.intersection(&waiting).all(|name| *name == it.record.name)
        });
        let stuck = ready.is_empty();
        for candidate in if stuck { &rest } else { &ready } {
            let item = container(candidate, observed, wishes, plan);
            plan.items.push(item);
        }
        candidates = if stuck { Vec::new() } else { rest };
    }
}

fn network(observed: &Observed, name: &str) -> Option<Item> {
    // One that is gone at the source shows at the container.
    let record = observed.source.networks.iter().find(|network| network.name == name)?;
    let here = observed.target.networks.iter().find(|network| network.name == name);
    let action = match here {
        _ if record.scope != "local" => {
            Action::leave_out(Reason::NetworkShared { scope: record.scope.clone() })
        }
        Some(here) if networks::alike(record, here) => Action::Nothing,
        Some(_) => Action::leave_out(Reason::NetworkDiffers { name: name.to_owned() }),
        None => Action::Copy,
    };
    Some(Item::new(Kind::Network, name, name, action))
}

fn container(candidate: &Candidate<'_>, observed: &Observed, wishes: &Wishes, plan: &Plan) -> Item {
    let Candidate { record, references } = candidate;
    let mut item = item(record, Action::Copy);
    let mut lacks = Vec::new();
    let image = observed.source.images.iter().find(|image| image.id == record.image_id);
    let image_here =
        image.is_some_and(|image| observed.target.images.iter().any(|other| same_image(image, other)));
    let image_name = image.and_then(|image| image.tags.first().cloned());
    let image_name = image_name.unwrap_or_else(|| short_id(&record.image_id));
    let mut needed =
        vec![(Kind::Image, record.image_id.clone(), image_here, format!("the image `{image_name}`"))];
    for name in &references.volumes {
        let here = observed.target.volume(name).is_some() && !observed.cut_off.contains(name);
        needed.push((Kind::Volume, name.clone(), here, format!("the volume `{name}`")));
    }
    for name in &references.networks {
        needed.push((Kind::Network, name.clone(), false, format!("the network `{name}`")));
    }
    for name in &references.containers {
        let here = observed.target.containers.iter().any(|other| other.name == *name);
        needed.push((Kind::Container, name.clone(), here, format!("the container `{name}`")));
    }
    for (kind, key, here, words) in needed {
        match plan.item(kind, &key).map(|item| &item.action) {
            Some(Action::LeaveOut { .. }) => lacks.push(words),
            Some(_) => item.needs.push((kind, key)),
            None if here => {}
            None => lacks.push(words),
        }
    }
    if !lacks.is_empty() {
        item.action = Action::leave_out(Reason::Lacks { what: lacks });
    }
    item.notes = notes(record, references, observed, wishes);
    item
}

fn notes(
    record: &ContainerRecord,
    references: &References,
    observed: &Observed,
    wishes: &Wishes,
) -> Vec<String> {
    let mut notes = Vec::new();
    let name = &record.name;
    let written = observed.written.get(&record.id).copied().unwrap_or_default();
    if written > 0 {
        let files = match written {
            1 => "a file".to_owned(),
            usize::MAX => "more files than can be listed".to_owned(),
            written => format!("{written} files"),
        };
        notes.push(format!(
            "it wrote {files} into its own file system, which stay behind; to keep them, make an image of it at the \
             source (`docker commit {name} {name}-kept`) and copy that"
        ));
    }
    if let Some(shares) = &wishes.shares {
        for path in &references.host_paths {
            let path = Utf8Path::new(path);
            let own = OF_THE_MACHINE.iter().any(|own| path.starts_with(own));
            if !own && !shares.iter().any(|share| path.starts_with(share)) {
                notes.push(format!(
                    "the machine does not see `{path}`, which it mounts: `cove machine share {path}` before it is \
                     started"
                ));
            }
        }
    }
    notes
}

fn item(record: &ContainerRecord, action: Action) -> Item {
    Item::new(Kind::Container, &record.name, &record.name, action)
}

fn has_same_image(observed: &Observed, record: &ContainerRecord, here: &ContainerRecord) -> bool {
    let by_id: BTreeMap<_, _> = observed.target.images.iter().map(|image| (&image.id, image)).collect();
    let image = observed.source.images.iter().find(|image| image.id == record.image_id);
    match (image, by_id.get(&here.image_id)) {
        (Some(image), Some(here)) => same_image(image, here),
        _ => record.image_id == here.image_id,
    }
}
