//! The API held against its own document by a program that makes requests up: nothing that anybody sends is the server's
//! fault, and no answer is one that the document does not have.
//!
//! `COVE_TEST_SCHEMATHESIS` names the folder that Schemathesis was installed into; `cargo xtask test` does that. Without it
//! the test says so and passes.

use std::io::Write as _;
use std::process::Command;

use test_support::postgres::Postgres;

use super::TEAM;
use super::place::Place;

/// How long it goes on: in seconds, and with how many requests that are made up for each operation, beside those at the edges
/// of what the document says.
struct Effort {
    seconds: &'static str,
    examples: &'static str,
    phases: &'static str,
}

#[test]
fn whatever_is_sent_is_answered_as_the_document_says() {
    let effort = Effort { seconds: "40", examples: "10", phases: "examples,coverage,fuzzing,stateful" };
    hold(&Place::new(), &effort);
}

/// What a database takes differs at the edges: which texts, how large a number.
#[test]
fn whatever_is_sent_to_a_server_with_postgresql_is_answered_so_too() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.create("control");
    let effort = Effort { seconds: "12", examples: "3", phases: "coverage,fuzzing" };
    hold(&Place::on(Some(postgres.url("control"))), &effort);
}

fn hold(place: &Place, effort: &Effort) {
    let Some(folder) = std::env::var_os("COVE_TEST_SCHEMATHESIS") else {
        let _ = writeln!(std::io::stderr(), "skipped: COVE_TEST_SCHEMATHESIS names no Schemathesis");
        return;
    };
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
        effort.examples,
        "--max-time",
        effort.seconds,
        "--phases",
        effort.phases,
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
