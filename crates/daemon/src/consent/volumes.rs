//! Mounts of compose services, which a file laid over the person's own takes out.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use engine::ComposeModel;
use serde_json::Value;

use super::mounts::{ComposeVolume, compose_mount};
use super::{Judge, Withheld};

/// The volumes that stay, of each service that loses one.
pub(crate) type Kept = BTreeMap<String, Vec<Value>>;

/// Finds the mounts of a project's services that nobody agreed to.
pub(crate) fn withhold_volumes(
    model: &ComposeModel,
    roots: &[Utf8PathBuf],
    judge: &Judge<'_>,
) -> (Withheld, Kept) {
    let (mut withheld, mut kept) = (Withheld::default(), Kept::new());
    for (name, service) in &model.services {
        let stays = |volume: &&Value| withheld.passes(consent_of(model, name, volume, roots), judge);
        let staying: Vec<Value> = service.volumes.iter().filter(stays).cloned().collect();
        if staying.len() < service.volumes.len() {
            kept.insert(name.clone(), staying);
        }
    }
    (withheld, kept)
}

fn consent_of(
    model: &ComposeModel,
    service: &str,
    volume: &Value,
    roots: &[Utf8PathBuf],
) -> Option<api::Consent> {
    // Compose doubles each dollar in what it prints, so that it can be read again.
    let text =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(|text| text.replace("$$", "$"));
    let source = text(volume, "source");
    let named = source.as_ref().and_then(|source| model.volumes.get(source)).and_then(Option::as_ref);
    let device = named.and_then(|named| text(named.get("driver_opts")?, "device"));
    let described = ComposeVolume {
        service,
        kind: &text(volume, "type").unwrap_or_default(),
        source: source.as_deref(),
        target: &text(volume, "target").unwrap_or_default(),
        device: device.as_deref(),
    };
    compose_mount(&described, roots)
}

/// The file that gives services only the volumes that stay. It is JSON but for the word that says that a list replaces
/// the one before instead of adding to it, which compose knows since 2.24.
pub(crate) fn volumes_file(kept: &Kept) -> String {
    let services: Vec<String> = kept
        .iter()
        .map(|(name, volumes)| {
            let (name, volumes) = (Value::from(name.as_str()), Value::from(volumes.clone()));
            format!("{name}: {{\"volumes\": !override {volumes}}}")
        })
        .collect();
    format!("{{\"services\": {{{}}}}}\n", services.join(", "))
}
