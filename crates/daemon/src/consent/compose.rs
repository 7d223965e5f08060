//! What compose services mount, which a file laid over the person's own takes out.

use std::collections::BTreeMap;

use engine::{ComposeModel, ComposeService, VolumeFacts};
use serde_json::Value;

use super::host_mount::Ground;
use super::mounts::{ComposeVolume, compose_mount, volume_facts};
use super::{Judge, Withheld};

/// The lists that stay, by property, of each service that loses something.
pub(crate) type Kept = BTreeMap<String, BTreeMap<&'static str, Vec<Value>>>;

/// A list of a service from which things of this computer get into its container.
#[derive(Clone, Copy)]
enum Property {
    Volumes,
    /// Files, which compose mounts one by one.
    Secrets,
    Configs,
}

impl Property {
    const ALL: [Self; 3] = [Self::Volumes, Self::Secrets, Self::Configs];

    fn name(self) -> &'static str {
        match self {
            Self::Volumes => "volumes",
            Self::Secrets => "secrets",
            Self::Configs => "configs",
        }
    }

    fn of(self, service: &ComposeService) -> &[Value] {
        match self {
            Self::Volumes => &service.volumes,
            Self::Secrets => &service.secrets,
            Self::Configs => &service.configs,
        }
    }
}

/// Finds the mounts of a project's services that nobody agreed to.
pub(crate) fn withhold_of_services(
    model: &ComposeModel,
    ground: &Ground<'_>,
    judge: &Judge<'_>,
) -> (Withheld, Kept) {
    let (mut withheld, mut kept) = (Withheld::default(), Kept::new());
    for (name, service) in &model.services {
        for property in Property::ALL {
            let all = property.of(service);
            let stays = |item: &&Value| {
                let consent = match property {
                    Property::Volumes => of_volume(model, name, item, ground),
                    Property::Secrets => of_file(&model.secrets, name, item, "/run/secrets/", ground),
                    Property::Configs => of_file(&model.configs, name, item, "/", ground),
                };
                withheld.passes(consent, judge)
            };
            let staying: Vec<Value> = all.iter().filter(stays).cloned().collect();
            if staying.len() < all.len() {
                kept.entry(name.clone()).or_default().insert(property.name(), staying);
            }
        }
    }
    (withheld, kept)
}

fn of_volume(
    model: &ComposeModel,
    service: &str,
    volume: &Value,
    ground: &Ground<'_>,
) -> Option<api::Consent> {
    let source = text(volume, "source");
    let named = source.and_then(|source| model.volumes.get(source)).and_then(Option::as_ref);
    let described = ComposeVolume {
        service,
        kind: text(volume, "type").unwrap_or_default(),
        source,
        target: text(volume, "target").unwrap_or_default(),
        read_only: volume.get("read_only").and_then(Value::as_bool).unwrap_or_default(),
        propagation: volume.get("bind").and_then(|bind| text(bind, "propagation")).unwrap_or_default(),
        named: named.map_or_else(VolumeFacts::default, |named| {
            volume_facts(text(named, "driver"), named.get("driver_opts"))
        }),
    };
    compose_mount(described, ground)
}

/// A secret or configuration that is a file. One that is a variable or stands in the compose file is none.
fn of_file(
    declared: &BTreeMap<String, Option<Value>>,
    service: &str,
    item: &Value,
    usual_folder: &str,
    ground: &Ground<'_>,
) -> Option<api::Consent> {
    let name = text(item, "source")?;
    let file = text(declared.get(name)?.as_ref()?, "file")?;
    let target = text(item, "target").unwrap_or(name);
    let target = if target.starts_with('/') { target.to_owned() } else { format!("{usual_folder}{target}") };
    let described = ComposeVolume {
        service,
        kind: "bind",
        source: Some(file),
        target: &target,
        read_only: true,
        propagation: "",
        named: VolumeFacts::default(),
    };
    compose_mount(described, ground)
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// The file that gives services only what stays. It is JSON but for the word that says that a list replaces the one
/// before instead of adding to it, which compose knows since 2.24.
pub(crate) fn kept_file(kept: &Kept) -> String {
    let list = |(property, items): (&&str, &Vec<Value>)| {
        // Compose takes variables out of it: a dollar that is meant is doubled.
        let items = Value::from(items.clone()).to_string().replace('$', "$$");
        format!("\"{property}\": !override {items}")
    };
    let services: Vec<String> = kept
        .iter()
        .map(|(name, lists)| {
            let lists: Vec<String> = lists.iter().map(list).collect();
            format!("{}: {{{}}}", Value::from(name.as_str()), lists.join(", "))
        })
        .collect();
    format!("{{\"services\": {{{}}}}}\n", services.join(", "))
}
