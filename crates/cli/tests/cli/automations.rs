//! `cove automations`

use api::Environment;
use serde_json::json;

use crate::fake::{Fake, running};

fn app() -> Environment {
    let mut app = running("app", "/srv/app");
    app.status.automations = serde_json::from_value(json!({
        "file": ".cove/automations.yaml",
        "items": [
            {"name": "services/db", "title": "Postgres", "phase": "running", "session": "1", "pid": 12, "millis": 1200,
             "triggered_by": ["postEnvironmentStart"]},
            {"name": "services/web", "phase": "waiting", "session": "1", "depends_on": ["services/db", "tasks/seed"],
             "waits_for": "waits for tasks/seed", "triggered_by": ["postEnvironmentStart"]},
            {"name": "tasks/broken", "phase": "idle", "session": ""},
            {"name": "tasks/seed", "phase": "running", "session": "1", "depends_on": ["services/db"], "millis": 300,
             "outputs": {"rows": "4"}}
        ],
    }))
    .unwrap();
    app
}

fn fake() -> Fake {
    Fake::start(vec![app()], Vec::new())
}

#[test]
fn they_are_listed() {
    insta::assert_snapshot!(fake().run(&["automations", "ls", "app"]).all(), @r##"
    NAME          STATE    TOOK   STARTED BY
    services/db   running  1.2 s  postEnvironmentStart  Postgres
    services/web  waiting  -      postEnvironmentStart  waits for tasks/seed
    tasks/broken  idle     -      manual
    tasks/seed    running  0.3 s  manual
    --- stderr
    --- status 0
    "##);
    let none = Fake::start(vec![running("web", "/srv/web")], Vec::new());
    insta::assert_snapshot!(none.run(&["automations", "ls", "web"]).all(), @r##"
    --- stderr
    `web` has no automations: write them into .cove/automations.yaml.
    --- status 0
    "##);
}

#[test]
fn verbs_become_wishes_and_their_end_is_told() {
    let fake = fake();
    let mut told = Vec::new();
    for line in [
        &["run", "seed", "app"][..],
        &["run", "broken", "app"],
        &["start", "db", "app"],
        &["restart", "services/db", "app"],
        &["stop", "db", "app"],
        &["run", "db", "app"],
        &["start", "sead", "app"],
    ] {
        let ran = fake.run(&[&["automations"], line].concat());
        told.push(format!("$ {}\n{}", line.join(" "), ran.all()));
    }
    insta::assert_snapshot!(told.join("\n"), @r##"
    $ run seed app
    tasks/seed succeeded in 0.3 s
      rows = 4
    --- stderr
    --- status 0
    $ run broken app
    --- stderr
    error[E0213]: `tasks/broken` failed: it ended with status 3
      | no such table
    see: cove explain E0213
    --- status 1
    $ start db app
    services/db runs
    --- stderr
    services/db is there already; `cove automations restart db` starts it anew.
    --- status 0
    $ restart services/db app
    services/db runs
    --- stderr
    --- status 0
    $ stop db app
    services/db is stopped
    --- stderr
    --- status 0
    $ run db app
    --- stderr
    error[E0002]: `db` is a service, not a task
    hint: start it
          cove automations start db
    see: cove explain E0002
    --- status 1
    $ start sead app
    --- stderr
    error[E0002]: `app` has no task or service `sead`
    hint: did you mean `seed`?
    see: cove explain E0002
    --- status 1
    "##);
    let wishes: Vec<String> = fake.requests().into_iter().filter(|it| it.starts_with("PATCH")).collect();
    insta::assert_snapshot!(wishes.join("\n"), @r##"
    PATCH app-id tasks/seed true
    PATCH app-id tasks/broken true
    PATCH app-id services/db true
    PATCH app-id services/db false
    "##);
}

#[test]
fn a_graph_of_an_environment_has_its_times() {
    insta::assert_snapshot!(fake().run(&["automations", "graph", "app"]).all(), @r##"
       NAME          TOOK   WAITS FOR
    *  services/db   1.2 s  -
    *  tasks/seed    0.3 s  services/db
    *  services/web  -      services/db, tasks/seed
       tasks/broken  -      -

    critical path (*): services/db → tasks/seed → services/web (1.5 s)
    --- stderr
    --- status 0
    "##);
}

#[test]
fn files_are_checked_without_a_daemon() {
    let fake = Fake::start(Vec::new(), Vec::new());
    let folder = fake.folder("project/.gitpod");
    let file = folder.join("automations.yaml");
    let folder = folder.parent().unwrap().to_str().unwrap().to_owned();
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        fake.run(&["automations", "validate", &folder]).all().replace(&folder, "/project")
    };
    insta::assert_snapshot!(check("services: {db: {commands: {start: x}, triggeredBy: [postMachineStart]}}"), @r##"
    HOME/project/.gitpod/automations.yaml is good; services: 1, tasks: 0
    warning: HOME/project/.gitpod/automations.yaml:1:53: `services/db`: `postMachineStart` counts as `postEnvironmentStart`: everything runs in the container
    --- stderr
    --- status 0
    "##);
    insta::assert_snapshot!(check("services:\n  db:\n    comands: {start: x}\ntasks: {a: {command: x, dependsOn: [dv]}}"), @r##"
    --- stderr
    error[E0115]: `HOME/project/.gitpod/automations.yaml` has 2 mistakes
      at HOME/project/.gitpod/automations.yaml:3:5
      | HOME/project/.gitpod/automations.yaml:3:5: "services.db.comands": unknown property; did you mean `commands`?
      | HOME/project/.gitpod/automations.yaml:4:37: "tasks.a.dependsOn[0]": there is no task or service `dv`
    see: cove explain E0115
    --- status 1
    "##);
    assert_eq!(fake.requests(), [""; 0]);
}
