//! An environment of this computer, held beside its document.
//!
//! What is wanted of an environment is written in two places: in the store, by whoever sits here, and in the document,
//! by the control plane as well. The mirror remembers for each field what both last agreed on. A side that differs from
//! that has been edited; if both have, the edit made here goes into the document, where the rules of crate `sync` say
//! which counts. All of this is pure.

use std::collections::BTreeMap;

use api::control::{EnvironmentSource, EnvironmentSpec, Fields, Repository};
use api::{AutomationWish, DesiredPhase, Environment, IdlePolicy, Name, PortWish, Session, Source};
use serde_json::Value;
use sync::PHASE;

/// Fields that this computer knows of an environment. What else a document has (its project, its owner, its class) is the
/// control plane's.
const OWN: &[&str] = &["desired_phase", "source", "config", "rebuild", "idle"];
/// What the fields of entries begin with.
const ENTRIES: &[&str] = &["ports/", "automations/"];
/// Fields that cannot change while an environment is there.
const FIXED: &[&str] = &["source", "config"];

fn is_ours(field: &str) -> bool {
    OWN.contains(&field) || ENTRIES.iter().any(|entries| field.starts_with(entries))
}

/// What is wanted of an environment here, as fields.
pub(super) fn fields_of(environment: &Environment, runner: &Name) -> Fields {
    let mut fields = declared(environment, runner).fields(&environment.metadata.name);
    fields.retain(|field, _| is_ours(field));
    fields
}

/// The same, as a control plane is told of an environment that was made here.
pub(super) fn fields_of_new(environment: &Environment, runner: &Name) -> Fields {
    let mut fields = declared(environment, runner).fields(&environment.metadata.name);
    fields.remove(sync::PLACED);
    fields
}

fn declared(environment: &Environment, runner: &Name) -> EnvironmentSpec {
    let spec = &environment.spec;
    // For which run of the container a wish is, only this computer understands.
    let shared = |wish: &AutomationWish| AutomationWish { container_run: None, ..wish.clone() };
    let automations = spec.automations.iter().map(|(item, wish)| (item.clone(), shared(wish)));
    EnvironmentSpec {
        desired_phase: spec.desired_phase,
        project: None,
        owner: None,
        runner: runner.clone(),
        class: None,
        source: source_of(&spec.source),
        config: spec.config.clone(),
        rebuild: spec.rebuild.clone(),
        ports: spec.ports.iter().cloned().map(Into::into).collect(),
        automations: automations.collect(),
        idle: spec.idle,
    }
}

fn source_of(source: &Source) -> EnvironmentSource {
    match source {
        Source::Folder { path } | Source::Worktree { path, .. } => {
            EnvironmentSource::Folder { path: path.clone() }
        }
        Source::Clone { url, branch, .. } => {
            EnvironmentSource::Repository(Repository { url: url.clone(), branch: branch.clone() })
        }
    }
}

/// What one look at both sides comes to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Turn {
    /// Edits made here, for the document; null takes a field away.
    pub(super) edits: Vec<(String, Value)>,
    /// What the document says and the environment does not; nothing where it says nothing.
    pub(super) wishes: BTreeMap<String, Option<Value>>,
}

/// Compares both with what they last agreed on. A document without a value for a field takes it from here once.
pub(super) fn compare(here: &Fields, agreed: &Fields, document: &Fields) -> Turn {
    let mut turn = Turn::default();
    let known = here.keys().chain(agreed.keys()).chain(document.keys());
    let fields: std::collections::BTreeSet<_> = known.filter(|field| is_ours(field)).collect();
    for field in fields {
        let (ours, theirs) = (here.get(field), document.get(field));
        if ours == theirs {
            continue;
        }
        if ours != agreed.get(field) {
            turn.edits.push((field.clone(), ours.cloned().unwrap_or(Value::Null)));
        } else if !(field == PHASE && theirs.is_some_and(|phase| phase == "deleted")) {
            // A deletion that takes effect is told by itself; one that does not is none.
            turn.wishes.insert(field.clone(), theirs.cloned());
        }
    }
    turn
}

/// What both agree on after a turn: a field that they still differ in stays as it was.
pub(super) fn agreed(here: &Fields, before: &Fields, document: &Fields) -> Fields {
    let known = here.keys().chain(before.keys()).chain(document.keys());
    let fields: std::collections::BTreeSet<_> = known.filter(|field| is_ours(field)).collect();
    let now = fields.into_iter().filter_map(|field| {
        let (ours, theirs) = (here.get(field), document.get(field));
        let value = if ours == theirs { ours } else { before.get(field) };
        value.map(|value| (field.clone(), value.clone()))
    });
    now.collect()
}

/// Wishes as they are carried out on an environment.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Change {
    pub(super) desired_phase: Option<DesiredPhase>,
    pub(super) rebuild: Option<Session>,
    pub(super) idle: Option<IdlePolicy>,
    pub(super) ports: Option<Vec<PortWish>>,
    pub(super) automations: BTreeMap<String, AutomationWish>,
    /// Fields that cannot be carried out, and are told.
    pub(super) refused: Vec<String>,
}

impl Change {
    /// Reads wishes about an environment.
    pub(super) fn of(wishes: &BTreeMap<String, Option<Value>>, ports: &[PortWish]) -> Self {
        let mut change = Self::default();
        let mut wanted = ports.to_vec();
        for (field, value) in wishes {
            let done = change.take(field, value.clone(), &mut wanted);
            if done.is_none() {
                change.refused.push(field.clone());
            }
        }
        if wanted != ports {
            change.ports = Some(wanted);
        }
        change
    }

    /// Takes one wish in; nothing where it cannot be carried out.
    fn take(&mut self, field: &str, value: Option<Value>, ports: &mut Vec<PortWish>) -> Option<()> {
        if FIXED.contains(&field) {
            return None;
        }
        if let Some(port) = field.strip_prefix("ports/") {
            let wish: Option<PortWish> = value.map(serde_json::from_value).transpose().ok()?;
            let name = port_of(port)?;
            ports.retain(|there| !there.is_for_same(wish.as_ref().unwrap_or(&name)));
            ports.extend(wish);
        } else if let Some(item) = field.strip_prefix("automations/") {
            // A wish that is taken away is as good as said: it holds for one run of the container.
            if let Some(value) = value {
                self.automations.insert(item.to_owned(), serde_json::from_value(value).ok()?);
            }
        } else {
            let value = value.unwrap_or_default();
            match field {
                "desired_phase" => self.desired_phase = Some(serde_json::from_value(value).ok()?),
                "rebuild" => self.rebuild = Some(serde_json::from_value(value).ok()?),
                "idle" => self.idle = Some(serde_json::from_value(value).ok()?),
                _ => return None,
            }
        }
        Some(())
    }
}

/// The port that a field is named for: `SERVICE/PORT/TRANSPORT`.
fn port_of(text: &str) -> Option<PortWish> {
    let (service, rest) = text.split_once('/')?;
    let service = if service == "-" { String::new() } else { format!("{service}:") };
    format!("{service}{rest}").parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(of: &[(&str, Value)]) -> Fields {
        of.iter().map(|(field, value)| ((*field).to_owned(), value.clone())).collect()
    }

    #[test]
    fn who_differs_from_what_was_agreed_on_has_edited() {
        let agreed = fields(&[("desired_phase", json!("running")), ("rebuild", json!(""))]);
        for (here, document, edits, wishes) in [
            // Edited here, there, both, and both alike.
            ("stopped", "running", vec![("desired_phase", json!("stopped"))], vec![]),
            ("running", "stopped", vec![], vec![("desired_phase", json!("stopped"))]),
            ("deleted", "stopped", vec![("desired_phase", json!("deleted"))], vec![]),
            ("stopped", "stopped", vec![], vec![]),
            // A deletion is not carried out by a comparison.
            ("running", "deleted", vec![], vec![]),
        ] {
            let here = fields(&[("desired_phase", json!(here)), ("rebuild", json!(""))]);
            let document = fields(&[
                ("desired_phase", json!(document)),
                ("rebuild", json!("")),
                ("project", json!("shop")),
                ("policy", json!({})),
            ]);
            let turn = compare(&here, &agreed, &document);
            let edits: Vec<_> = edits.into_iter().map(|(field, value)| (field.to_owned(), value)).collect();
            let wishes = wishes.into_iter().map(|(field, value)| (field.to_owned(), Some(value))).collect();
            assert_eq!(turn, Turn { edits, wishes }, "{here:?} {document:?}");
        }
    }

    #[test]
    fn entries_come_and_go_one_by_one() {
        let port = json!({ "container_port": 3000, "transport": "tcp" });
        let other = json!({ "container_port": 53, "transport": "udp", "service": "dns" });
        let agreed_on = fields(&[("ports/-/3000/tcp", port.clone())]);
        let document = fields(&[("ports/dns/53/udp", other.clone())]);
        let turn = compare(&agreed_on, &agreed_on, &document);
        assert!(turn.edits.is_empty());
        let there = [serde_json::from_value(port).unwrap()];
        let change = Change::of(&turn.wishes, &there);
        assert_eq!(change.ports, Some(vec![serde_json::from_value(other).unwrap()]));
        assert_eq!(agreed(&document, &agreed_on, &document), document);
    }

    #[test]
    fn what_could_not_be_carried_out_is_wished_again() {
        let before = fields(&[("idle", json!({}))]);
        let here = before.clone();
        let document = fields(&[
            ("idle", json!({})),
            ("automations/services/web", json!({ "run": true, "session": "1" })),
            ("source", json!({ "type": "folder", "path": "/elsewhere" })),
        ]);
        let now = agreed(&here, &before, &document);
        let turn = compare(&here, &now, &document);
        assert_eq!(turn, compare(&here, &before, &document));
        let change = Change::of(&turn.wishes, &[]);
        assert_eq!((change.refused, change.automations.len()), (vec!["source".to_owned()], 1));
    }
}
