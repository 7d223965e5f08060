//! What is wanted of each task and service: by what starts it by itself, and by what a person said. Pure.
//!
//! A session is made from what a trigger is about, the container or a run of it, and is the same each time it is
//! thought of. So nobody has to remember that a trigger came.

use std::collections::BTreeMap;

use api::{AutomationPhase, AutomationWish, AutomationsStatus, FirstRun};
use automations::{Automations, Item, Outcome, ServiceWish, TaskWish, Trigger, Wish};

/// What the sessions of triggers begin with; those of people have none of it.
const PREBUILD: &str = "prebuild ";
const START: &str = "start ";
const CONTAINER: &str = "container ";

/// A run of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// Docker's id.
    pub(super) container: String,
    /// When it started.
    pub(super) started: String,
    /// The first run of that container.
    pub(super) first: String,
}

impl Run {
    pub(super) fn of(container: &str, run: &str, before: &AutomationsStatus) -> Self {
        let first = before.first_run.as_ref().filter(|first| first.container == container);
        let first = first.map_or(run, |first| &first.run);
        Self { container: container.to_owned(), started: run.to_owned(), first: first.to_owned() }
    }

    pub(super) fn first_run(&self) -> FirstRun {
        FirstRun { container: self.container.clone(), run: self.first.clone() }
    }
}

/// All that is wanted in a run of the container. `kept` has what a task left in a session, where the status may not show
/// it.
pub(super) fn wish(
    declared: &Automations,
    said: &BTreeMap<String, AutomationWish>,
    before: &AutomationsStatus,
    run: &Run,
    is_prebuild: bool,
    kept: impl Fn(&str, &str) -> Option<BTreeMap<String, String>>,
) -> Wish {
    let mut wish = Wish::default();
    for item in declared.items() {
        let said =
            said.get(&item.to_string()).filter(|said| said.container_run.as_ref() == Some(&run.started));
        let triggers = declared.triggers(&item);
        let triggered = if is_prebuild {
            triggers.contains(&Trigger::Prebuild).then(|| format!("{PREBUILD}{}", run.container))
        } else {
            session(triggers, matches!(item, Item::Task(_)), run)
        };
        let (run, session) = match (said, triggered) {
            (Some(said), _) => (said.run, said.session.0.clone()),
            (None, Some(session)) => (true, session),
            (None, None) => continue,
        };
        match item {
            Item::Service(name) => {
                wish.services.insert(name, ServiceWish { run, session });
            }
            Item::Task(name) => {
                let item = Item::Task(name.clone()).to_string();
                let ended = ended(before, &item, &session).map(|ended| {
                    // What is remembered for people has no secrets in it.
                    let outputs = kept(&item, &session).unwrap_or(ended.outputs);
                    Outcome { outputs, ..ended }
                });
                wish.tasks.insert(name, TaskWish { run, session, ended });
            }
        }
    }
    wish
}

/// The session of what a trigger starts in this run; `None` where none does.
fn session(triggers: &[Trigger], is_task: bool, run: &Run) -> Option<String> {
    let has = |trigger| triggers.contains(&trigger);
    if has(Trigger::PostEnvironmentStart) || has(Trigger::PostMachineStart) {
        return Some(format!("{START}{}", run.started));
    }
    // A task that did not end in the first run still has to; a service of an earlier run has ended with it.
    let counts = is_task || run.first == run.started;
    (has(Trigger::PostDevcontainerStart) && counts).then(|| format!("{CONTAINER}{}", run.container))
}

/// The trigger that began a session; `None` where there was no session yet. `declared` are those of what runs in it.
pub(super) fn started_by(session: &str, declared: &[Trigger]) -> Option<Trigger> {
    let is_machine =
        declared.contains(&Trigger::PostMachineStart) && !declared.contains(&Trigger::PostEnvironmentStart);
    match session {
        "" => None,
        _ if session.starts_with(PREBUILD) => Some(Trigger::Prebuild),
        _ if session.starts_with(CONTAINER) => Some(Trigger::PostDevcontainerStart),
        _ if session.starts_with(START) && is_machine => Some(Trigger::PostMachineStart),
        _ if session.starts_with(START) => Some(Trigger::PostEnvironmentStart),
        _ => Some(Trigger::Manual),
    }
}

/// How a task ended for a session, as the daemon remembers it.
fn ended(before: &AutomationsStatus, item: &str, session: &str) -> Option<Outcome> {
    let known = before.item(item).filter(|known| known.session.0 == session)?;
    let outcome = |succeeded| Some(Outcome { succeeded, outputs: known.outputs.clone() });
    match known.phase {
        AutomationPhase::Succeeded => outcome(true),
        AutomationPhase::Failed => outcome(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use api::{AutomationStatus, Session};

    use super::*;

    const FILE: &str = "
services:
  always: {commands: {start: x}, triggeredBy: [postEnvironmentStart]}
  once: {commands: {start: x}, triggeredBy: [postDevcontainerStart]}
  hand: {commands: {start: x}, triggeredBy: [manual, prebuild]}
tasks:
  setup: {command: x, triggeredBy: [postDevcontainerStart, prebuild]}
  each: {command: x, triggeredBy: [postMachineStart, postDevcontainerStart]}
";

    fn told(
        said: &[(&str, bool, &str, &str)],
        before: &AutomationsStatus,
        container: &str,
        run: &str,
    ) -> String {
        let declared = automations::read("x".into(), FILE.as_bytes()).unwrap().automations;
        let said = said.iter().map(|(name, run, session, of)| {
            let session = Session((*session).to_owned());
            ((*name).to_owned(), AutomationWish { run: *run, session, container_run: Some((*of).to_owned()) })
        });
        let wish =
            wish(&declared, &said.collect(), before, &Run::of(container, run, before), false, |_, _| None);
        let verb = |run: bool| if run { "run" } else { "stop" };
        let services =
            wish.services.iter().map(|(name, it)| format!("{name}: {} {}", verb(it.run), it.session));
        let tasks = wish.tasks.iter().map(|(name, it)| {
            let ended =
                it.ended.as_ref().map_or("", |ended| if ended.succeeded { ", done" } else { ", failed" });
            format!("{name}: {} {}{ended}", verb(it.run), it.session)
        });
        services.chain(tasks).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn triggers_and_people_make_wishes() {
        let mut before = AutomationsStatus::default();
        let first =
            "always: run start r1; once: run container c1; each: run start r1; setup: run container c1";
        assert_eq!(told(&[], &before, "c1", "r1"), first);
        // The next run of the same container: what is for new ones does not come again.
        before.first_run = Some(FirstRun { container: "c1".into(), run: "r1".into() });
        let setup = AutomationStatus {
            name: "tasks/setup".into(),
            phase: AutomationPhase::Succeeded,
            session: Session("container c1".into()),
            ..idle()
        };
        before.items.push(setup);
        let second = "always: run start r2; each: run start r2; setup: run container c1, done";
        assert_eq!(told(&[], &before, "c1", "r2"), second);
        // A rebuilt one is new.
        let rebuilt =
            "always: run start r3; once: run container c2; each: run start r3; setup: run container c2";
        assert_eq!(told(&[], &before, "c2", "r3"), rebuilt);
        // What a person said counts in the run it was said in.
        let said = [("services/always", false, "s1", "r2"), ("services/hand", true, "s2", "r2")];
        let second = "always: stop s1; hand: run s2; each: run start r2; setup: run container c1, done";
        assert_eq!(told(&said, &before, "c1", "r2"), second);
        assert!(told(&said, &before, "c1", "r4").starts_with("always: run start r4; each"));
    }

    #[test]
    fn a_session_tells_what_began_it() {
        let declared = automations::read("x".into(), FILE.as_bytes()).unwrap().automations;
        let run = Run::of("c1", "r1", &AutomationsStatus::default());
        let session = api::Session::fresh().0;
        let said = BTreeMap::from([(
            "services/hand".to_owned(),
            AutomationWish { run: true, session: Session(session), container_run: Some("r1".to_owned()) },
        )]);
        let told = |is_prebuild| {
            let wish = wish(&declared, &said, &AutomationsStatus::default(), &run, is_prebuild, |_, _| None);
            let sessions = wish.services.into_iter().map(|(name, it)| (Item::Service(name), it.session));
            let all = sessions.chain(wish.tasks.into_iter().map(|(name, it)| (Item::Task(name), it.session)));
            all.map(|(item, session)| {
                let by = started_by(&session, declared.triggers(&item));
                format!("{}: {:?}", item.name(), by.unwrap())
            })
            .collect::<Vec<_>>()
            .join("; ")
        };
        assert_eq!(
            told(false),
            "always: PostEnvironmentStart; hand: Manual; once: PostDevcontainerStart; each: PostMachineStart; \
             setup: PostDevcontainerStart"
        );
        assert_eq!(told(true), "hand: Manual; setup: Prebuild");
        assert_eq!(started_by("", &[Trigger::Prebuild]), None);
    }

    fn idle() -> AutomationStatus {
        serde_json::from_value(serde_json::json!({"name": "", "phase": "idle", "session": ""})).unwrap()
    }
}
