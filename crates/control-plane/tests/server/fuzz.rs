//! The API held against its own document by a program that makes requests up: nothing that anybody sends is the server's
//! fault, and no answer is one that the document does not have.
//!
//! `COVE_TEST_SCHEMATHESIS` names the folder that Schemathesis was installed into; `cargo xtask test` does that. Without it
//! the test says so and passes.

use std::io::Write as _;
use std::process::Command;

use super::TEAM;
use super::place::Place;

/// Requests that are made up for each operation, beside those at the edges of what the document says.
const EXAMPLES: &str = "10";

/// How long it may go on, in seconds.
const SECONDS: &str = "40";

#[test]
fn whatever_is_sent_is_answered_as_the_document_says() {
    let Some(folder) = std::env::var_os("COVE_TEST_SCHEMATHESIS") else {
        writeln!(std::io::stderr(), "skipped: COVE_TEST_SCHEMATHESIS names no Schemathesis").unwrap();
        return;
    };
    let place = Place::new();
    let server = place.serve();
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    let token = place.personal("ann", &[]);
    // In an organization that is there; elsewhere its token could see nothing.
    place.file("schemathesis.toml", "[parameters]\n\"path.organization\" = \"acme\"\n");
    let mut fuzzer = Command::new("/usr/bin/python3");
    fuzzer.env("PYTHONPATH", folder).current_dir(place.path(""));
    fuzzer.args(["-m", "schemathesis.cli", "run", &format!("{}/v1/openapi.json", server.address())]);
    // A token of nothing but this test.
    fuzzer.args(["--header", &format!("Authorization: Bearer {token}"), "--tls-verify", "false"]);
    // What a spec names must be there, so that not all that has the right form is taken. And one form serves requests and
    // answers: what is always there in an answer may be left out of a request.
    let exclude = "positive_data_acceptance,negative_data_rejection";
    fuzzer.args(["--checks", "all", "--exclude-checks", exclude]);
    // A watch and a conversation never end, and have tests of their own; without its token it could do nothing more, as after
    // signing out.
    fuzzer.args(["--exclude-path-regex", "/(watch|sync|sign-out)$|/tokens/"]);
    fuzzer.args([
        "--max-examples",
        EXAMPLES,
        "--max-time",
        SECONDS,
        "--seed",
        "1",
        "--no-shrink",
        "--continue-on-failure",
        "--no-color",
    ]);
    let mut done = fuzzer.output().unwrap();
    // A server may close a connection that it answered before it had read all that was sent, and the fuzzer takes that for an
    // error of the network. Such a one alone is tried again; a server that died would not be there for that.
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    if !done.status.success() && said.contains("Network Error") && !said.contains("= FAILURES =") {
        done = fuzzer.output().unwrap();
    }
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("Fuzzing"), "it did something: {said}");
    assert!(place.ok(&["audit", "verify"]).contains("each as it was written"));
}
