//! People: by tokens that they have.

use api::ProblemCode::{NotAllowed, NotSignedIn, ResourceNotFound};
use api::control::{Document, Kind, Me, PersonalToken, TokenMade, Verb};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::Computer;
use super::place::Place;
use super::{TEAM, ok, problem};

/// Bob may look, and has environments of his own.
const ROLES: &str = "
kind: Role
metadata: { name: member }
spec:
  permissions: [{ verbs: [create, update, delete], kinds: [Environment] }, { verbs: [get, list] }]
  subjects: [{ user: bob }]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_known_by_a_token_and_may_no_more_than_they_and_it_may() {
    let place = Place::new();
    let server = place.serve();
    place.ok(&["apply", "-f", &place.file("team.yaml", &format!("{TEAM}---{ROLES}"))]);
    let browser = Computer::new(server.port(), server.authority());
    let ask = async |method: Method, path: &str, token: &str, body: Value| {
        browser.ask(method, path, &[("authorization", &format!("Bearer {token}"))], &body).await
    };
    let get = async |path: &str, token: &str| ask(Method::GET, path, token, Value::Null).await;

    let (ann, bob) = (place.personal("ann", &[]), place.personal("bob", &[]));
    assert!(place.fails(&["token", "create", "--title", "x", "--user", "eve"]).contains("E0504"));
    let me: Me = ok(get("/v1/me", &bob).await);
    assert_eq!((me.principal.to_string().as_str(), me.organization.unwrap().as_str()), ("user bob", "acme"));
    assert_eq!(me.permits[&Kind::Project], [Verb::Get, Verb::List]);
    let own: Vec<Document> = ok(get("/v1/organizations", &bob).await);
    assert_eq!(own.iter().map(|one| one.metadata.name.as_str()).collect::<Vec<_>>(), ["acme"]);
    assert_eq!(ok::<Vec<Document>>(get("/v1/organizations?after=acme", &bob).await), []);
    // Another organization is nobody's, by whatever address.
    let file =
        place.file("other.yaml", "kind: Organization\nmetadata: { name: other }\nspec: { title: Other }\n");
    place.ok(&["apply", "-f", &file]);
    for (method, path) in [
        (Method::GET, "/v1/organizations/acme/organizations/other"),
        (Method::DELETE, "/v1/organizations/acme/organizations/other"),
        (Method::GET, "/v1/organizations/other/organizations/other"),
        (Method::GET, "/v1/organizations/other/projects"),
    ] {
        let refused = ask(method.clone(), path, &ann, Value::Null).await;
        assert_eq!(problem(&refused), (StatusCode::FORBIDDEN, NotAllowed), "{method} {path}");
    }
    place.ok(&["delete", "organization", "other", "-O", "other"]);
    let project = "/v1/organizations/acme/projects/shop";
    ok::<Document>(get(project, &bob).await);
    let refused = ask(Method::DELETE, project, &bob, Value::Null).await;
    assert_eq!(problem(&refused), (StatusCode::FORBIDDEN, NotAllowed));
    for wrong in ["cove_pat_guessed", &format!("{bob}x"), "é"] {
        assert_eq!(problem(&get(project, wrong).await), (StatusCode::UNAUTHORIZED, NotSignedIn), "{wrong}");
    }

    // A token makes narrower ones, and a narrow one none that is wider or outlives it.
    let asked = |verbs: &[&str], lifetime: u64| json!({ "title": "ci", "scope": { "verbs": verbs }, "lifetime": lifetime });
    let narrow: TokenMade = ok(ask(Method::POST, "/v1/tokens", &ann, asked(&["get"], 600)).await);
    ok::<Document>(get(project, &narrow.token).await);
    let refused = ask(Method::DELETE, project, &narrow.token, Value::Null).await;
    assert_eq!(problem(&refused), (StatusCode::FORBIDDEN, NotAllowed), "ann may, the token may not");
    for (verbs, lifetime) in [(&["get", "list"][..], 300), (&[], 300), (&["get"], 3600)] {
        let refused = ask(Method::POST, "/v1/tokens", &narrow.token, asked(verbs, lifetime)).await;
        assert_eq!(problem(&refused), (StatusCode::FORBIDDEN, NotAllowed), "{verbs:?} {lifetime}");
    }
    for (title, lifetime) in [("", 600), ("a\nb", 600), ("ci", 0), ("ci", u64::MAX), ("ci", 1 << 40)] {
        let body = json!({ "title": title, "lifetime": lifetime });
        let refused = ask(Method::POST, "/v1/tokens", &ann, body).await;
        assert_eq!(problem(&refused).0, StatusCode::BAD_REQUEST, "{title:?} {lifetime}");
    }
    let seen: Vec<PersonalToken> = ok(get("/v1/tokens", &ann).await);
    assert_eq!(seen.len(), 2, "ann's own");
    assert!(seen.iter().all(|token| token.used_at.is_some() && token.user.as_str() == "ann"), "{seen:?}");

    // Taken back by whose it is, by itself, and by nobody else.
    let id = format!("/v1/tokens/{}", narrow.about.id);
    let wide = format!("/v1/tokens/{}", seen[0].id);
    assert_eq!(problem(&ask(Method::DELETE, &id, &bob, Value::Null).await).1, ResourceNotFound);
    assert_eq!(problem(&ask(Method::DELETE, &wide, &narrow.token, Value::Null).await).1, NotAllowed);
    assert_eq!(ask(Method::DELETE, &id, &narrow.token, Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(problem(&get(project, &narrow.token).await).1, NotSignedIn);

    // Whoever is suspended, or deleted and declared again, is nobody with the next request.
    let suspended = TEAM.replace("bob@example.com", "bob@example.com, suspended: true");
    place.ok(&["apply", "-f", &place.file("suspended.yaml", &suspended)]);
    assert_eq!(problem(&get("/v1/me", &bob).await), (StatusCode::UNAUTHORIZED, NotSignedIn));
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    ok::<Me>(get("/v1/me", &bob).await);
    let without = TEAM.replace("members: [ann, bob]", "members: [ann]");
    place.ok(&["apply", "-f", &place.file("without.yaml", &without)]);
    place.ok(&["apply", "-f", &place.file("roles.yaml", &ROLES.replace("user: bob", "user: ann"))]);
    place.ok(&["delete", "user", "bob"]);
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    assert_eq!(problem(&get("/v1/me", &bob).await), (StatusCode::UNAUTHORIZED, NotSignedIn));

    let log = place.ok(&["audit", "export"]);
    for token in [&ann, &bob, &narrow.token] {
        assert!(!log.contains(token.as_str()), "no secret is in the log");
    }
    assert!(log.contains(&format!("token {}, by token {}", narrow.about.id, seen[0].id)), "{log}");
    assert!(place.ok(&["audit", "verify"]).contains("each as it was written"));
}

#[test]
fn commands_of_a_person_elsewhere_go_to_the_server_that_they_name_and_to_no_other() {
    let place = Place::new();
    let server = place.serve();
    place.ok(&["apply", "-f", &place.file("team.yaml", TEAM)]);
    let (ann, address) = (place.personal("ann", &["--lifetime", "1h"]), server.address());
    let named = [("COVE_CONTROL_SERVER", address.as_str()), ("COVE_CONTROL_TOKEN", ann.as_str())];
    let (done, said) = place.elsewhere(&named, &["get", "projects"]);
    assert!(!done && said.contains("E0511") && said.contains("--authority"), "{said}");
    let other = "ab".repeat(32);
    let (done, said) = place.elsewhere(&named, &["get", "projects", "--authority", &other]);
    assert!(!done && said.contains("another authority"), "{said}");

    let pinned = [named[0], named[1], ("COVE_CONTROL_AUTHORITY", server.authority())];
    let (done, said) = place.elsewhere(&pinned, &["whoami"]);
    assert!(done && said.starts_with(&format!("user ann of acme at {address}, until ")), "{said}");
    let file = place.file("more.yaml", &TEAM.replace("title: The shop", "title: Our shop"));
    let (done, said) = place.elsewhere(&pinned, &["apply", "-f", &file]);
    assert!(done && said.contains("Project shop: changed"), "{said}");
    let (done, said) = place.elsewhere(&pinned, &["audit", "verify"]);
    assert!(done && said.contains("each as it was written"), "{said}");
    let (done, lines) = place.elsewhere(&pinned, &["audit", "export"]);
    assert!(done && lines.lines().all(|line| line.contains(r#""organization":"acme""#)), "{lines}");
    let (done, said) = place.elsewhere(&pinned, &["token", "ls"]);
    assert!(done && said.contains("a test") && said.contains("everything"), "{said}");

    let (done, said) = place.elsewhere(&[], &["get", "projects"]);
    assert!(!done && said.contains("cove-control login"), "{said}");
    let (done, said) = place.elsewhere(&named[..1], &["get", "projects"]);
    assert!(!done && said.contains("not signed in") && said.contains(&format!("login {address}")), "{said}");
}
