//! The page as people meet it, in a real browser, against a real daemon and a real Docker Engine. The machine is a made-up
//! shim with a guest in memory. What is done and seen is in `ui/tests`; this puts up the world for it, once.
//!
//! `COVE_UI_COMMAND` is run in `ui/` in the place of all cases: a few of them, screenshots, or a shell to look around in.
//! Where a part is missing the test says so and passes, or fails under `COVE_REQUIRE_UI=1`.

mod world;

use std::io::Write;
use std::process::Command;

use test_support::dockerd::Dockerd;
use world::World;

const CASES: &str = "node_modules/.bin/playwright test";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_does_what_its_cases_say() {
    let missing = world::missing();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        assert!(std::env::var_os("COVE_REQUIRE_UI").is_none_or(|value| value != "1"), "missing: {missing}");
        writeln!(std::io::stderr(), "skipped, missing: {missing}").expect("standard error is open");
        return;
    }
    let Some(engine) = Dockerd::start() else { return };
    let world = World::new(&engine);
    let command = std::env::var("COVE_UI_COMMAND").unwrap_or_else(|_| CASES.to_owned());
    let mut cases = Command::new("sh");
    cases.args(["-c", &command]).current_dir(world::ui()).envs(world.variables(&engine));
    // The made-up guest answers on this runtime meanwhile.
    let ended = tokio::task::spawn_blocking(move || cases.status()).await.expect("waiting does not panic");
    assert!(ended.expect("sh runs").success(), "`{command}` failed; the daemon wrote:\n{}", world.log());
}
