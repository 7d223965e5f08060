//! A computer and a team's control plane, each as its programs: `cove`, `coved`, `cove-control`.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on fails, like any test")]

mod place;

use place::Place;

const TEAM: &str = include_str!("../../examples/team/acme.yaml");

#[test]
fn a_computer_joins_a_team_works_without_its_server_and_leaves() {
    let place = Place::new();
    let server = place.serve();
    place.control_ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    let (authority, token) = place.token("big-linux");
    let address = server.address();
    assert!(place.cove_ok(&["control", "status"], "").contains("belongs to no control plane"));

    let other = "0".repeat(64);
    for (authority, token, code) in
        [(other.as_str(), token.as_str(), "E0511"), (authority.as_str(), "cove_enrol_guessed", "E0510")]
    {
        let said = place.cove_fails(&["control", "join", &address, "--authority", authority], token);
        assert!(said.contains(code), "{said}");
    }
    let said = place.cove_fails(&["control", "join", "http://localhost", "--authority", &authority], &token);
    assert!(said.contains("https://"), "{said}");
    assert!(place.cove_ok(&["control", "status"], "").contains("no control plane"), "nothing is half done");

    let said = place.cove_ok(&["control", "join", &address, "--authority", &authority], &token);
    assert!(said.contains("big-linux") && said.contains("acme"), "{said}");
    let runner = place.control_ok(&["get", "runner", "big-linux"]);
    assert!(runner.contains("active"), "{runner}");
    let said = place.cove_fails(&["control", "join", &address, "--authority", &authority], &token);
    assert!(said.contains("E0004") && said.contains("cove control leave"), "{said}");

    server.kill();
    assert!(place.cove_ok(&["control", "status"], "").contains("big-linux"), "it is a runner all the same");
    place.cove_ok(&["ls"], "");
    place.cove_ok(&["control", "leave"], "");
    let said = place.cove_fails(&["control", "join", &address, "--authority", &authority], &token);
    assert!(said.contains("E0512"), "{said}");
    assert!(!place.all_that_is_kept().contains(&token), "the token is nowhere on the computer");
}
