//! What happens next, in stories and under everything that can go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use automations::{
    Automations, Change, Due, Exit, Graph, Item, Outcome, Phase, ServiceWish, State, States, TaskWish, Wish,
    awaited, next, read,
};
use camino::Utf8Path;
use proptest::prelude::*;

/// Services and tasks that are only played.
struct Stage {
    declared: Automations,
    wish: Wish,
    states: States,
    /// What somebody else looks after; it changes by what the stories say.
    elsewhere: BTreeSet<Item>,
    now: u64,
    /// Processes that are there.
    alive: BTreeSet<Item>,
    told: Vec<String>,
}

fn item(text: &str) -> Item {
    Item::parse(text).expect("the stories name things right")
}

fn declared(text: &str) -> Automations {
    read(Utf8Path::new("x"), text.as_bytes()).expect("the stories' files are good").automations
}

impl Stage {
    fn new(text: &str) -> Self {
        let declared = declared(text);
        let (wish, states, elsewhere) = Default::default();
        Self { declared, wish, states, elsewhere, now: 1000, alive: BTreeSet::new(), told: Vec::new() }
    }

    fn want(&mut self, text: &str, run: bool, session: &str) {
        let session = session.to_owned();
        match item(text) {
            Item::Service(name) => {
                self.wish.services.insert(name, ServiceWish { run, session });
            }
            Item::Task(name) => {
                self.wish.tasks.insert(name, TaskWish { run, session, ended: None });
            }
        }
    }

    /// Everything that is due now; processes do nothing by themselves.
    fn settle(&mut self) -> Option<u64> {
        for _ in 0..1000 {
            let next = next(&self.declared, &self.wish, &self.states, &self.elsewhere, self.now);
            if next.due.is_empty() {
                return next.wake;
            }
            for Due { item, change } in next.due {
                self.check(&item, &change);
                self.states.apply(&item, &change, self.now);
                self.told.push(match &change {
                    Change::Start { .. } => format!("start {item}"),
                    Change::Stop { .. } => format!("stop {item}"),
                    Change::Kill => format!("kill {item}"),
                    Change::Probe => format!("probe {item}"),
                    Change::Fail { message, .. } => format!("fail {item}: {message}"),
                    Change::Wait { message, .. } => format!("{item} {message}"),
                    Change::Ready | Change::Rest { .. } | Change::Recall { .. } => continue,
                });
                match change {
                    Change::Start { .. } => {
                        self.states.came_up(&item);
                        assert!(self.alive.insert(item));
                    }
                    Change::Kill => self.end(&item, Exit::Signal(9)),
                    _ => {}
                }
            }
        }
        panic!("it never comes to rest: {:?}", self.states);
    }

    /// What must hold of every change.
    fn check(&self, item: &Item, change: &Change) {
        if let Change::Start { .. } = change {
            assert!(!self.alive.contains(item), "{item} is there twice");
            for need in self.declared.depends_on(item) {
                let phase = self.states.of(need).phase;
                assert!(
                    matches!(phase, Phase::Running | Phase::Succeeded),
                    "{item} before {need}: {phase:?}"
                );
            }
        }
    }

    fn end(&mut self, item: &Item, exit: Exit) {
        if self.alive.remove(item) {
            self.states.ended(&self.declared, item, exit, self.now);
        }
    }

    fn ready(&mut self, text: &str) {
        self.states.probed(&item(text), true, self.now);
    }

    fn phase(&self, text: &str) -> Phase {
        self.states.of(&item(text)).phase
    }

    fn told(&mut self) -> String {
        std::mem::take(&mut self.told).join("; ")
    }
}

const APP: &str = "
services:
  db: {commands: {start: db, ready: check}, restart: {policy: on-failure, delay: 1s, maxDelay: 4s, attempts: 4}, timeouts: {ready: 10s, stop: 5s}}
  web: {commands: {start: web}, dependsOn: [seed]}
tasks:
  seed: {command: seed, dependsOn: [db], timeout: 30s}
";

#[test]
fn readiness_gates_what_depends_on_it() {
    let mut stage = Stage::new(APP);
    stage.want("services/web", true, "1");
    stage.settle();
    assert_eq!(
        stage.told(),
        "start services/db; tasks/seed waits for services/db; services/web waits for tasks/seed; probe services/db"
    );
    stage.states.probed(&item("services/db"), false, stage.now);
    let wake = stage.settle().unwrap();
    assert_eq!(stage.told(), "");
    stage.now = wake;
    stage.settle();
    assert_eq!(stage.told(), "probe services/db");
    stage.ready("services/db");
    stage.settle();
    assert_eq!(stage.told(), "start tasks/seed");
    stage.end(&item("tasks/seed"), Exit::Code(0));
    stage.settle();
    assert_eq!(stage.told(), "start services/web");
    assert_eq!(stage.phase("services/web"), Phase::Running);
    // Nothing is left to happen, ever.
    assert_eq!(stage.settle(), None);
}

#[test]
fn a_service_that_is_killed_comes_back_after_growing_pauses_and_not_for_ever() {
    let mut stage = Stage::new(APP);
    stage.want("services/db", true, "1");
    let mut pauses = Vec::new();
    for _ in 0..4 {
        stage.settle();
        stage.end(&item("services/db"), Exit::Signal(9));
        let wake = stage.settle().unwrap();
        pauses.push(wake - stage.now);
        stage.now = wake;
    }
    assert_eq!(pauses, [1000, 2000, 4000, 4000]);
    stage.settle();
    stage.end(&item("services/db"), Exit::Signal(9));
    assert_eq!(stage.settle(), None);
    assert_eq!(stage.phase("services/db"), Phase::Failed);
    // One that held for a while begins anew.
    stage.want("services/db", true, "2");
    stage.settle();
    stage.ready("services/db");
    stage.now += 4000;
    stage.end(&item("services/db"), Exit::Code(1));
    assert_eq!(stage.settle(), Some(stage.now + 1000));
    // Ending well is what it is allowed to.
    stage.now += 1000;
    stage.settle();
    stage.end(&item("services/db"), Exit::Code(0));
    stage.settle();
    assert_eq!(stage.phase("services/db"), Phase::Stopped);
}

#[test]
fn limits_end_what_takes_too_long() {
    let mut stage = Stage::new(APP);
    stage.want("tasks/seed", true, "1");
    stage.settle();
    stage.now += 10_000;
    stage.states.probed(&item("services/db"), false, stage.now);
    stage.told();
    stage.settle();
    assert_eq!(stage.told(), "stop services/db");
    stage.now += 5000;
    stage.settle();
    assert_eq!(stage.told(), "kill services/db");
    assert_eq!(stage.phase("services/db"), Phase::Pausing);
    stage.now += 1000;
    stage.settle();
    stage.ready("services/db");
    stage.settle();
    assert_eq!(stage.phase("tasks/seed"), Phase::Running);
    stage.now += 30_000;
    stage.told();
    stage.settle();
    assert_eq!(stage.told(), "stop tasks/seed; kill tasks/seed");
    let seed = stage.states.of(&item("tasks/seed"));
    assert_eq!((seed.phase, seed.message.as_deref()), (Phase::Failed, Some("it took longer than 30s")));
    assert_eq!(stage.phase("services/db"), Phase::Running, "what it needed is not at fault");
}

#[test]
fn sessions_make_verbs_of_wishes() {
    let mut stage = Stage::new(APP);
    stage.want("services/db", true, "1");
    stage.settle();
    stage.ready("services/db");
    stage.want("services/db", true, "2");
    stage.told();
    stage.settle();
    assert_eq!(stage.told(), "stop services/db");
    stage.end(&item("services/db"), Exit::Code(0));
    stage.settle();
    assert_eq!(stage.told(), "start services/db; probe services/db");
    stage.want("services/db", false, "3");
    stage.settle();
    stage.end(&item("services/db"), Exit::Signal(15));
    stage.settle();
    assert_eq!(stage.phase("services/db"), Phase::Stopped);
    // A task that needs it waits: it was stopped by hand.
    stage.want("tasks/seed", true, "1");
    stage.told();
    stage.settle();
    assert_eq!(stage.told(), "tasks/seed waits for services/db, which does not run");
    stage.want("tasks/seed", false, "2");
    stage.settle();
    assert_eq!(stage.phase("tasks/seed"), Phase::Stopped);
}

#[test]
fn a_failure_is_told_along_the_chain_and_overcome_by_asking_again() {
    let mut stage = Stage::new(APP);
    stage.want("services/web", true, "1");
    stage.settle();
    stage.ready("services/db");
    stage.settle();
    stage.end(&item("tasks/seed"), Exit::Code(3));
    stage.told();
    stage.settle();
    assert_eq!(
        stage.told(),
        "fail services/web: tasks/seed, which it depends on, failed: it ended with status 3"
    );
    stage.want("services/web", true, "2");
    stage.settle();
    assert_eq!(stage.told(), "start tasks/seed; services/web waits for tasks/seed");
    stage.end(&item("tasks/seed"), Exit::Code(0));
    stage.settle();
    assert_eq!(stage.phase("services/web"), Phase::Running);
    // What was done is not done again for who needs it.
    stage.want("services/web", true, "3");
    stage.settle();
    stage.end(&item("services/web"), Exit::Code(0));
    stage.told();
    stage.settle();
    assert_eq!(stage.told(), "start services/web");
}

#[test]
fn an_edited_service_is_started_again_and_a_removed_one_stopped() {
    let mut stage = Stage::new(APP);
    stage.want("services/db", true, "1");
    stage.settle();
    stage.ready("services/db");
    let edited = APP.replace("start: db", "start: db2");
    stage.declared = declared(&edited);
    stage.told();
    stage.settle();
    assert_eq!(stage.told(), "stop services/db");
    stage.end(&item("services/db"), Exit::Signal(15));
    stage.settle();
    assert_eq!(stage.told(), "start services/db; probe services/db");
    stage.declared = Automations::default();
    stage.settle();
    assert_eq!(stage.told(), "stop services/db");
}

#[test]
fn a_new_run_of_the_container_begins_anew_and_remembers_what_was_done() {
    let mut stage = Stage::new(APP);
    stage.want("services/web", true, "run1");
    stage.settle();
    stage.ready("services/db");
    stage.settle();
    stage.end(&item("tasks/seed"), Exit::Code(0));
    stage.settle();
    stage.alive.clear();
    stage.states.container_ended(stage.now);
    stage.want("services/web", true, "run2");
    stage.told();
    stage.settle();
    assert_eq!(stage.told(), "start services/web");
    // Somebody else may remember what nothing here does.
    stage.states = States::default();
    stage.alive.clear();
    let ended = Some(Outcome { succeeded: true, outputs: BTreeMap::new() });
    stage.wish.tasks.insert("seed".into(), TaskWish { run: true, session: "c1".into(), ended });
    stage.settle();
    assert_eq!(stage.told(), "services/web waits for tasks/seed; start services/web");
    assert_eq!(stage.phase("tasks/seed"), Phase::Succeeded);
}

#[test]
fn what_is_looked_after_elsewhere_is_waited_for_and_not_touched() {
    let mut stage = Stage::new(
        "
services:
  db: {commands: {start: x}, dependsOn: [build], runsOn: {docker: {image: 'postgres:17'}}}
  web: {commands: {start: x}, dependsOn: [seed]}
tasks:
  build: {command: x}
  seed: {command: x, dependsOn: [db]}
",
    );
    stage.want("services/web", true, "1");
    let db = item("services/db");
    stage.elsewhere.insert(db.clone());
    let awaited = |stage: &Stage| -> Vec<String> {
        let all = awaited(&stage.declared, &stage.wish, &stage.states).into_iter();
        all.map(|(item, session)| format!("{item} for {session}")).collect()
    };
    // Whoever looks after it sees the same: it is needed, and so is what it needs.
    let all = ["services/db for 1", "services/web for 1", "tasks/build for 1", "tasks/seed for 1"];
    assert_eq!(awaited(&stage), all);
    stage.settle();
    let waiting = "start tasks/build; tasks/seed waits for services/db; services/web waits for tasks/seed";
    assert_eq!(stage.told(), waiting);
    assert_eq!(awaited(&stage), ["services/db for 1", "services/web for 1", "tasks/seed for 1"]);

    let there = |phase| State { phase, session: "1".to_owned(), ..State::default() };
    stage.states.0.insert(db.clone(), there(Phase::Starting));
    stage.settle();
    assert_eq!(stage.told(), "");
    stage.states.0.insert(db.clone(), there(Phase::Running));
    stage.settle();
    assert_eq!(stage.told(), "start tasks/seed");
    // Wished stopped, it is for the other to stop it.
    stage.want("services/db", false, "2");
    stage.settle();
    assert_eq!(stage.told(), "");

    // Its failure is that of all who need it.
    stage.end(&item("tasks/seed"), Exit::Code(0));
    stage.settle();
    stage.told();
    let lost = State { message: Some("it is gone".to_owned()), ..there(Phase::Failed) };
    stage.states.0.insert(db, lost);
    stage.want("tasks/seed", true, "3");
    stage.want("services/db", true, "1");
    stage.settle();
    assert_eq!(stage.told(), "fail tasks/seed: services/db, which it depends on, failed: it is gone");
}

/// Any graph without cycles: each may need those before it.
fn graphs() -> impl Strategy<Value = String> {
    let one = (any::<bool>(), proptest::collection::vec(0_usize..8, 0..4), any::<bool>(), 0_u8..3);
    proptest::collection::vec(one, 1..8).prop_map(|all| {
        let (mut services, mut tasks) = (String::new(), String::new());
        let kinds: Vec<bool> = all.iter().map(|(service, ..)| *service).collect();
        let name = |index: usize| format!("{}/n{index}", if kinds[index] { "services" } else { "tasks" });
        for (index, (service, needs, ready, policy)) in all.iter().enumerate() {
            let needs: BTreeSet<String> =
                needs.iter().filter(|need| **need < index).map(|need| name(*need)).collect();
            let needs = needs.into_iter().collect::<Vec<_>>().join(", ");
            if *service {
                let ready = if *ready { ", ready: r" } else { "" };
                let policy = ["never", "on-failure", "always"][usize::from(*policy)];
                writeln!(
                    services,
                    "  n{index}: {{commands: {{start: s{ready}}}, dependsOn: [{needs}], restart: {policy}}}"
                )
                .expect("a string takes all");
            } else {
                writeln!(tasks, "  n{index}: {{command: c, dependsOn: [{needs}], timeout: 20s}}")
                    .expect("a string takes all");
            }
        }
        format!("services:\n{services}tasks:\n{tasks}")
    })
}

proptest! {
    /// Whatever happens and whatever is wished: nothing is there twice, nothing runs before what it needs, and it
    /// comes to rest. Once everything works, all that is wanted is there; once nothing is wanted, nothing is.
    #[test]
    fn it_converges(text in graphs(), events in proptest::collection::vec((0_u8..10, 0_usize..8, 0_u64..30_000), 0..60)) {
        let mut stage = Stage::new(&text);
        let all: Vec<Item> = stage.declared.items().collect();
        for (round, (event, which, pause)) in events.into_iter().enumerate() {
            let item = all[which % all.len()].clone();
            match event {
                0 | 1 => stage.want(&item.to_string(), true, &round.to_string()),
                2 => stage.want(&item.to_string(), false, &round.to_string()),
                3 => stage.end(&item, Exit::Code(0)),
                4 => stage.end(&item, Exit::Code(1)),
                5 => stage.states.probed(&item, true, stage.now),
                6 => { stage.alive.clear(); stage.states.container_ended(stage.now); }
                7 | 8 => {
                    // What the daemon remembers of a task.
                    if let Some(task) = stage.wish.tasks.get_mut(item.name()) {
                        task.ended = Some(Outcome { succeeded: event == 7, outputs: BTreeMap::new() });
                    }
                }
                _ => stage.now += pause,
            }
            stage.settle();
        }
        for item in &all {
            stage.want(&item.to_string(), true, "last");
        }
        for _ in 0..200 {
            stage.now = stage.settle().map_or(stage.now, |wake| wake.max(stage.now));
            for item in &all {
                let phase = stage.states.of(item).phase;
                match item {
                    Item::Service(_) if phase == Phase::Starting => stage.states.probed(item, true, stage.now),
                    Item::Task(_) if phase == Phase::Running => stage.end(item, Exit::Code(0)),
                    _ if phase == Phase::Stopping => stage.end(item, Exit::Signal(15)),
                    _ => {}
                }
            }
        }
        for item in &all {
            let state = stage.states.of(item);
            prop_assert!(matches!(state.phase, Phase::Running | Phase::Succeeded), "{item}: {state:?}\n{text}");
        }
        for item in &all {
            stage.want(&item.to_string(), false, "end");
        }
        for _ in 0..20 {
            stage.settle();
            for item in &all {
                stage.end(item, Exit::Signal(15));
            }
        }
        prop_assert!(stage.alive.is_empty());
        prop_assert_eq!(stage.settle(), None);
    }

    /// The order never puts anything before what it needs, and the critical path is a chain of needs.
    #[test]
    fn order_and_critical_path_follow_the_needs(text in graphs(), millis in proptest::collection::vec(0_u64..1000, 8)) {
        let declared = declared(&text);
        let graph = Graph::of(&declared);
        let order = graph.in_order();
        prop_assert_eq!(order.len(), declared.items().count());
        let at = |item: &Item| order.iter().position(|other| other == item).unwrap();
        let time = |item: &Item| millis[item.name()[1..].parse::<usize>().unwrap()];
        let mut least = 0;
        for item in &order {
            for need in graph.needs(item) {
                prop_assert!(at(need) < at(item));
            }
            least = least.max(graph.with_needs(item).iter().map(&time).max().unwrap());
        }
        let path = graph.critical_path(|item| Some(time(item)));
        for pair in path.windows(2) {
            prop_assert!(graph.needs(&pair[1].item).contains(&pair[0].item));
        }
        let length: u64 = path.iter().map(|step| time(&step.item)).sum();
        prop_assert!(length >= least);
    }
}
