//! Files as people write them, good ones and bad ones, and what is said of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking, in its helpers too")]

use std::path::Path;

use automations::{Graph, Item, Place, Policy, Reading, Span, Value, read};
use camino::Utf8Path;

/// The files of a folder by name, sorted.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn good(name: &str) -> Reading {
    let (_, bytes) = files("good").into_iter().find(|(file, _)| file == name).unwrap();
    read(Utf8Path::new(name), &bytes).unwrap()
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let said: Vec<String> = files("bad")
        .into_iter()
        .map(|(name, bytes)| read(Utf8Path::new(&name), &bytes).unwrap_err().to_string())
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r##"
    bytes.yaml:1:1: the text is not UTF-8
    cycle.yaml:7:17: "services.web.dependsOn[0]": it waits for itself: services/web → services/db → tasks/migrate → tasks/seed → services/web
    cycle.yaml:17:17: "tasks.self.dependsOn[0]": it waits for itself: tasks/self → tasks/self
    images.yaml:2:71: "services.a.runsOn.docker.environment[0]": expected `NAME=VALUE`: a variable of the container
    images.yaml:2:77: "services.a.runsOn.docker.environment[1]": cannot be the name of a variable, or begins with `COVE_`
    images.yaml:2:81: "services.a.runsOn.docker.environment[2]": cannot be the name of a variable, or begins with `COVE_`
    images.yaml:2:91: "services.a.runsOn.docker.environment[3]": expected a text, found `1`
    images.yaml:2:94: "services.a.runsOn.docker.environment[4]": expected a text, found a mapping
    images.yaml:4:36: "tasks.b.runsOn.docker": `image` is missing
    images.yaml:4:50: "tasks.b.runsOn.docker.environment": expected a list of `NAME=VALUE`, found a mapping
    images.yaml:5:36: "tasks.c.runsOn.docker": expected `image` and `environment`, found `postgres`
    list.yaml:1:1: expected `services` and `tasks`, found a list
    many.yaml:1:1: "service": unknown property; did you mean `services`?
    many.yaml:4:5: "services.db.command": unknown property; did you mean `commands`?
    many.yaml:5:5: "services.db.trigeredBy": unknown property; did you mean `triggeredBy`?
    many.yaml:6:3: "services.bad name": names have 1 to 128 letters, digits, `-` and `_`
    many.yaml:9:23: "services.web.commands.start": expected a text, found an empty one
    many.yaml:9:27: "services.web.commands.redy": unknown property; did you mean `ready`?
    many.yaml:10:19: "services.web.triggeredBy[0]": expected one of `manual`, `postDevcontainerStart`, `postEnvironmentStart`, `postMachineStart`, `prebuild`, `beforeSnapshot`, found `postEnvironmentstart`; did you mean `postEnvironmentStart`?
    many.yaml:10:41: "services.web.triggeredBy[1]": `beforeSnapshot` is for tasks only
    many.yaml:11:11: "services.web.role": expected one of `default`, `editor`, `ai-agent`, `security-agent`, found `agent`
    many.yaml:12:14: "services.web.restart": expected one of `never`, `on-failure`, `always`, found `onfailure`; did you mean `on-failure`?
    many.yaml:13:23: "services.web.timeouts.ready": expected a span of time such as `30s` or `1h30m`, found `30`
    many.yaml:13:33: "services.web.timeouts.stop": expected a span of time such as `30s` or `1h30m`, found `1 minute`
    many.yaml:14:17: "services.web.dependsOn[0]": there is no task or service `bd`
    many.yaml:15:11: "services.web.env.A=B": cannot be the name of a variable, or begins with `COVE_`
    many.yaml:15:19: "services.web.env.COVE_OUTPUT": cannot be the name of a variable, or begins with `COVE_`
    many.yaml:15:39: "services.web.env.C.secrets": unknown property; did you mean `secret`?
    many.yaml:15:55: "services.web.env.D": expected one of `secret: NAME` and `output: TASK.NAME`
    many.yaml:15:84: "services.web.env.E": expected a text, found a list
    many.yaml:16:14: "services.web.runsOn.dokcer": unknown property; did you mean `docker`?
    many.yaml:18:10: "tasks.build": expected a task, found `make`
    many.yaml:20:14: "tasks.seed.command": expected a text, found `true`
    many.yaml:21:5: "tasks.seed.depends_on": unknown property; did you mean `dependsOn`?
    many.yaml:22:5: "tasks.seed.timeouts": unknown property; did you mean `timeout`?
    many.yaml:25:16: "tasks.load.dependsOn": expected a list of names, found `sead`
    many.yaml:26:5: "tasks.load.restart": unknown property
    many.yaml:27:15: "tasks.load.outputs[0]": names of outputs have 1 to 128 letters, digits, `-` and `_`, each once
    many.yaml:27:23: "tasks.load.outputs[2]": names of outputs have 1 to 128 letters, digits, `-` and `_`, each once
    outputs.yaml:5:39: "tasks.one.env.U.output": needs `seed` in `dependsOn`: it has to end before
    outputs.yaml:6:58: "tasks.two.env.U.output": the task `seed` has no `ulr` in its `outputs`; did you mean `url`?
    outputs.yaml:7:41: "tasks.three.env.U.output": there is no task `sead`; did you mean `seed`?
    outputs.yaml:8:40: "tasks.four.env.U.output": expected `TASK.NAME`: an output of a task
    policy.yaml:2:38: "services.a.restart": `policy` is missing
    policy.yaml:2:60: "services.a.restart.maxDelay": must not be less than `delay`, which is 2s
    policy.yaml:2:74: "services.a.restart.attempts": expected a number above 0, found `0`
    policy.yaml:3:37: "services.b.runsOn.docker": `docker` and `machine` exclude each other
    policy.yaml:3:46: "services.b.runsOn.docker": `image` is missing
    policy.yaml:3:47: "services.b.runsOn.docker.img": unknown property
    policy.yaml:4:17: "services.c.commands": expected `start`, `ready` and `stop`, found a list
    syntax.yaml:4:4: while parsing a block mapping, did not find expected key
    terminal.yaml:1:33: "tasks.a.\u{1b}[0m": unknown property
    twice.yaml:3:3: `a` is there twice
    two-documents.yaml:2:1: a second document begins here; the file has one
    "##);
}

#[test]
fn good_files_are_read_and_what_is_odd_is_told() {
    let mut said = Vec::new();
    for (name, bytes) in files("good") {
        let reading = read(Utf8Path::new(&name), &bytes).unwrap();
        let items: Vec<String> = reading.automations.items().map(|item| item.to_string()).collect();
        said.push(format!("{name}: {}", items.join(" ")).trim_end().to_owned());
        said.extend(
            reading.warnings.iter().map(|it| format!("  {} {}: {}", it.position, it.item, it.message)),
        );
    }
    insta::assert_snapshot!(said.join("\n"), @r##"
    elsewhere.yaml: services/db tasks/dump tasks/here tasks/host tasks/nowhere
      10:13 tasks/host: `runsOn.machine` counts as the dev container: there is no other place here, so it runs as its user, with its files and its tools
    empty.yaml:
    gitpod.yaml: services/database services/editor tasks/build tasks/save tasks/seed
      16:19 services/editor: `postMachineStart` counts as `postEnvironmentStart`: everything runs in the container
      32:19 tasks/save: nothing is saved as a snapshot here: `beforeSnapshot` never comes
    whole.yaml: services/db services/seed services/web tasks/seed
    "##);
}

#[test]
fn an_image_of_its_own_is_a_place_and_all_else_is_the_dev_container() {
    let automations = good("elsewhere.yaml").automations;
    let beside = automations.items().filter_map(|item| match automations.place(&item) {
        Place::DevContainer => None,
        Place::Docker(image) => {
            let variables: Vec<String> =
                image.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
            Some(format!("{item} at {} in {} with {}", image.at, image.image, variables.join(" ")))
        }
    });
    assert_eq!(
        beside.collect::<Vec<_>>(),
        [
            "services/db at 5:15 in postgres:17 with EMPTY= POSTGRES_PASSWORD=x=y",
            "tasks/dump at 7:39 in postgres:17 with "
        ]
    );
}

#[test]
fn what_is_written_is_what_is_declared() {
    let automations = good("whole.yaml").automations;
    let db = &automations.services["db"];
    assert_eq!(
        (db.restart.policy, db.restart.delay, db.restart.attempts),
        (Policy::OnFailure, Span(200), Some(5))
    );
    assert_eq!((db.ready_timeout, db.stop_timeout), (Some(Span(90_000)), Span(10_000)));
    assert_eq!(db.env["PORT"], Value::Text("5432".into()));
    assert_eq!(db.env["EMPTY"], Value::Text(String::new()));
    assert!(matches!(&db.env["PASSWORD"], Value::Secret { name, .. } if name == "DB_PASSWORD"));
    let web = &automations.services["web"];
    assert_eq!((web.start.as_str(), web.ready.as_deref()), ("exec serve", Some("pg_isready")));
    let (service, task) = (Item::Service("seed".into()), Item::Task("seed".into()));
    assert_eq!(web.depends_on, [Item::Service("db".into()), task.clone(), service]);
    assert_eq!(automations.tasks["seed"].depends_on, [Item::Service("db".into())]);
    // As the files of others mean it: nothing is started again that ended.
    assert_eq!(good("gitpod.yaml").automations.services["database"].restart.policy, Policy::Never);
}

#[test]
fn a_definition_changes_with_what_it_says_and_not_with_where_it_stands() {
    let whole = good("whole.yaml").automations;
    let text = files("good").into_iter().find(|(name, _)| name == "whole.yaml").unwrap().1;
    let moved = read(Utf8Path::new("x"), &[b"# moved\n\n".as_slice(), &text].concat()).unwrap().automations;
    let text = String::from_utf8(text).unwrap().replace("exec serve", "exec serve --fast");
    let changed = read(Utf8Path::new("x"), text.as_bytes()).unwrap().automations;
    for item in whole.items() {
        assert_eq!(whole.definition(&item), moved.definition(&item), "{item}");
        let differs = item == Item::Service("web".into());
        assert_eq!(whole.definition(&item) != changed.definition(&item), differs, "{item}");
    }
    assert_ne!(whole.digest(), changed.digest());
}

#[test]
fn the_critical_path_is_the_chain_that_takes_longest() {
    let graph = Graph::of(&good("whole.yaml").automations);
    let path = |millis: &dyn Fn(&Item) -> Option<u64>| {
        graph.critical_path(millis).iter().map(|step| step.item.to_string()).collect::<Vec<_>>().join(" → ")
    };
    // Without times, the chain with the most steps.
    assert_eq!(path(&|_| None), "services/db → tasks/seed → services/web");
    let slow_service = |item: &Item| Some(if *item == Item::Service("seed".into()) { 9000 } else { 10 });
    assert_eq!(path(&slow_service), "services/seed → services/web");
}

#[test]
fn the_example_is_good() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/automations/.cove/automations.yaml");
    let reading = read("x".into(), &std::fs::read(file).unwrap()).unwrap();
    assert_eq!(reading.warnings, []);
    let path = Graph::of(&reading.automations).critical_path(|_| None);
    let path: Vec<String> = path.iter().map(|step| step.item.to_string()).collect();
    assert_eq!(path, ["services/db", "tasks/seed", "services/web"]);
    assert_eq!(reading.automations.services["web"].restart.policy, Policy::OnFailure);
}

#[test]
fn a_file_that_is_far_too_long_is_not_read() {
    let long = vec![b'#'; automations::MAX_BYTES + 1];
    assert!(read(Utf8Path::new("x"), &long).unwrap_err().to_string().contains("far too long"));
}
