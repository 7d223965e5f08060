//! What becomes of each thing at the source: a pure function of both sides and of what was asked for.

mod containers;
mod reason;

use std::collections::BTreeSet;

use engine::{ImageRecord, VolumeRecord};
use serde::Serialize;

pub use reason::Reason;

use crate::images::same_image;
use crate::observe::{Comparison, Observed};
use crate::volumes::{is_definition_only, is_plain};

/// A kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network, which comes with the containers that need it.
    Network,
    /// A container's definition.
    Container,
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Only these kinds; all where empty.
    pub only: BTreeSet<Kind>,
    /// Copies volumes too that running containers use.
    pub running: bool,
    /// The folders of the host that our machine sees; `None` when not known.
    pub shares: Option<Vec<String>>,
    /// Bytes that are free for our engine; `None` when not known.
    pub free: Option<u64>,
}

impl Kind {
    /// The word for one.
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Container => "container",
        }
    }

    /// How one is called where it is told of.
    pub(crate) fn title(self, name: &str) -> String {
        format!("{} {name}", self.word())
    }
}

impl Wishes {
    /// Whether things of a kind are asked for.
    pub fn wants(&self, kind: Kind) -> bool {
        let kind = if kind == Kind::Network { Kind::Container } else { kind };
        self.only.is_empty() || self.only.contains(&kind)
    }
}

/// What is done with one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// It is copied.
    Copy,
    /// It is here; the image gets names that it lacks.
    Name,
    /// It is here and the same.
    Nothing,
    /// It is left out.
    LeaveOut {
        /// Why.
        reason: Reason,
        /// What to do about it.
        advice: String,
    },
}

/// One thing at the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Its id, for an image; else its name.
    #[serde(skip)]
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// Bytes in it, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
    /// Names that an image gets here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Names of an image that mean another one here, and are left as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taken_tags: Vec<String>,
    /// What a person should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What has to be copied before it.
    #[serde(skip)]
    pub needs: Vec<(Kind, String)>,
}

/// More would be copied than there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shortage {
    /// Bytes that may be needed.
    pub needed: u64,
    /// Bytes that are free.
    pub free: u64,
}

/// Everything that was asked for, in the order in which it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Images, volumes, networks, containers.
    pub items: Vec<Item>,
    /// Images without a name that no container uses; they are not copied.
    pub nameless_images: usize,
    /// Bytes that may be needed here.
    pub needed: u64,
    /// Set when that is more than there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shortage: Option<Shortage>,
}

impl Item {
    pub(crate) fn new(kind: Kind, key: &str, name: &str, action: Action) -> Self {
        Self {
            kind,
            key: key.to_owned(),
            name: name.to_owned(),
            size: None,
            action,
            tags: Vec::new(),
            taken_tags: Vec::new(),
            notes: Vec::new(),
            needs: Vec::new(),
        }
    }

    /// Whether anything is to be done for it.
    pub fn is_work(&self) -> bool {
        matches!(self.action, Action::Copy | Action::Name)
    }
}

impl Action {
    pub(crate) fn leave_out(reason: Reason) -> Self {
        let advice = reason.advice();
        Self::LeaveOut { reason, advice }
    }
}

impl Plan {
    /// Whether anything is to be done.
    pub fn is_work(&self) -> bool {
        self.items.iter().any(Item::is_work)
    }

    fn item(&self, kind: Kind, key: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.kind == kind && item.key == key)
    }
}

/// Decides for everything that was asked for.
pub fn plan(observed: &Observed, wishes: &Wishes) -> Plan {
    let mut plan = Plan::default();
    if wishes.wants(Kind::Image) {
        images(observed, &mut plan);
    }
    if wishes.wants(Kind::Volume) {
        for volume in &observed.source.volumes {
            plan.items.push(self::volume(volume, observed, wishes));
        }
    }
    if wishes.wants(Kind::Container) {
        containers::plan(observed, wishes, &mut plan);
    }
    plan.needed = needed(&plan, observed);
    plan.shortage =
        wishes.free.filter(|free| *free < plan.needed).map(|free| Shortage { needed: plan.needed, free });
    plan
}

fn images(observed: &Observed, plan: &mut Plan) {
    let used: BTreeSet<_> = observed.source.containers.iter().map(|it| it.image_id.as_str()).collect();
    for image in &observed.source.images {
        if image.tags.is_empty() && !used.contains(image.id.as_str()) {
            plan.nameless_images += 1;
        } else {
            plan.items.push(self::image(image, observed));
        }
    }
}

fn image(image: &ImageRecord, observed: &Observed) -> Item {
    let here = observed.target.images.iter().find(|other| same_image(image, other));
    let name = image.tags.first().cloned().unwrap_or_else(|| short_id(&image.id));
    let mut item = Item::new(Kind::Image, &image.id, &name, Action::Copy);
    item.size = Some(image.size);
    for tag in &image.tags {
        match observed.target.images.iter().find(|other| other.tags.contains(tag)) {
            None => item.tags.push(tag.clone()),
            Some(named) if here.is_some_and(|here| here.id == named.id) => {}
            Some(_) => item.taken_tags.push(tag.clone()),
        }
    }
    if here.is_some() {
        item.action = if item.tags.is_empty() { Action::Nothing } else { Action::Name };
    }
    item
}

fn volume(volume: &VolumeRecord, observed: &Observed, wishes: &Wishes) -> Item {
    let name = &volume.name;
    let here = observed.target.volume(name).filter(|_| !observed.cut_off.contains(name));
    let defined_alike = |here: &VolumeRecord| {
        (&here.driver, &here.options, &here.labels) == (&volume.driver, &volume.options, &volume.labels)
    };
    let mut item = Item::new(Kind::Volume, name, name, Action::Copy);
    item.size = observed.volume_sizes.get(name).copied();
    if is_definition_only(volume) {
        let option = |key: &str| volume.options.get(key).map_or("", String::as_str);
        item.size = None;
        item.notes.push(format!(
            "only its definition is copied: its content lies at `{}` ({})",
            option("device"),
            option("type")
        ));
        match here {
            Some(here) if defined_alike(here) => item.action = Action::Nothing,
            Some(_) => item.action = Action::leave_out(Reason::VolumeDefined { volume: name.clone() }),
            None => {}
        }
        return item;
    }
    if !is_plain(volume) {
        item.action = Action::leave_out(Reason::VolumeDriver { driver: volume.driver.clone() });
        return item;
    }
    let users = observed.source.users_of(name, true);
    if !users.is_empty() {
        if !wishes.running {
            item.action = Action::leave_out(Reason::VolumeBusy { containers: users });
            return item;
        }
        item.notes.push(format!(
            "{} runs and may write while it is read: a database may be torn",
            users.join(", ")
        ));
    }
    match (here, observed.compared.get(name)) {
        (None, _) => {}
        (Some(here), Some(Comparison::Same { .. })) => {
            item.action = Action::Nothing;
            if !defined_alike(here) {
                item.notes.push("its labels or options are others here".to_owned());
            }
        }
        (Some(here), Some(Comparison::Empty)) if defined_alike(here) => {}
        (Some(_), Some(Comparison::Differs(how))) => {
            let (volume, how) = (name.clone(), how.clone());
            item.action = Action::leave_out(Reason::VolumeDiffers { volume, how });
        }
        (Some(_), _) => item.action = Action::leave_out(Reason::VolumeDefined { volume: name.clone() }),
    }
    item
}

/// An engine unpacks an image beside itself before it takes it, one at a time.
fn needed(plan: &Plan, observed: &Observed) -> u64 {
    let sizes = |kind| {
        let copied = plan.items.iter().filter(move |it| it.kind == kind && it.action == Action::Copy);
        copied.filter_map(|it| it.size)
    };
    let layers = match observed.layers_size {
        0 => u64::MAX,
        layers => layers,
    };
    let images = sizes(Kind::Image).sum::<u64>().min(layers);
    images + sizes(Kind::Image).max().unwrap_or_default() + sizes(Kind::Volume).sum::<u64>()
}

/// An id as people see it.
pub(crate) fn short_id(id: &str) -> String {
    let digest = id.strip_prefix("sha256:").unwrap_or(id);
    digest.get(..12).unwrap_or(digest).to_owned()
}

#[cfg(test)]
mod tests;
