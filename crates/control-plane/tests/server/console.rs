//! The console as people meet it: a real browser, a real server. What is done and seen is in `ui/tests/control`.
//!
//! `COVE_CONSOLE_COMMAND` is run in `ui/` in the place of all cases: a few of them, the picture of the documentation, or a
//! shell to look around in. Where a part is missing the test says so and passes, or fails under `COVE_REQUIRE_UI=1`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use sync::Key;

use super::TEAM;
use super::place::{Place, Server};
use super::runner::Mac;
use super::syncing::{key_of, shown, until};

const CASES: &str = "node_modules/.bin/playwright test --config playwright.control.config.ts";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_does_what_its_cases_say() {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui");
    let needed = [
        ui.join("node_modules/.bin/playwright"),
        ui.join("dist-control/assets"),
        PathBuf::from("/usr/bin/chromium"),
    ];
    let missing: Vec<_> = needed.iter().filter(|path| !path.exists()).collect();
    if !missing.is_empty() {
        assert!(std::env::var_os("COVE_REQUIRE_UI").is_none_or(|value| value != "1"), "missing: {missing:?}");
        writeln!(std::io::stderr(), "skipped, missing: {missing:?}").unwrap();
        return;
    }
    let place = Place::new();
    let server = place.serve();
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    let mut bench = Bench::of(&place, &server).await;
    let wanted = std::env::var("COVE_CONSOLE_COMMAND");
    let command = wanted.as_deref().unwrap_or(CASES);
    let mut cases = Command::new("sh");
    cases.args(["-c", command]).current_dir(ui);
    cases
        .env("COVE_CONTROL", env!("CARGO_BIN_EXE_cove-control"))
        .env("COVE_CONTROL_HOME", place.path("home"));
    let mut cases = cases.spawn().unwrap();
    let ended = loop {
        if let Some(ended) = cases.try_wait().unwrap() {
            break ended;
        }
        bench.mac.go_on(Duration::from_millis(20), |_| false).await;
    };
    assert!(ended.success(), "`{command}` failed");
    if wanted.is_err() {
        bench.has_what_was_chosen().await;
    }
}

/// A computer that people work on and that somebody else declares things for, while neither hears of the other.
struct Bench {
    mac: Mac,
    /// Its configuration was changed on both sides.
    till: Key,
    /// Deleted on the server, while it was changed on its runner.
    kiosk: Key,
    /// Likewise.
    stall: Key,
}

impl Bench {
    async fn of(place: &Place, server: &Server) -> Self {
        let apply = |text: &str| place.ok(&["apply", "-f", &place.file("bench.yaml", text)]);
        apply(
            "kind: Runner\nmetadata: { name: bench }\nspec: { title: The bench, variant: personal, owner: ann }\n",
        );
        let environment = |name: &str, more: &str| {
            apply(&format!(
                "kind: Environment\nmetadata: {{ name: {name}, labels: {{ team: checkout }} }}\nspec:\n  desired_phase: running\n  project: shop\n  \
                 owner: ann\n  runner: bench\n  source: {{ type: repository, url: 'https://github.com/example/shop' }}\n{more}"
            ))
        };
        let mut mac = Mac::join(place, server.port(), "bench").await;
        let keys = ["till", "kiosk", "stall"].map(|name| {
            environment(name, "");
            key_of(&place.get("environment", name))
        });
        for key in &keys {
            until("it arrives", &mut [&mut mac], |macs| macs[0].value(key, "holder") == "bench").await;
            mac.status(key, json!({ "phase": "running", "unsaved": 2 })).await;
        }
        let [till, kiosk, stall] = keys;
        let started_at = Timestamp::now() - 5.minutes();
        let ended_at = started_at + 65.seconds();
        for (automation, phase, exit_code) in [
            ("services/web", "running", Value::Null),
            ("tasks/build", "succeeded", 0.into()),
            ("tasks/test", "failed", 3.into()),
        ] {
            mac.event(
                json!({ "type": "execution", "environment": till, "automation": automation, "session": "s1",
                "phase": phase, "exit_code": exit_code, "started_at": started_at,
                "ended_at": (!exit_code.is_null()).then_some(ended_at) }),
            )
            .await;
        }
        until("what ran is told", &mut [&mut mac], |macs| macs[0].is_quiet()).await;

        mac.is_online = false;
        mac.go_on(Duration::from_millis(50), |_| false).await;
        for key in [&till, &kiosk, &stall] {
            mac.edit(key, "config", "ours.json".into()).await;
        }
        environment("till", "  config: theirs.json\n");
        place.ok(&["delete", "environment", "kiosk"]);
        place.ok(&["delete", "environment", "stall"]);
        mac.is_online = true;
        for name in ["till", "kiosk", "stall"] {
            let is_disputed = |one: &Value| one["status"]["conflicts"].is_array();
            shown(place, ("environment", name), &mut [&mut mac], is_disputed).await;
        }
        Self { mac, till, kiosk, stall }
    }

    /// What was clicked has come to the computer.
    async fn has_what_was_chosen(&mut self) {
        let Self { mac, till, kiosk, stall } = self;
        until("the choices arrive", &mut [mac], |macs| {
            let value = |key, field| macs[0].value(key, field);
            value(till, "config") == "theirs.json"
                && value(kiosk, "desired_phase") == "stopped"
                && value(kiosk, "config") == "ours.json"
                && !macs[0].keys().contains(stall)
        })
        .await;
        assert!(mac.refusals().is_empty(), "{:?}", mac.refusals());
    }
}
