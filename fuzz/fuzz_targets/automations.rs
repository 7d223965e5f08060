//! An automations.yaml: read or refused with a place, never a panic; what is read can be planned and comes to rest.
#![no_main]

use std::collections::BTreeSet;

use automations::{Change, Graph, Item, ServiceWish, States, TaskWish, Wish, next, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let declared = match read("automations.yaml".into(), bytes) {
        Ok(reading) => reading.automations,
        Err(error) => {
            assert!(error.to_string().lines().all(|line| line.starts_with("automations.yaml:")));
            return;
        }
    };
    let graph = Graph::of(&declared);
    let count = declared.items().count();
    assert_eq!(graph.in_order().len(), count);
    assert!(graph.critical_path(|_| None).len() <= count);
    let (mut wish, mut states) = (Wish::default(), States::default());
    for item in declared.items() {
        let (run, session) = (true, "1".to_owned());
        match item {
            Item::Service(name) => drop(wish.services.insert(name, ServiceWish { run, session })),
            Item::Task(name) => drop(wish.tasks.insert(name, TaskWish { run, session, ended: None })),
        }
    }
    for _ in 0..=count * 4 {
        let due = next(&declared, &wish, &states, &BTreeSet::new(), 1).due;
        if due.is_empty() {
            return;
        }
        for due in due {
            states.apply(&due.item, &due.change, 1);
            if let Change::Start { .. } = due.change {
                states.came_up(&due.item);
            }
        }
    }
    panic!("it does not come to rest");
});
