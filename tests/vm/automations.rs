//! Tasks and services in the machine.

use serde_json::Value;

use crate::cove::{Cove, fetch, until};

/// One of the automations of the example, as `ls` tells of it.
fn told(cove: &Cove, name: &str) -> Value {
    let all = cove.json(&["automations", "ls", "automations"]);
    let items = all["items"].as_array().unwrap();
    items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("no {name} in {all:#}")).clone()
}

pub(crate) fn the_example_of_automations_heals(cove: &Cove) {
    let folder = cove.example("automations");
    cove.ok(&["up", folder.to_str().unwrap()]);
    until("the web server runs", || told(cove, "services/web")["phase"] == "running");
    assert_eq!(told(cove, "services/db")["phase"], "running");
    assert_eq!(told(cove, "tasks/seed")["phase"], "succeeded");
    let shown = cove.json(&["show", "automations"]);
    let port = shown.pointer("/status/ports/0/host_port").and_then(Value::as_u64);
    let port = u16::try_from(port.unwrap_or_else(|| panic!("no port is forwarded: {shown:#}"))).unwrap();
    let answers = || fetch(port).is_ok_and(|answer| answer.contains(" 200 "));
    until("the web server answers", answers);

    cove.ok(&["exec", "automations", "--", "pkill", "-9", "-f", "web.py"]);
    until("the web server is started again", || {
        let web = told(cove, "services/web");
        web["phase"] == "running" && web["restarts"] == 1
    });
    until("it answers again", answers);

    // What runs inside does not need the daemon.
    assert!(cove.kill("coved") > 0);
    assert!(cove.ok(&["automations", "logs", "seed", "automations"]).lines().count() > 0);
    assert_eq!(told(cove, "services/web")["restarts"], 1);
    cove.ok(&["automations", "restart", "db", "automations"]);
    until("the database runs again", || told(cove, "services/db")["phase"] == "running");
    until("the web server answers with the new database", answers);
    cove.ok(&["rm", "--yes", "automations"]);
}
