//! Environments that are shared with runners: real processes, real sockets, both databases.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api::control::{EnvironmentStatus, RunnerPhase, RunnerStatus};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sync::{Key, Tell};
use test_support::postgres::Postgres;

use crate::client::RECIPIENT;
use crate::place::{Place, Server};
use crate::runner::Mac;

/// How long anything may take until it is there.
const DEADLINE: Duration = Duration::from_mins(3);

const TEAM: &str = "
kind: Organization
metadata: { name: acme }
spec: {}
---
kind: User
metadata: { name: ann }
spec: { email: ann@example.com }
---
kind: Role
metadata: { name: owner }
spec: { permissions: [{}], subjects: [{ user: ann }] }
---
kind: Runner
metadata: { name: mac-1 }
spec: { variant: shared }
---
kind: Runner
metadata: { name: mac-2 }
spec: { variant: shared }
---
kind: Project
metadata: { name: shop }
spec: { repository: { url: u } }
";

/// An environment as it is declared.
fn environment(name: &str, runner: &str, more: &str) -> String {
    format!(
        "kind: Environment\nmetadata: {{ name: {name} }}\nspec:\n  desired_phase: running\n  project: shop\n  \
         runner: {runner}\n  source: {{ type: repository, url: u }}\n{more}"
    )
}

fn apply(place: &Place, text: &str) {
    place.ok(&["apply", "-f", &place.file("apply.yaml", text)]);
}

/// Goes on until it is so.
pub(crate) async fn until(what: &str, macs: &mut [&mut Mac], so: impl Fn(&[&mut Mac]) -> bool) {
    let begun = Instant::now();
    while !so(macs) {
        assert!(begun.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        for mac in macs.iter_mut() {
            mac.go_on(Duration::from_millis(20), |_| false).await;
        }
    }
}

/// Goes on until the server shows it so; what it shows.
pub(crate) async fn shown(
    place: &Place,
    what: (&str, &str),
    macs: &mut [&mut Mac],
    so: impl Fn(&Value) -> bool,
) -> Value {
    let begun = Instant::now();
    loop {
        let shown = place.get(what.0, what.1);
        if so(&shown) {
            return shown;
        }
        assert!(begun.elapsed() < DEADLINE, "not within {DEADLINE:?}: {shown:#}");
        for mac in macs.iter_mut() {
            mac.go_on(Duration::from_millis(20), |_| false).await;
        }
    }
}

pub(crate) fn key_of(environment: &Value) -> Key {
    Key::parse(environment["metadata"]["id"].as_str().unwrap()).unwrap()
}

fn status(environment: &Value) -> EnvironmentStatus {
    serde_json::from_value(environment["status"].clone()).unwrap()
}

/// Runs a story on both databases.
async fn on_both(story: impl AsyncFn(Place)) {
    story(Place::new()).await;
    if let Some(postgres) = Postgres::start() {
        postgres.create("control");
        story(Place::on(Some(postgres.url("control")))).await;
    }
}

/// A team, its server, and a runner that has come in.
async fn begin(place: &Place) -> (Server, Mac) {
    let server = place.serve();
    apply(place, TEAM);
    let mac = Mac::join(place, server.port(), "mac-1").await;
    (server, mac)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_flows_both_ways_and_a_conflict_is_settled() {
    on_both(async |place| {
        let (_server, mut mac) = begin(&place).await;
        apply(&place, &environment("web", "mac-1", "  ports: [{ container_port: 80 }]\n"));
        let key = key_of(&place.get("environment", "web"));
        until("it arrives", &mut [&mut mac], |macs| macs[0].value(&key, "holder") == "mac-1").await;
        assert_eq!(mac.value(&key, "ports/-/80/tcp")["container_port"], 80);
        mac.status(&key, json!({ "phase": "running", "unsaved": 2, "of_a_later_version": true })).await;
        let web =
            shown(&place, ("environment", "web"), &mut [&mut mac], |web| web["status"]["phase"] == "running")
                .await;
        assert_eq!(status(&web).runner.unwrap().as_str(), "mac-1");
        let generation = web["metadata"]["generation"].clone();
        shown(&place, ("environment", "web"), &mut [&mut mac], |web| {
            web["status"]["observed_generation"] == generation
        })
        .await;
        let runner = place.get("runner", "mac-1");
        let runner: RunnerStatus = serde_json::from_value(runner["status"].clone()).unwrap();
        assert_eq!(runner.phase, RunnerPhase::Active);
        assert!(runner.last_heard_at.is_some());

        // Both edit while they are apart. The runner's counts, for it is its field, until somebody settles that.
        mac.is_online = false;
        mac.go_on(Duration::from_millis(50), |_| false).await;
        mac.edit(&key, "desired_phase", "stopped".into()).await;
        mac.edit(&key, "config", "ours.json".into()).await;
        apply(&place, &environment("web", "mac-1", "  config: theirs.json\n"));
        mac.is_online = true;
        let web =
            shown(&place, ("environment", "web"), &mut [&mut mac], |web| !status(web).conflicts.is_empty())
                .await;
        let conflict = &status(&web).conflicts[0];
        assert_eq!((conflict.field.as_str(), &conflict.value), ("config", &json!("ours.json")));
        assert_eq!(
            (conflict.rivals[0].author.as_str(), &conflict.rivals[0].value),
            ("control plane", &json!("theirs.json"))
        );
        assert_eq!(
            (&web["spec"]["desired_phase"], &web["spec"]["config"]),
            (&json!("stopped"), &json!("ours.json"))
        );
        assert!(web["spec"].get("ports").is_none(), "the edit that nobody contradicted counts: {web}");
        let said = place.fails(&["settle", "web", "config", "--value", "{"]);
        assert!(said.contains("JSON"), "{said}");
        let said = place.fails(&["settle", "web", "idle", "--value", "{}"]);
        assert!(said.contains("E0503") && said.contains("no conflict"), "{said}");
        place.ok(&["settle", "web", "config", "--value", "\"ours.json\""]);
        let web = place.get("environment", "web");
        assert!(status(&web).conflicts.is_empty() && web["spec"]["config"] == "ours.json", "{web}");

        place.ok(&["delete", "environment", "web"]);
        let web = place.get("environment", "web");
        assert!(web["metadata"]["deleted_at"].is_string(), "it waits for its runner: {web}");
        shown(&place, ("environment", "web"), &mut [&mut mac], Value::is_null).await;
        until("it is forgotten", &mut [&mut mac], |macs| macs[0].keys().is_empty()).await;
        assert!(mac.told.contains(&Tell::Forgotten(key.clone())));
        assert!(mac.refusals().is_empty(), "{:?}", mac.refusals());
        assert!(place.ok(&["audit", "verify"]).contains("each as it was written"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_on_a_runner_is_shown_and_its_events_are_in_the_log() {
    let place = Place::new();
    let (_server, mut mac) = begin(&place).await;
    apply(&place, &environment("web", "mac-1", ""));
    mac.create("3f9c0a1b2c4d", "web", Some("nowhere")).await;
    let made = shown(&place, ("environment", "web-2"), &mut [&mut mac], |made| !made.is_null()).await;
    assert_eq!(made["metadata"]["id"], "3f9c0a1b2c4d");
    assert_eq!(status(&made).problem.unwrap().code, api::ProblemCode::ResourceInvalid);
    let key = key_of(&made);
    until("its name comes back", &mut [&mut mac], |macs| macs[0].value(&key, "name") == "web-2").await;
    mac.edit(&key, "project", "shop".into()).await;
    let made =
        shown(&place, ("environment", "web-2"), &mut [&mut mac], |made| status(made).problem.is_none()).await;
    assert_eq!(made["spec"]["project"], "shop");

    let hash = "ab".repeat(32);
    mac.event(json!({ "type": "audit", "sequence": 7, "hash": hash })).await;
    mac.event(json!({ "type": "execution", "environment": key, "automation": "tasks/build", "session": "s1",
        "phase": "running" }))
        .await;
    mac.event(json!({ "type": "execution", "environment": key, "automation": "tasks/build", "session": "s1",
        "phase": "failed", "exit_code": 3 }))
        .await;
    mac.event(json!({ "type": "of_a_later_version", "x": 1 })).await;
    until("events are taken in", &mut [&mut mac], |macs| macs[0].is_quiet()).await;
    let log = place.ok(&["audit", "export"]);
    for line in
        [format!("line 7: {hash}"), "of_a_later_version".to_owned(), r#""runner","name":"mac-1"#.to_owned()]
    {
        assert!(log.contains(&line), "{line}: {log}");
    }
    let executions = place.ok(&["get", "executions", "-o", "json"]);
    let executions: Vec<Value> = serde_json::from_str(&executions).unwrap();
    assert_eq!(executions.len(), 1);
    assert_eq!(
        (&executions[0]["status"]["phase"], &executions[0]["status"]["exit_code"]),
        (&json!("failed"), &json!(3))
    );

    // A name that somebody gave on the runner; what ran there goes on belonging to it.
    mac.edit(&key, "name", "api".into()).await;
    shown(&place, ("environment", "api"), &mut [&mut mac], |made| !made.is_null()).await;
    assert!(place.get("environment", "web-2").is_null());
    mac.edit(&key, "desired_phase", "deleted".into()).await;
    shown(&place, ("environment", "api"), &mut [&mut mac], Value::is_null).await;
    assert!(place.ok(&["get", "executions"]).contains("no executions"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_and_secrets_follow_to_the_runner_an_environment_is_on() {
    let place = Place::new();
    let (server, mut mac) = begin(&place).await;
    let mut other = Mac::join(&place, server.port(), "mac-2").await;
    apply(&place, &environment("web", "mac-1", ""));
    let key = key_of(&place.get("environment", "web"));
    until("it arrives", &mut [&mut mac], |macs| macs[0].value(&key, "holder") == "mac-1").await;
    apply(
        &place,
        "kind: Policy\nmetadata: { name: base }\nspec: { stop_after: 600, images: ['docker.io/*'] }\n",
    );
    until("the limits arrive", &mut [&mut mac], |macs| {
        macs[0].value(&key, "policy")["stop_after"]["value"] == 600
    })
    .await;
    // As if somebody had sealed it.
    let value = |session: &str| BASE64.encode(format!("age-encryption.org/v1\n-> X25519 {session}"));
    let secret = |session: &str, runner: &str| {
        format!(
            "kind: Secret\nmetadata: {{ name: token }}\nspec:\n  scope: {{ project: shop }}\n  used_as: {{ variable: TOKEN }}\n  \
             session: {session}\n  sealed: [{{ runner: {runner}, recipient: {RECIPIENT}, value: {} }}]\n",
            value(session)
        )
    };
    apply(&place, &secret("a", "mac-1"));
    let sealed = |mac: &Mac| -> Value {
        let secrets = mac.secrets(&key);
        secrets.first().map(|secret| serde_json::from_str(&secret.sealed).unwrap()).unwrap_or_default()
    };
    until("the secret arrives", &mut [&mut mac], |macs| sealed(macs[0])["value"] == value("a")).await;
    assert_eq!(sealed(&mac)["used_as"], json!({ "variable": "TOKEN" }));
    apply(&place, &secret("b", "mac-2"));
    until("it is taken back", &mut [&mut mac], |macs| macs[0].secrets(&key).is_empty()).await;

    // It moves: the other takes it over, and this one gives it up.
    apply(&place, &environment("web", "mac-2", ""));
    until("it moves", &mut [&mut mac, &mut other], |macs| {
        macs[0].keys().is_empty() && macs[1].value(&key, "holder") == "mac-2"
    })
    .await;
    assert!(mac.told.contains(&Tell::GaveUp(key.clone())));
    until("with its secret", &mut [&mut other], |macs| sealed(macs[0])["value"] == value("b")).await;
    assert_eq!(other.value(&key, "policy")["stop_after"]["value"], 600);

    // A certificate that was taken back ends the connection, and is not let in again.
    place.ok(&["runner", "revoke", "mac-2"]);
    other.told.clear();
    let begun = Instant::now();
    while other.take_up().await.is_some() {
        assert!(begun.elapsed() < DEADLINE);
    }
    let ended = other.wait_for_end().await;
    assert!(ended, "the connection that was there ends");
    assert!(mac.take_up().await.is_some(), "others go on");
    // Nobody is left to say that it is gone there: it goes at once.
    place.ok(&["delete", "environment", "web"]);
    assert!(place.get("environment", "web").is_null());
    place.ok(&["delete", "runner", "mac-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_class_gives_reaches_the_runner_too() {
    let place = Place::new();
    let (_server, mut mac) = begin(&place).await;
    let class = |name: &str, cpus: u32| {
        format!(
            "kind: EnvironmentClass\nmetadata: {{ name: {name} }}\nspec: {{ runner: mac-1, configuration: {{ cpus: {cpus} }} }}\n---\n"
        )
    };
    let sized = |class: &str| {
        format!(
            "kind: Environment\nmetadata: {{ name: sized }}\nspec: {{ desired_phase: running, runner: mac-1, class: {class}, source: {{ type: \
             repository, url: u }} }}\n"
        )
    };
    apply(&place, &(class("small", 2) + &class("large", 8) + &sized("small")));
    let key = key_of(&place.get("environment", "sized"));
    for (name, cpus) in [("small", 2), ("large", 8)] {
        apply(&place, &sized(name));
        until(name, &mut [&mut mac], |macs| macs[0].value(&key, "size")["cpus"] == cpus).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_declared_reaches_its_runner_and_what_became_of_it_comes_back() {
    let place = Place::new();
    let (_server, mut mac) = begin(&place).await;
    apply(&place, &environment("web", "mac-1", ""));
    let key = key_of(&place.get("environment", "web"));
    let run = |stop: bool| {
        format!(
            "kind: Execution\nmetadata: {{ name: nightly }}\nspec: {{ environment: web, automation: tasks/build, session: n1, stop: {stop} }}\n"
        )
    };
    apply(&place, &run(false));
    until("the wish arrives", &mut [&mut mac], |macs| {
        macs[0].value(&key, "automations/tasks/build") == json!({ "run": true, "session": "n1" })
    })
    .await;
    mac.event(json!({ "type": "execution", "environment": key.as_str(), "automation": "tasks/build",
        "session": "n1", "phase": "succeeded", "exit_code": 0 }))
        .await;
    let nightly =
        shown(&place, ("execution", "nightly"), &mut [&mut mac], |one| one["status"]["phase"] == "succeeded")
            .await;
    assert_eq!(nightly["status"]["exit_code"], 0);
    apply(&place, &run(true));
    until("its end is wished", &mut [&mut mac], |macs| {
        macs[0].value(&key, "automations/tasks/build")["run"] == false
    })
    .await;

    // A runner that is paused takes nothing new, and a folder cannot go to another.
    apply(&place, "kind: Runner\nmetadata: { name: mac-1 }\nspec: { variant: shared, paused: true }\n");
    let file = place.file("more.yaml", &environment("more", "mac-1", ""));
    let said = place.fails(&["apply", "-f", &file]);
    assert!(said.contains("takes no new environments") && said.contains("more.yaml:"), "{said}");
    place_is_whole(&place);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_tells_its_runners_of_what_another_one_wrote() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.create("control");
    let here = Place::on(Some(postgres.url("control")));
    let there = Place::on(Some(postgres.url("control")));
    let (_first, mut mac) = begin(&here).await;
    let second = there.serve();
    apply(&there, &environment("web", "mac-1", ""));
    let key = key_of(&here.get("environment", "web"));
    until("it arrives", &mut [&mut mac], |macs| macs[0].value(&key, "holder") == "mac-1").await;
    // The same runner at the other one: what the first knows of it counts no more.
    mac.computer.port = second.port();
    let mut mac = mac.crash();
    mac.edit(&key, "config", "a.json".into()).await;
    let web =
        shown(&here, ("environment", "web"), &mut [&mut mac], |web| web["spec"]["config"] == "a.json").await;
    assert!(status(&web).conflicts.is_empty());
    apply(&here, &environment("web", "mac-1", "  config: b.json\n"));
    until("it arrives there too", &mut [&mut mac], |macs| macs[0].value(&key, "config") == "b.json").await;
    place_is_whole(&here);
}

fn place_is_whole(place: &Place) {
    assert!(place.ok(&["audit", "verify"]).contains("each as it was written"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_set_back_learns_from_its_runners_what_it_forgot() {
    let place = Place::new();
    let (server, mut mac) = begin(&place).await;
    apply(&place, &environment("web", "mac-1", ""));
    let key = key_of(&place.get("environment", "web"));
    until("it arrives", &mut [&mut mac], |macs| macs[0].value(&key, "holder") == "mac-1").await;
    let copy = place.path("copy.db");
    place.ok(&["backup", &copy]);
    mac.edit(&key, "config", "ours.json".into()).await;
    mac.create("3f9c0a1b2c4d", "made-since", None).await;
    shown(&place, ("environment", "made-since"), &mut [&mut mac], |made| !made.is_null()).await;
    apply(&place, &environment("web", "mac-1", "  config: ours.json\n  idle: { stop_after: 77 }\n"));
    until("the server's edit arrives", &mut [&mut mac], |macs| {
        macs[0].value(&key, "idle")["stop_after"] == 77
    })
    .await;
    drop(server);

    // Into a file first, then into a PostgreSQL that is empty.
    let databases = [None, Postgres::start()];
    for postgres in &databases {
        let set_back = Place::on(postgres.as_ref().map(|postgres| {
            postgres.create("control");
            postgres.url("control")
        }));
        set_back.ok(&["restore", &copy]);
        if postgres.is_some() {
            let said = set_back.fails(&["restore", &copy]);
            assert!(said.contains("not empty"), "{said}");
        }
        let server = set_back.serve();
        assert!(set_back.get("environment", "made-since").is_null(), "it is of before");
        mac.computer.port = server.port();
        mac = mac.crash();
        shown(&set_back, ("environment", "made-since"), &mut [&mut mac], |made| !made.is_null()).await;
        let web = shown(&set_back, ("environment", "web"), &mut [&mut mac], |web| {
            web["spec"]["config"] == "ours.json" && web["spec"]["idle"]["stop_after"] == 77
        })
        .await;
        assert!(status(&web).conflicts.is_empty(), "{web:#}");
        apply(&set_back, &environment("web", "mac-1", "  config: ours.json\n  idle: { stop_after: 77 }\n"));
        until("it is told as ever", &mut [&mut mac], |macs| macs[0].value(&key, "ports/-/80/tcp").is_null())
            .await;
        place_is_whole(&set_back);
    }
}

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

const ROUNDS: u64 = 20;

/// What a writer says in the end; the runner goes on meanwhile.
async fn finished(writer: JoinHandle<bool>, mac: &mut Mac) -> bool {
    while !writer.is_finished() {
        mac.go_on(Duration::from_millis(10), |_| false).await;
    }
    writer.join().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_whenever_a_server_or_a_runner_is_killed() {
    on_both(async |place| {
        let mut dice = Dice(41);
        let (mut server, mut mac) = begin(&place).await;
        apply(&place, &environment("web", "mac-1", ""));
        let key = key_of(&place.get("environment", "web"));
        until("it arrives", &mut [&mut mac], |macs| macs[0].value(&key, "holder") == "mac-1").await;
        // The last that each side is known to have on its disk, and all environments that were made.
        let (mut acknowledged, mut written, mut made) = (0, 0, vec!["web".to_owned()]);
        for round in 1..=ROUNDS {
            if round % 4 == 1 {
                // However slow this computer is: some are acknowledged.
                while !finished(place.change(2 * round), &mut mac).await {}
                acknowledged = 2 * round;
            }
            let writer = place.change(2 * round + 1);
            mac.go_on(Duration::from_millis(dice.below(40)), |_| false).await;
            let config = Value::from(format!("{round}.json"));
            if dice.below(3) == 0 {
                let power = usize::try_from(dice.below(2)).unwrap();
                mac = mac.edit_and_crash(&key, "config", config, power);
                written = if power > 0 { round } else { written };
            } else {
                mac.edit(&key, "config", config).await;
                written = round;
            }
            if round % 5 == 0 {
                let name = format!("made-{round}");
                mac.create(&format!("key-{round}"), &name, None).await;
                made.push(name);
            }
            mac.go_on(Duration::from_millis(dice.below(120)), |_| false).await;
            server.kill();
            if writer.join().unwrap() {
                acknowledged = 2 * round + 1;
            }
            if dice.below(2) == 0 {
                mac = mac.crash();
            }
            server = place.serve();
            mac.computer.port = server.port();
            mac.go_on(Duration::from_millis(dice.below(200)), |_| false).await;
        }
        for name in &made {
            shown(&place, ("environment", name), &mut [&mut mac], |made| !made.is_null()).await;
        }
        let web = shown(&place, ("environment", "web"), &mut [&mut mac], |web| {
            web["spec"]["config"] == format!("{written}.json")
                && web["status"]["observed_generation"] == web["metadata"]["generation"]
        })
        .await;
        assert!(web["spec"]["idle"]["stop_after"].as_u64().unwrap() >= acknowledged, "{web:#}");
        assert_eq!(mac.value(&key, "idle"), web["spec"]["idle"]);
        assert_eq!(mac.keys().len(), made.len());
        assert!(mac.refusals().is_empty(), "{:?}", mac.refusals());
        place_is_whole(&place);
    })
    .await;
}
