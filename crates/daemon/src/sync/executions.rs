//! Runs of tasks and services, as the control plane hears of them.

use std::collections::BTreeMap;

use api::{AutomationPhase, AutomationStatus, Environment, Session};
use serde_json::{Value, json};
use sync::Key;

use super::desk::Talk;
use super::disk::DiskError;

/// What was told last of each task and service of an environment.
pub(super) type Told = BTreeMap<String, (Session, AutomationPhase)>;

impl Talk<'_> {
    /// Tells of runs that began, went on or ended since this was last asked. A daemon that starts tells of the last of each
    /// once more, which says the same.
    pub(super) fn tell_executions(&mut self, key: &Key, environment: &Environment) -> Result<(), DiskError> {
        let told = self.told_of.entry(key.clone()).or_default();
        let events = news(key, &environment.status.automations.items, told);
        for event in events {
            match self.runner.event(event, self.now()) {
                Ok(output) => self.carry_out(output)?,
                Err(error) => tracing::debug!(%error, "an event is not told"),
            }
        }
        Ok(())
    }
}

fn news(key: &Key, items: &[AutomationStatus], told: &mut Told) -> Vec<Value> {
    let mut events = Vec::new();
    for item in items.iter().filter(|item| item.phase != AutomationPhase::Idle && !item.session.0.is_empty())
    {
        let now = (item.session.clone(), item.phase);
        if told.get(&item.name) == Some(&now) {
            continue;
        }
        told.insert(item.name.clone(), now);
        let ended = matches!(
            item.phase,
            AutomationPhase::Succeeded | AutomationPhase::Failed | AutomationPhase::Stopped
        );
        events.push(json!({
            "type": "execution",
            "environment": key.as_str(),
            "automation": item.name,
            "session": item.session,
            "phase": item.phase,
            "started_at": item.since.filter(|_| !ended),
            "ended_at": item.since.filter(|_| ended),
            "exit_code": item.exit_code.filter(|_| ended),
        }));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_of_a_run_is_told_once() {
        let item = |session: &str, phase: &str| -> AutomationStatus {
            let item = json!({ "name": "tasks/build", "phase": phase, "session": session, "restarts": 0,
                "since": "2026-11-27T10:00:00Z", "exit_code": 0 });
            serde_json::from_value(item).unwrap()
        };
        let key = Key::parse("aa").unwrap();
        let mut told = Told::new();
        let mut phases = Vec::new();
        for item in [
            item("", "idle"),
            item("1", "running"),
            item("1", "running"),
            item("1", "succeeded"),
            item("2", "running"),
        ] {
            let events = news(&key, &[item], &mut told);
            phases.extend(events.iter().map(|event| (event["phase"].clone(), event["exit_code"].clone())));
        }
        let expected = [("running", Value::Null), ("succeeded", json!(0)), ("running", Value::Null)];
        assert_eq!(phases, expected.map(|(phase, code)| (json!(phase), code)));
    }
}
