//! The server as people run it: a process of its own, its command line, and clients with certificates.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on fails, like any test")]

mod client;
mod console;
mod fuzz;
mod matrix;
mod people;
mod place;
mod policies;
mod provider;
mod runner;
mod secrets;
mod sign_in;
mod strangers;
mod syncing;
mod watch;
mod workload;

use std::os::unix::fs::PermissionsExt as _;

use api::control::{Document, Enrolled, RunnerPhase, RunnerStatus};
use api::{ErrorBody, ProblemCode};
use axum::http::StatusCode;
use serde_json::{Value, json};

use client::Computer;
use place::Place;

const TEAM: &str = include_str!("../../../../examples/team/acme.yaml");

/// Another runner, and what is on it.
const OTHER: &str = "
kind: Runner
metadata: { name: other }
spec: { variant: shared }
---
kind: Environment
metadata: { name: shop-bob }
spec:
  desired_phase: running
  owner: bob
  runner: other
  source: { type: repository, url: 'https://github.com/example/shop' }
";

#[test]
fn a_team_is_declared_in_a_file_and_what_is_wrong_in_one_has_its_line() {
    let place = Place::new();
    let _server = place.serve();
    let team = place.file("team.yaml", TEAM);
    let said = place.ok(&["diff", "-f", &team]);
    assert!(said.contains("+ Project shop"), "{said}");
    assert!(place.ok(&["get", "organizations"]).contains("no organizations yet"), "a diff changes nothing");
    assert!(place.ok(&["apply", "-f", &team]).contains("Project shop: created"));
    assert!(!place.ok(&["apply", "-f", &team]).contains("created"));
    assert_eq!(place.ok(&["diff", "-f", &team]), "Nothing would change.\n");

    let one: Document = serde_json::from_str(&place.ok(&["get", "project", "shop", "-o", "json"])).unwrap();
    assert_eq!((one.metadata.name.as_str(), one.metadata.generation), ("shop", 1));
    for (before, after, code, word) in [
        ("members: [ann, bob]", "members: [ann, eve]", "E0503", "eve"),
        ("variant: shared", "variant: huge", "E0503", "huge"),
        ("title: The shop", "colour: red", "E0503", "red"),
        ("email: bob@example.com", "email: Ann@example.com", "E0503", "Ann@example.com"),
        ("subjects: [{ user: ann }]", "subjects: []", "E0506", ""),
    ] {
        let text = TEAM.replace(before, after);
        let at = text
            .lines()
            .zip(1..)
            .find_map(|(line, number)| Some((number, line.find(after)? + after.find(word)? + 1)));
        let (line, column) = at.unwrap();
        let said = place.fails(&["apply", "-f", &place.file("wrong.yaml", &text)]);
        let at = if word.is_empty() { String::new() } else { format!("wrong.yaml:{line}:{column}") };
        assert!(said.contains(code) && said.contains(&at), "{after}, {at}: {said}");
    }
    let said = place.fails(&["delete", "runner", "big-linux"]);
    assert!(said.contains("E0505") && said.contains("linux-large"), "{said}");
    place.ok(&["delete", "environment", "shop-ann"]);
    assert!(!place.ok(&["get", "environments"]).contains("shop-ann"), "no runner ever had it");
    assert!(place.ok(&["audit", "verify"]).contains("each as it was written"));
    assert!(place.fails(&["get", "boxes"]).contains("environment-classes"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_computer_comes_in_once_with_a_token_and_is_known_by_its_certificate_from_then_on() {
    let place = Place::new();
    let server = place.serve();
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    let (authority, token) = place.token("big-linux");

    let computer = Computer::new(server.port(), &authority);
    let refused = computer.post("/v1/enrol", &computer.enrolment("cove_enrol_guessed"), None).await;
    assert_eq!(problem(&refused), (StatusCode::UNAUTHORIZED, ProblemCode::EnrolmentRefused));
    let mut odd = computer.enrolment(&token);
    odd["recipient"] = json!("somebody");
    let refused = computer.post("/v1/enrol", &odd, None).await;
    assert_eq!(problem(&refused).0, StatusCode::BAD_REQUEST, "and the token still serves");
    let enrolled: Enrolled = ok(computer.post("/v1/enrol", &computer.enrolment(&token), None).await);
    assert_eq!(enrolled.name.as_str(), "big-linux");
    let again = computer.post("/v1/enrol", &computer.enrolment(&token), None).await;
    assert_eq!(problem(&again), (StatusCode::UNAUTHORIZED, ProblemCode::EnrolmentRefused));

    let shown: Document =
        serde_json::from_str(&place.ok(&["get", "runner", "big-linux", "-o", "json"])).unwrap();
    let status: RunnerStatus = serde_json::from_value(shown.status).unwrap();
    assert_eq!((status.phase, status.platform.as_deref()), (RunnerPhase::Active, Some("linux/amd64")));

    // Nobody without a certificate; a runner no more than it may; a certificate that was taken back not at all.
    let nobody = computer.get("/v1/organizations", None).await;
    assert_eq!(problem(&nobody), (StatusCode::UNAUTHORIZED, ProblemCode::NotSignedIn));
    place.ok(&["apply", "-f", &place.file("other.yaml", OTHER)]);
    let seen: Vec<Document> = ok(computer.get("/v1/organizations/acme/environments", Some(&enrolled)).await);
    assert_eq!(seen.iter().map(|one| one.metadata.name.as_str()).collect::<Vec<_>>(), ["shop-ann"]);
    for path in ["environments/shop-bob", "runners/other", "users/ann"] {
        let curious = computer.get(&format!("/v1/organizations/acme/{path}"), Some(&enrolled)).await;
        assert_eq!(problem(&curious), (StatusCode::FORBIDDEN, ProblemCode::NotAllowed), "{path}");
    }
    let said = place.ok(&["authz", "explain", "--runner", "big-linux", "get", "environment", "shop-bob"]);
    assert!(said.contains("may not get Environment shop-bob"), "{said}");
    let said = place.ok(&["authz", "explain", "--user", "ann", "delete", "project", "shop"]);
    assert!(said.contains("user ann may delete Project shop") && said.contains("owner"), "{said}");
    let said = place.ok(&["authz", "explain", "--user", "bob", "delete", "project", "shop"]);
    assert!(said.contains("may not") && said.contains("maintainer"), "{said}");
    assert!(place.ok(&["audit", "export"]).contains(r#""allowed":false"#));
    let mut asked = computer.enrolment("");
    asked.as_object_mut().unwrap().remove("token");
    let renewed: Enrolled = ok(computer.post("/v1/renew", &asked, Some(&enrolled)).await);
    assert_ne!(renewed.certificate, enrolled.certificate);
    place.ok(&["runner", "revoke", "big-linux"]);
    for certificate in [&enrolled, &renewed] {
        let late = computer.post("/v1/renew", &asked, Some(certificate)).await;
        assert_eq!(problem(&late), (StatusCode::UNAUTHORIZED, ProblemCode::CertificateRefused));
    }
    assert!(place.ok(&["audit", "verify"]).contains("each as it was written"));
    assert!(!place.ok(&["audit", "export"]).contains(&token), "no secret is in the log");
}

#[test]
fn what_was_acknowledged_is_there_after_kills_and_a_backup_takes_its_place() {
    let place = Place::new();
    place.ok_while(&place.serve(), &["apply", "-f", &place.file("team.yaml", TEAM)]);
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let server = place.serve();
        let writer = place.writer(round);
        // Not at the same instant each time.
        std::thread::sleep(std::time::Duration::from_millis(300 + 170 * round));
        // The second one is begun once the first was acknowledged.
        while round == 0 && !place.ok(&["get", "projects"]).contains("made-0-1 ") {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        server.kill();
        acknowledged.extend(writer.join().unwrap());
    }
    assert!(!acknowledged.is_empty(), "some were");
    let server = place.serve();
    let all = place.ok(&["get", "projects"]);
    for name in &acknowledged {
        assert!(all.lines().any(|line| line.starts_with(&format!("{name} "))), "{name} is lost:\n{all}");
    }
    assert!(place.ok(&["audit", "verify"]).contains("each as it was written"));

    let copy = place.path("copy.db");
    place.ok(&["backup", &copy]);
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(place.fails(&["backup", &copy]).contains("is there already"));
    let streamed = place.run(&["backup", "-"]);
    assert!(streamed.status.success() && streamed.stdout.starts_with(b"SQLite format 3\0"));
    place.ok(&["delete", "project", &acknowledged[0]]);
    let before: Document =
        serde_json::from_str(&place.ok(&["get", "project", "shop", "-o", "json"])).unwrap();
    assert!(place.fails(&["restore", &copy]).contains("runs on"), "not beneath a server");
    drop(server);
    place.ok(&["restore", &copy]);
    let server = place.serve();
    assert!(place.ok(&["get", "projects"]).contains(&acknowledged[0]));
    place.ok(&["delete", "project", &acknowledged[0]]);
    drop(server);
    assert!(place.fails_given(&["restore", "-"], "").contains("no backup"), "nor what a failed one left");
    place.ok_given(&["restore", "-"], &streamed.stdout);
    let _server = place.serve();
    assert!(place.ok(&["get", "projects"]).contains(&acknowledged[0]));
    place.ok(&["apply", "-f", &place.file("team.yaml", &TEAM.replace("title: The shop", "title: Our shop"))]);
    let after: Document = serde_json::from_str(&place.ok(&["get", "project", "shop", "-o", "json"])).unwrap();
    assert!(after.metadata.resource_version > before.metadata.resource_version, "versions never go back");
}

#[test]
fn changes_are_shown_as_they_come_and_those_of_a_pause_after_it() {
    let place = Place::new();
    let server = place.serve();
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    let table = place.lines(&["get", "projects", "--watch"]);
    assert!(table.next().starts_with("NAME"));
    assert!(table.next().starts_with("shop"));
    let one = place.lines(&["get", "project", "shop", "-w", "-o", "json"]);
    assert_eq!(document(&one.next())["spec"]["title"], "The shop");
    place.ok(&["apply", "-f", &place.file("team.yaml", &TEAM.replace("title: The shop", "title: Our shop"))]);
    assert!(table.next().contains("Our shop"));
    assert_eq!(document(&one.next())["spec"]["title"], "Our shop");

    drop(server);
    let _server = place.serve();
    let blog =
        "kind: Project\nmetadata: { name: blog }\nspec: { repository: { url: https://example.com/blog } }\n";
    place.ok(&["apply", "-f", &place.file("blog.yaml", blog)]);
    assert!(table.next().starts_with("blog"));
    place.ok(&["delete", "project", "blog"]);
    assert!(table.next().starts_with("blog  gone"));
}

fn document(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn ok<T: serde::de::DeserializeOwned>((status, body): (StatusCode, Value)) -> T {
    assert!(status.is_success(), "{status}: {body}");
    serde_json::from_value(body).unwrap()
}

fn problem((status, body): &(StatusCode, Value)) -> (StatusCode, ProblemCode) {
    let body: ErrorBody =
        serde_json::from_value(body.clone()).unwrap_or_else(|error| panic!("{error}: {body}"));
    (*status, body.problem.code)
}
