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

/// A team that has no environments yet.
fn people() -> &'static str {
    TEAM.split("---\nkind: Environment\n").next().unwrap()
}

/// A computer that joined, and what its team declared.
fn joined(place: &Place, server: &place::Server) {
    place.control_ok(&["apply", "-f", &place.file("team.yaml", people())]);
    let (authority, token) = place.token("big-linux");
    place.cove_ok(&["control", "join", &server.address(), "--authority", &authority], &token);
}

/// An environment of the computer: one that is stopped, since no machine is needed for what is said of it.
const DECLARED: &str = "kind: Environment
metadata: { name: declared }
spec:
  desired_phase: stopped
  project: shop
  owner: ann
  runner: big-linux
  class: linux-large
  source: { type: repository, url: https://git.example.com/acme/shop.git }
  idle: { stop_after: 1800 }
";

#[test]
fn both_sides_hear_of_each_others_edits_and_cross_ones_are_settled() {
    let place = Place::new();
    let server = place.serve();
    joined(&place, &server);
    place.until("connected", || place.cove_ok(&["control", "status"], "").contains("connected"));

    // Declared there: heard here. Made here: told there.
    place.control_ok(&["apply", "-f", &place.file("declared.yaml", DECLARED)]);
    place.until("the runner tells of it", || {
        let shown = place.environment("declared");
        shown["status"]["runner"] == "big-linux" && shown["status"]["phase"] == "stopped"
    });
    let folder = place.folder("work");
    place.cove_ok(&["up", &folder, "--no-wait"], "");
    place.until("it is told", || place.names().contains(&"work".to_owned()));
    let told = place.environment("work");
    assert_eq!(told["spec"]["source"]["path"], folder, "{told}");
    assert_eq!(told["spec"]["desired_phase"], "running");

    // An edit of either side, while both hear each other.
    place.cove_ok(&["stop", "work", "--no-wait"], "");
    place.until("it is stopped there", || place.environment("work")["spec"]["desired_phase"] == "stopped");
    place.edit("work", |spec| spec["idle"] = serde_json::json!({ "stop_after": 600 }));
    place.until("it is heard here", || place.here("work")["spec"]["idle"]["stop_after"] == 600);

    // Edits that do not know of each other: both are kept, one counts, and a person chooses.
    let address = server.address();
    server.kill();
    place.cove_ok(&["up", &folder, "--idle", "45m", "--no-wait"], "");
    place.cove_ok(&["daemon", "stop"], "");
    let server = place.serve_at(&address);
    place.edit("work", |spec| spec["idle"] = serde_json::json!({ "stop_after": 900 }));
    place.cove_ok(&["ls"], "");
    place.until("both are told", || {
        place.environment("work")["status"]["conflicts"]
            .as_array()
            .is_some_and(|conflicts| !conflicts.is_empty())
    });
    let conflict = place.environment("work")["status"]["conflicts"][0].clone();
    assert_eq!(conflict["field"], "idle", "{conflict}");
    assert_eq!(conflict["value"]["stop_after"], 2700, "who sits at the computer decides what runs there");
    assert_eq!(conflict["rivals"][0]["value"]["stop_after"], 900);
    let settles = "cove control settle work idle '{\"stop_after\":900}'";
    place.until("it is told here too", || place.cove_ok(&["control", "status"], "").contains(settles));
    place.cove_ok(&["control", "settle", "work", "idle", r#"{"stop_after":900}"#], "");
    place.until("it is settled everywhere", || {
        let shown = place.environment("work");
        shown["status"]["conflicts"].is_null() && shown["spec"]["idle"]["stop_after"] == 900
    });
    place.until("it is so here too", || place.here("work")["spec"]["idle"]["stop_after"] == 900);

    // Deleted on either side: gone on both.
    place.control_ok(&["delete", "environment", "declared"]);
    place.cove_ok(&["rm", "--yes", "work"], "");
    place.until("both are gone", || place.names().is_empty());
    place.control_ok(&["audit", "verify"]);
    drop(server);
}

#[test]
fn an_environment_is_opened_in_editors_that_policies_allow() {
    let place = Place::new();
    let server = place.serve();
    joined(&place, &server);
    let policy = "kind: Policy\nmetadata: { name: base }\nspec: { editors: [zed] }\n";
    place.control_ok(&["apply", "-f", &place.file("policy.yaml", policy)]);
    place.cove_ok(&["up", &place.folder("work"), "--no-wait"], "");
    place.until("its limits are here", || {
        place.here("work")["status"]["limits"]["editors"][0]["policy"] == "base"
    });
    let said = place.cove_fails(&["open", "work", "--editor", "code", "--print"], "");
    assert!(said.contains("E0507") && said.contains("policy base") && said.contains("zed"), "{said}");
    let said = place.cove_fails(&["open", "work", "--editor", "zed", "--print"], "");
    assert!(said.contains("E0006"), "it has no container, and that is all: {said}");
    drop(server);
}

#[test]
fn policies_hold_on_what_is_made_here_before_its_server_has_answered() {
    let place = Place::new();
    let server = place.serve();
    let declare = |spec: &str| {
        let policy = format!("kind: Policy\nmetadata: {{ name: base }}\nspec: {{ {spec} }}\n");
        place.control_ok(&["apply", "-f", &place.file("policy.yaml", &policy)]);
    };
    place.control_ok(&["apply", "-f", &place.file("team.yaml", people())]);
    declare("host_mounts: false");
    joined(&place, &server);
    place.until("it has told what it offers", || {
        place.control_ok(&["get", "runner", "big-linux", "-o", "json"]).contains("\"cpus\"")
    });
    let address = server.address();
    server.kill();
    let limits = |name: &str| place.here(name)["status"]["limits"].clone();
    let forbidden = serde_json::json!({ "value": false, "policies": ["base"] });
    place.cove_ok(&["up", &place.folder("first"), "--no-wait"], "");
    place.until("what it was told of none in particular holds", || {
        limits("first") == serde_json::json!({ "host_mounts": forbidden })
    });

    // What the server then says of one that was made here, it says of the next.
    place.cove_ok(&["daemon", "stop"], "");
    let server = place.serve_at(&address);
    declare("initialize_command: false, egress: ['*.example.com']");
    let egress = serde_json::json!([{ "policy": "base", "values": ["*.example.com"] }]);
    let changed = serde_json::json!({ "initialize_command": forbidden, "egress": egress });
    place.until("it has heard of another policy", || limits("first") == changed);
    server.kill();
    place.cove_ok(&["up", &place.folder("second"), "--no-wait"], "");
    place.until("that holds", || limits("second") == changed);
    place.cove_ok(&["control", "leave"], "");
    place.until("its own computer is its owner's again", || limits("second").is_null());
}

#[test]
fn a_policy_that_is_gone_holds_no_more_on_what_is_made_here() {
    let place = Place::new();
    let server = place.serve();
    let policy = "kind: Policy\nmetadata: { name: base }\nspec: { host_mounts: false }\n";
    place.control_ok(&["apply", "-f", &place.file("team.yaml", people())]);
    place.control_ok(&["apply", "-f", &place.file("policy.yaml", policy)]);
    joined(&place, &server);
    place.until("it has told what it offers, and heard of the policy", || {
        place.control_ok(&["get", "runner", "big-linux", "-o", "json"]).contains("\"cpus\"")
    });
    place.control_ok(&["delete", "policy", "base"]);
    // Nothing here is of no project: so nobody told this computer.
    place.cove_ok(&["up", &place.folder("first"), "--no-wait"], "");
    place.until("nothing is limited", || place.here("first")["status"]["limits"].is_null());
    drop(server);
}

#[test]
fn a_host_that_nobody_sits_at_joins_by_itself() {
    let place = Place::new();
    let server = place.serve();
    place.control_ok(&["apply", "-f", &place.file("team.yaml", people())]);
    let (authority, token) = place.token("big-linux");
    let file = place.private_file("token", &token);
    let _daemon =
        place.headless(&["--join", &server.address(), "--authority", &authority, "--token-file", &file]);
    place.until("it is a runner", || place.cove_ok(&["control", "status"], "").contains("connected"));
    place.until("what it offers is known", || {
        let runner = place.control_ok(&["get", "runner", "big-linux", "-o", "json"]);
        runner.contains("\"cpus\"") && runner.contains("active")
    });
    // Its classes are held against what it offers.
    let class = "kind: EnvironmentClass\nmetadata: { name: huge }\nspec: { runner: big-linux, configuration: { cpus: 100000 } }\n";
    let said = place.control_fails(&["apply", "-f", &place.file("class.yaml", class)]);
    assert!(said.contains("cpus") && said.contains("class.yaml:3:"), "{said}");
}

#[test]
fn either_side_may_be_lost_and_the_other_has_what_is_needed() {
    let place = Place::new();
    let server = place.serve();
    joined(&place, &server);
    place.control_ok(&["apply", "-f", &place.file("declared.yaml", DECLARED)]);
    place.until("it is heard of", || place.environment("declared")["status"]["runner"] == "big-linux");

    // The computer is lost. Another one comes in its place, by a token of its own, and hears of all that was declared.
    place.lose_computer();
    let (authority, token) = place.token("big-linux");
    place.cove_ok(&["control", "join", &server.address(), "--authority", &authority], &token);
    let folder = place.folder("work");
    place.cove_ok(&["up", &folder, "--no-wait"], "");
    place.until("both are known", || {
        let mut names = place.names();
        names.sort();
        names == ["declared", "work"]
    });
    place.until("the other tells of it", || place.environment("declared")["status"]["phase"] == "stopped");

    // The server is lost, with all that it knew. Another one hears of what there is from its runners.
    server.kill();
    place.lose_server();
    let server = place.serve();
    place.cove_ok(&["control", "leave"], "");
    joined(&place, &server);
    place.until("what is there is told again", || place.names().contains(&"work".to_owned()));
    assert_eq!(place.environment("work")["spec"]["source"]["path"], folder);
    drop(server);
}
