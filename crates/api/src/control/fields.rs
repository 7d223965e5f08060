//! An environment's wishes as fields, each of which is edited for itself.
//!
//! A control plane and a runner share them one by one, so that edits of different ones never meet; entries of maps, and
//! ports, are fields of their own. What belongs together, such as where the files come from, is one field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{EnvironmentSpec, ForwardedPort};
use crate::{Name, PortWish, Transport};

/// Fields by name, with their values.
pub type Fields = BTreeMap<String, Value>;

/// The field that has an environment's name.
const NAME: &str = "name";
/// What the fields of ports begin with.
const PORTS: &str = "ports/";
/// What the fields begin with that say who may reach a port, where that is not its owner alone. A runner forwards ports and
/// lets nobody in from elsewhere, so this is none of its fields.
const ADMISSIONS: &str = "admissions/";
/// What the fields of tasks and services begin with.
const AUTOMATIONS: &str = "automations/";

/// Fields are no environment.
#[derive(Debug, thiserror::Error)]
#[error("these fields are no environment")]
pub struct NoEnvironment(#[from] serde_json::Error);

impl EnvironmentSpec {
    /// It, and its name, as fields. What is absent has none.
    pub fn fields(&self, name: &Name) -> Fields {
        let mut rest = self.clone();
        let ports = std::mem::take(&mut rest.ports);
        let automations = std::mem::take(&mut rest.automations);
        let whole = value(&rest);
        let mut fields: Fields = whole.as_object().cloned().unwrap_or_default().into_iter().collect();
        fields.insert(NAME.to_owned(), name.as_str().into());
        for ForwardedPort { wish, admission } in &ports {
            fields.insert(format!("{PORTS}{}", field_of(wish)), value(wish));
            if !admission.is_owner() {
                fields.insert(format!("{ADMISSIONS}{}", field_of(wish)), value(admission));
            }
        }
        fields.extend(automations.iter().map(|(item, wish)| (format!("{AUTOMATIONS}{item}"), value(wish))));
        fields
    }

    /// What [`EnvironmentSpec::fields`] was made of. Fields that no environment has are passed over: they are of a later
    /// version, or of no concern here.
    ///
    /// # Errors
    /// One is missing or has not its form.
    pub fn of_fields(fields: &Fields) -> Result<(Name, Self), NoEnvironment> {
        let mut whole = Map::new();
        let (mut ports, mut automations) = (Vec::new(), Map::new());
        for (field, value) in fields {
            if let Some(port) = field.strip_prefix(PORTS) {
                let wish = serde_json::from_value(value.clone())?;
                let admission = fields.get(&format!("{ADMISSIONS}{port}")).filter(|it| !it.is_null());
                let admission = admission.map(|it| serde_json::from_value(it.clone())).transpose()?;
                ports.push(ForwardedPort { wish, admission: admission.unwrap_or_default() });
            } else if let Some(item) = field.strip_prefix(AUTOMATIONS) {
                automations.insert(item.to_owned(), value.clone());
            } else if OWN.contains(&field.as_str()) {
                whole.insert(field.clone(), value.clone());
            }
        }
        whole.insert("ports".to_owned(), value(&ports));
        whole.insert("automations".to_owned(), automations.into());
        let name = serde_json::from_value(fields.get(NAME).cloned().unwrap_or_default())?;
        Ok((name, serde_json::from_value(whole.into())?))
    }
}

/// Fields that are one of the spec's own.
const OWN: &[&str] =
    &["desired_phase", "project", "owner", "runner", "class", "source", "config", "rebuild", "idle"];

/// What is behind the beginning of a port's fields: those that are for the same one have the same.
fn field_of(port: &PortWish) -> String {
    let transport = match port.transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    };
    // No service has this name: names of compose begin with a letter or a digit.
    let service = port.service.as_deref().unwrap_or("-");
    format!("{service}/{}/{transport}", port.container_port)
}

fn value(of: &impl serde::Serialize) -> Value {
    serde_json::to_value(of).expect("specs are plain data that JSON can hold")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Value {
        serde_json::json!({
            "desired_phase": "running",
            "project": "shop",
            "owner": "ann",
            "runner": "anns-mac",
            "class": "large",
            "source": { "type": "repository", "url": "https://git.example.com/shop.git", "branch": "main" },
            "config": ".devcontainer/web/devcontainer.json",
            "rebuild": "2",
            "ports": [
                { "container_port": 3000, "transport": "tcp", "host_port": 8080, "admission": "organization" },
                { "container_port": 5353, "transport": "udp" },
                { "container_port": 5432, "transport": "tcp", "service": "db" },
            ],
            "automations": { "services/web": { "run": true, "session": "1" }, "tasks/build": { "run": true, "session": "4" } },
            "idle": { "stop_after": 1800 },
        })
    }

    #[test]
    fn an_environment_is_its_fields_and_back() {
        let small = serde_json::json!({
            "desired_phase": "stopped", "runner": "big", "source": { "type": "folder", "path": "/work" }, "idle": {},
        });
        for (spec, count) in [(full(), 16), (small, 6)] {
            let spec: EnvironmentSpec = serde_json::from_value(spec).unwrap();
            let name = Name::parse("web").unwrap();
            let mut fields = spec.fields(&name);
            assert_eq!(fields.len(), count, "{fields:?}");
            fields.insert("policy".to_owned(), Value::Null);
            let back = EnvironmentSpec::of_fields(&fields).unwrap();
            let ports = |spec: &EnvironmentSpec| {
                let named = spec.ports.iter().map(|port| (field_of(&port.wish), port.admission));
                named.collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(ports(&back.1), ports(&spec));
            assert_eq!(back, (name, EnvironmentSpec { ports: back.1.ports.clone(), ..spec }));
        }
    }

    #[test]
    fn every_field_of_a_spec_is_known() {
        let spec: EnvironmentSpec = serde_json::from_value(full()).unwrap();
        let whole = value(&spec);
        for field in whole.as_object().unwrap().keys() {
            assert!(
                OWN.contains(&field.as_str()) || ["ports", "automations"].contains(&field.as_str()),
                "{field}"
            );
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_told() {
        let spec: EnvironmentSpec = serde_json::from_value(full()).unwrap();
        for (field, wrong) in [("source", None), ("name", None), ("desired_phase", Some("asleep"))] {
            let mut fields = spec.fields(&Name::parse("web").unwrap());
            match wrong {
                None => fields.remove(field),
                Some(wrong) => fields.insert(field.to_owned(), wrong.into()),
            };
            assert!(EnvironmentSpec::of_fields(&fields).is_err(), "{field}");
        }
    }
}
