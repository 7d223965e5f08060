//! The page in a real browser, in front of a machine that really boots. What is done and seen is in
//! `ui/tests/in-a-machine`; all other cases of the page have a made-up machine and are in `tests/ui`.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::cove::{Cove, finish};

pub(crate) fn the_page_leads_who_is_new_to_an_example_that_answers(cove: &Cove) {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ui");
    let runner = ui.join("node_modules/.bin/playwright");
    assert!(runner.exists(), "there is no {}; run `cargo xtask ui`", runner.display());
    let path = std::env::var("PATH").unwrap_or_default();
    let mut cases = Command::new(runner);
    cove.surround(
        cases
            .arg("test")
            .current_dir(ui)
            .env("COVE_TEST_MACHINE", "1")
            .env("COVE_TEST_SOURCES", cove.shared())
            .env("COVE_TEST_IMAGE", "cove/base:trixie")
            .env("DOCKER_HOST", cove.docker_host())
            .env("PATH", format!("{}:{path}", cove.programs().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let said = finish(cases.spawn().unwrap(), &["playwright", "test"]);
    assert_eq!(said.status, 0, "{}\n{}", said.out, said.err);
}
