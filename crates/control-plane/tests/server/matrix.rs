//! Every verb on every kind, asked of a server that runs, against the file that says who may.

use std::collections::BTreeMap;

use api::control::{Decision, Document, Draft, DraftMetadata, Enrolled, Kind, Verb};
use api::{Name, ProblemCode};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::client::{Computer, Connection};
use super::place::Place;
use super::{ok, problem};

/// What the rules say: `role NAME`, `runner`, … by kind and verb.
const MATRIX: &str = include_str!("../../src/authz/tests/matrix.txt");

/// Ann's, and Bob's of the same. Eve administers.
const TEAM: &str = "
kind: Organization
metadata: { name: acme }
spec: { title: Acme }
---
{ kind: User, metadata: { name: ann }, spec: { email: ann@example.com } }
---
{ kind: User, metadata: { name: bob }, spec: { email: bob@example.com } }
---
{ kind: User, metadata: { name: eve }, spec: { email: eve@example.com } }
---
kind: Role
metadata: { name: eves }
spec: { permissions: [{}], subjects: [{ user: eve }] }
---
kind: Role
metadata: { name: anns }
spec: { permissions: [], subjects: [{ user: ann }] }
---
{ kind: Group, metadata: { name: anns }, spec: { members: [] } }
---
{ kind: Group, metadata: { name: bobs }, spec: { members: [] } }
---
{ kind: Policy, metadata: { name: anns }, spec: {} }
---
{ kind: Policy, metadata: { name: bobs }, spec: {} }
---
{ kind: Project, metadata: { name: anns }, spec: { repository: { url: u } } }
---
{ kind: Project, metadata: { name: bobs }, spec: { repository: { url: u } } }
";

/// A resource of a kind that is Ann's, or Bob's, as far as that can be.
fn spec(kind: Kind, whose: &str) -> Value {
    let owner = whose.trim_end_matches('s');
    match kind {
        Kind::Organization => json!({ "title": "Acme" }),
        Kind::User => json!({ "email": format!("{whose}@example.com") }),
        Kind::Group => json!({ "members": [] }),
        Kind::Role => json!({ "permissions": [] }),
        Kind::Policy => json!({}),
        Kind::Project => json!({ "repository": { "url": "u" } }),
        Kind::Runner => json!({ "variant": "personal", "owner": owner }),
        Kind::EnvironmentClass => json!({ "runner": whose }),
        Kind::Environment => json!({ "desired_phase": "stopped", "owner": owner, "runner": whose,
            "source": { "type": "repository", "url": "u" } }),
        Kind::Execution => json!({ "environment": whose, "automation": "tasks/a", "session": "1" }),
        Kind::Secret => json!({ "scope": { "user": owner }, "used_as": { "variable": "KEY" } }),
    }
}

/// The cells of one part of the file.
fn cells(title: &str) -> BTreeMap<(Kind, Verb), String> {
    let part = MATRIX.split("\n\n").find(|part| part.starts_with(title)).expect("the file has this part");
    let mut cells = BTreeMap::new();
    for line in part.lines().skip(1) {
        let kind: Kind = line[..20].trim().parse().unwrap();
        for (index, verb) in Verb::ALL.into_iter().enumerate() {
            let cell: String = line.chars().skip(20 + 8 * index).take(8).collect();
            cells.insert((kind, verb), cell.trim().to_owned());
        }
    }
    assert_eq!(cells.len(), Kind::ALL.len() * Verb::ALL.len(), "{part}");
    cells
}

/// Somebody who asks, by one connection: with a token, or with what the connection shows.
struct Asker {
    connection: Mutex<Connection>,
    token: Option<String>,
}

impl Asker {
    fn new(connection: Connection, token: Option<String>) -> Self {
        Self { connection: Mutex::new(connection), token }
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let path = format!("/v1/organizations/acme/{path}");
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.connection.lock().await.send(method, &path, &headers, body.into()).await;
        (answer.status(), serde_json::from_slice(answer.body()).unwrap_or(Value::Null))
    }

    /// Whether they may, by what happens: nothing is changed by it in any case.
    async fn may(&self, verb: Verb, kind: Kind, whose: &str) -> bool {
        let name = if kind == Kind::Organization { "acme" } else { whose };
        let one = format!("{}/{name}", kind.plural());
        let answer = match verb {
            Verb::Get => self.ask(Method::GET, &one, &Value::Null).await,
            Verb::List => self.ask(Method::GET, kind.plural(), &Value::Null).await,
            Verb::Create => {
                let new = format!("{whose}-new");
                // Whose a user is, nobody but its name says, and no two have one address.
                let spec = spec(kind, if kind == Kind::User { &new } else { whose });
                self.rehearse(kind, &new, spec).await
            }
            Verb::Update => self.rehearse(kind, name, spec(kind, whose)).await,
            // Of a version that there never was.
            Verb::Delete => {
                self.ask(Method::DELETE, &format!("{one}?resource_version=1"), &Value::Null).await
            }
            Verb::Report | Verb::Use => unreachable!("there is no route that does this alone"),
        };
        match answer.0 {
            StatusCode::FORBIDDEN => {
                let (_, code) = problem(&answer);
                assert_eq!(code, ProblemCode::NotAllowed, "{verb} {kind} {whose}: {}", answer.1);
                false
            }
            status if status.is_success() || (verb == Verb::Delete && status == StatusCode::CONFLICT) => true,
            _ => panic!("{verb} {kind} {whose}: {answer:?}"),
        }
    }

    async fn rehearse(&self, kind: Kind, called: &str, spec: Value) -> (StatusCode, Value) {
        let labels = [("changed".to_owned(), "yes".to_owned())].into();
        let metadata = DraftMetadata { labels, ..DraftMetadata::named(name(called)) };
        let draft = Draft { kind, metadata, spec };
        self.ask(Method::POST, "apply?dry_run=true", &json!([draft])).await
    }

    /// Whether somebody may, as the server explains it.
    async fn explained(&self, who: (&str, &str), verb: Verb, kind: Kind, called: &str) -> bool {
        let asked =
            json!({ "principal": who.0, "name": who.1, "verb": verb, "kind": kind, "resource": called });
        ok::<Decision>(self.ask(Method::POST, "explain", &asked).await).allowed
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Holds all answers against a part of the file. `who`: as whom the server is asked to explain what no route does alone.
async fn hold(title: &str, asker: &Asker, who: (&str, &str), eve: &Asker) {
    for ((kind, verb), cell) in cells(title) {
        for whose in ["anns", "bobs"] {
            let allowed = match verb {
                Verb::Report | Verb::Use => {
                    let called = if kind == Kind::Organization { "acme" } else { whose };
                    eve.explained(who, verb, kind, called).await
                }
                _ => asker.may(verb, kind, whose).await,
            };
            let expected = match cell.as_str() {
                // Another organization is made by the host alone.
                _ if (kind, verb) == (Kind::Organization, Verb::Create) => false,
                "all" => true,
                // Whoever may see some of a kind may list it, and is shown these.
                "own" | "on it" => whose == "anns" || verb == Verb::List,
                "." => false,
                other => panic!("`{other}` is no word of the file"),
            };
            assert_eq!(allowed, expected, "{title}: {verb} {kind} {whose}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_do_what_over_https_is_as_it_is_written() {
    let place = Place::new();
    let server = place.serve();
    let mut text = TEAM.to_owned();
    for kind in [Kind::Runner, Kind::EnvironmentClass, Kind::Environment, Kind::Execution, Kind::Secret] {
        for whose in ["anns", "bobs"] {
            text += "---\n";
            text += &json!({ "kind": kind, "metadata": { "name": whose }, "spec": spec(kind, whose) })
                .to_string();
            text += "\n";
        }
    }
    for user in ["anns", "bobs"] {
        text += "---\n";
        text += &json!({ "kind": "User", "metadata": { "name": user }, "spec": spec(Kind::User, user) })
            .to_string();
        text += "\n";
    }
    text += "---\n{ kind: Role, metadata: { name: bobs }, spec: { permissions: [] } }\n";
    place.ok(&["apply", "-f", &place.file("team.yaml", &text)]);
    let computer = Computer::new(server.port(), server.authority());
    let person = async |user| Asker::new(computer.kept(None).await, Some(place.personal(user, &[])));
    let (ann, eve) = (person("ann").await, person("eve").await);

    for role in ["maintainer", "member", "owner", "viewer"] {
        let found: Document = serde_json::from_str(&place.ok(&["get", "role", role, "-o", "json"])).unwrap();
        let mut given = found.spec;
        for subjects in [json!([{ "user": "ann" }]), json!([])] {
            given["subjects"] = subjects.clone();
            let draft = json!({ "kind": "Role", "metadata": { "name": role }, "spec": given });
            place.ok(&["apply", "-f", &place.file("role.json", &draft.to_string())]);
            if subjects != json!([]) {
                hold(&format!("role {role} "), &ann, ("user", "ann"), &eve).await;
            }
        }
    }
    hold("no role", &ann, ("user", "ann"), &eve).await;

    let (_, token) = place.token("anns");
    let enrolled: Enrolled = ok(computer.post("/v1/enrol", &computer.enrolment(&token), None).await);
    let runner = Asker::new(computer.kept(Some(&enrolled)).await, None);
    hold("runner ", &runner, ("runner", "anns"), &eve).await;

    place.ok(&["runner", "revoke", "anns"]);
    let nobody = Asker::new(computer.kept(None).await, None);
    for (asker, code) in [(&runner, ProblemCode::CertificateRefused), (&nobody, ProblemCode::NotSignedIn)] {
        for kind in Kind::ALL {
            let one = format!("{}/anns", kind.plural());
            for answer in [
                asker.ask(Method::GET, &one, &Value::Null).await,
                asker.ask(Method::GET, kind.plural(), &Value::Null).await,
                asker.rehearse(kind, "anns", spec(kind, "anns")).await,
                asker.ask(Method::DELETE, &one, &Value::Null).await,
            ] {
                assert_eq!(problem(&answer), (StatusCode::UNAUTHORIZED, code), "{kind}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_uses_or_gives_more_than_they_may() {
    let place = Place::new();
    let server = place.serve();
    let mut text = TEAM.replace("permissions: [], subjects", "own: true, permissions: PERMISSIONS, subjects");
    text = text.replace(
        "PERMISSIONS",
        "[{ verbs: [create, update], kinds: [Environment, Group, User] }, { verbs: [use], kinds: [Runner] }]",
    );
    for kind in [Kind::Runner, Kind::EnvironmentClass, Kind::Environment] {
        for whose in ["anns", "bobs"] {
            text += "---\n";
            text += &json!({ "kind": kind, "metadata": { "name": whose }, "spec": spec(kind, whose) })
                .to_string();
            text += "\n";
        }
    }
    text += "---\n{ kind: Role, metadata: { name: people }, spec: { subjects: [{ user: ann }], permissions: [{ verbs: [create, update], kinds: [Group, User] }] } }\n";
    text += "---\n{ kind: Role, metadata: { name: of-anns }, spec: { subjects: [{ group: anns }], permissions: [{}] } }\n";
    place.ok(&["apply", "-f", &place.file("team.yaml", &text)]);
    let computer = Computer::new(server.port(), server.authority());
    let ann = Asker::new(computer.kept(None).await, Some(place.personal("ann", &[])));

    let environment = |changes: Value| {
        let mut spec = spec(Kind::Environment, "anns");
        spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        spec
    };
    let member = |of: &str| json!({ "members": [of] });
    for (kind, called, spec, refused) in [
        (Kind::Environment, "new", environment(json!({})), None),
        (Kind::Environment, "new", environment(json!({ "owner": "bob" })), Some("create environments new")),
        (Kind::Environment, "new", environment(json!({ "owner": null })), Some("create environments new")),
        (Kind::Environment, "new", environment(json!({ "runner": "bobs" })), Some("use runners bobs")),
        (Kind::Environment, "new", environment(json!({ "project": "bobs" })), Some("use projects bobs")),
        (
            Kind::Environment,
            "new",
            environment(json!({ "class": "anns" })),
            Some("use environment-classes anns"),
        ),
        (Kind::Environment, "anns", environment(json!({ "desired_phase": "running" })), None),
        (Kind::Environment, "anns", environment(json!({ "owner": "bob" })), Some("update environments anns")),
        (Kind::Environment, "anns", environment(json!({ "runner": "bobs" })), Some("use runners bobs")),
        (Kind::Environment, "anns", environment(json!({ "project": "anns" })), Some("use projects anns")),
        (
            Kind::Environment,
            "anns",
            environment(json!({ "desired_phase": "deleted" })),
            Some("delete environments anns"),
        ),
        (
            Kind::Environment,
            "bobs",
            environment(json!({ "runner": "bobs" })),
            Some("update environments bobs"),
        ),
        (Kind::Group, "bobs", member("ann"), None),
        (Kind::Group, "anns", member("ann"), Some("update roles of-anns")),
        (Kind::User, "bob", json!({ "email": "ann+bob@example.com" }), None),
        (Kind::User, "eve", json!({ "email": "ann+eve@example.com" }), Some("update roles eves")),
        (
            Kind::User,
            "eve",
            json!({ "email": "eve@example.com", "suspended": true }),
            Some("update roles eves"),
        ),
        (Kind::User, "eve", json!({ "email": "eve@example.com", "title": "Eve" }), None),
    ] {
        let answer = ann.rehearse(kind, called, spec.clone()).await;
        let Some(refused) = refused else {
            assert!(answer.0.is_success(), "{kind} {called} {spec}: {answer:?}");
            continue;
        };
        assert_eq!(
            problem(&answer),
            (StatusCode::FORBIDDEN, ProblemCode::NotAllowed),
            "{kind} {called} {spec}"
        );
        let title = answer.1["problem"]["title"].as_str().unwrap_or_default();
        assert_eq!(title, format!("user ann may not {refused}"), "{answer:?}");
    }
}
