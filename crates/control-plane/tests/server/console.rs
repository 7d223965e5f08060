//! The console as people meet it: a real browser, a real server. What is done and seen is in `ui/tests/control`.
//!
//! `COVE_CONSOLE_COMMAND` is run in `ui/` in the place of all cases: a few of them, the picture of the documentation, or a
//! shell to look around in. Where a part is missing the test says so and passes, or fails under `COVE_REQUIRE_UI=1`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::TEAM;
use super::place::Place;

const CASES: &str = "node_modules/.bin/playwright test --config playwright.control.config.ts";

#[test]
fn the_console_does_what_its_cases_say() {
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
    let _server = place.serve();
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    let command = std::env::var("COVE_CONSOLE_COMMAND").unwrap_or_else(|_| CASES.to_owned());
    let mut cases = Command::new("sh");
    cases.args(["-c", &command]).current_dir(ui);
    cases
        .env("COVE_CONTROL", env!("CARGO_BIN_EXE_cove-control"))
        .env("COVE_CONTROL_HOME", place.path("home"));
    assert!(cases.status().unwrap().success(), "`{command}` failed");
}
