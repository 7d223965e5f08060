//! Whose secrets count, and who can open them.

use api::control::{EnvironmentSpec, SecretSpec, SecretUse};

use super::*;

/// Somebody's age recipients.
const OLD: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
const NEW: &str = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg";

/// A value that looks as if it was sealed.
fn looks_sealed() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode("age-encryption.org/v1\n-> X25519 and so on")
}

fn secret(called: &str, scope: &Value, sealed: &Value) -> Draft {
    let spec = json!({ "scope": scope, "used_as": { "variable": "KEY" }, "sealed": sealed });
    draft(Kind::Secret, called, spec)
}

fn sealed(runner: &str, recipient: &str) -> Value {
    json!({ "runner": runner, "recipient": recipient, "value": looks_sealed() })
}

impl World {
    async fn has_key(&self, runner: &str, key: &str) {
        let (runner, status) = (name(runner), json!({ "phase": "active", "recipient": key }));
        self.write(move |t| report(t, Timestamp::UNIX_EPOCH, Kind::Runner, &name("acme"), &runner, status))
            .await
            .unwrap();
    }

    /// Who lacks a secret, and who has it.
    async fn stands(&self, called: &str) -> (Value, Vec<String>) {
        let called = name(called);
        let found = self.database.read(move |t| t.resource(Kind::Secret, &name("acme"), &called));
        let found = found.await.unwrap().unwrap();
        let spec: SecretSpec = serde_json::from_value(found.spec).unwrap();
        let has = spec.sealed.iter().map(|one| one.runner.to_string()).collect();
        (found.status["missing"].clone(), has)
    }

    async fn sealed_to(&self, scope: Value) -> Vec<String> {
        let scope = serde_json::from_value(scope).unwrap();
        let found = self.write(move |t| recipients(t, &name("acme"), &scope)).await.unwrap();
        found.iter().map(|one| one.runner.to_string()).collect()
    }
}

#[test]
fn of_several_with_one_use_the_narrowest_counts() {
    let secrets = [
        ("a-of-all", json!("organization"), json!({ "variable": "KEY" })),
        ("b-of-all", json!("organization"), json!({ "variable": "KEY" })),
        ("file", json!("organization"), json!({ "file": "/KEY" })),
        ("of-shop", json!({ "project": "shop" }), json!({ "variable": "KEY" })),
        ("of-ann", json!({ "user": "ann" }), json!({ "variable": "KEY" })),
        ("of-bob", json!({ "user": "bob" }), json!({ "git": "example.com" })),
    ]
    .map(|(called, scope, used_as)| {
        let spec = json!({ "scope": scope, "used_as": used_as });
        (name(called), serde_json::from_value::<SecretSpec>(spec).unwrap())
    });
    let key = SecretUse::Variable("KEY".to_owned());
    for (project, owner, of_key, git) in [
        (None, None, "a-of-all", false),
        (Some("shop"), None, "of-shop", false),
        (Some("web"), Some("bob"), "a-of-all", true),
        (None, Some("ann"), "of-ann", false),
        (Some("shop"), Some("ann"), "of-ann", false),
        (Some("shop"), Some("bob"), "of-shop", true),
    ] {
        let mut spec = environment();
        (spec["project"], spec["owner"]) = (json!(project), json!(owner));
        let environment: EnvironmentSpec = serde_json::from_value(spec).unwrap();
        // In whichever order they come.
        for secrets in [secrets.iter().collect::<Vec<_>>(), secrets.iter().rev().collect()] {
            let got = secrets_for(&environment, secrets.into_iter().map(|(name, spec)| (name, spec)));
            assert_eq!(got[&key].0.as_str(), of_key, "{project:?} {owner:?}");
            assert_eq!(got.len(), 2 + usize::from(git), "{project:?} {owner:?}");
        }
    }
}

#[tokio::test]
async fn a_secret_is_sealed_to_where_its_environments_are_and_may_come_to() {
    let world = World::new().await;
    for (called, spec) in [
        ("mac-ann", json!({ "variant": "personal", "owner": "ann" })),
        ("other", json!({ "variant": "shared" })),
    ] {
        world.apply(draft(Kind::Runner, called, spec)).await.unwrap();
    }
    let web = |classes: Value| {
        draft(Kind::Project, "web", json!({ "repository": { "url": "u" }, "classes": classes }))
    };
    let of_web = || json!({ "project": "web" });
    for (classes, runners) in [
        (json!([]), vec!["big", "mac-ann", "other"]),
        (json!(["my_computer"]), vec!["mac-ann"]),
        (json!([{ "class": "large" }]), vec!["big"]),
    ] {
        world.apply(web(classes.clone())).await.unwrap();
        assert_eq!(world.sealed_to(of_web()).await, runners, "{classes}");
    }
    assert_eq!(world.sealed_to(json!({ "user": "ann" })).await, ["big", "mac-ann"]);
    assert_eq!(world.sealed_to(json!("organization")).await, ["big", "mac-ann", "other"]);
    let mut there = environment();
    for (field, value) in [("project", json!("web")), ("runner", json!("other")), ("class", Value::Null)] {
        there[field] = value;
    }
    world.apply(draft(Kind::Environment, "web-1", there)).await.unwrap();
    assert_eq!(world.sealed_to(of_web()).await, ["big", "other"], "one is there already");
}

#[tokio::test]
async fn what_cannot_be_opened_by_its_runner_is_not_kept() {
    let world = World::new().await;
    world.apply(draft(Kind::Runner, "other", json!({ "variant": "shared" }))).await.unwrap();
    world.has_key("big", OLD).await;
    let shop = json!({ "project": "shop" });
    let in_clear = json!({ "runner": "big", "recipient": OLD, "value": "hunter2" });
    for (sealed, field) in [
        (json!([sealed("gone", OLD)]), "sealed[0].runner"),
        (json!([sealed("big", OLD), sealed("other", OLD)]), "sealed[1].runner"),
        (json!([sealed("big", OLD), sealed("big", OLD)]), "sealed[1].runner"),
        (json!([sealed("big", NEW)]), "sealed[0].recipient"),
        (json!([in_clear]), "sealed[0].value"),
    ] {
        let problem = world.apply(secret("key", &shop, &sealed)).await.unwrap_err();
        assert_eq!(problem.code, ResourceInvalid);
        assert_eq!(problem.place.as_ref().unwrap().file, format!("Secret/key#spec.{field}"));
        assert!(!format!("{problem:?}").contains("hunter2"));
    }
    let all = json!("organization");
    let problem = world.apply(secret("key", &all, &json!([sealed("other", OLD)]))).await.unwrap_err();
    assert!(problem.causes[0].contains("no computer is there"), "{problem:?}");
    for (used_as, fits) in [
        (json!({ "variable": "A_1" }), true),
        (json!({ "variable": "1A" }), false),
        (json!({ "variable": "A=B" }), false),
        (json!({ "variable": "" }), false),
        (json!({ "file": "/run/secrets/a" }), true),
        (json!({ "file": "a" }), false),
        (json!({ "file": "/a/../b" }), false),
        (json!({ "git": "git.example.com:8443" }), true),
        (json!({ "registry": "https://example.com" }), false),
    ] {
        let spec = json!({ "scope": "organization", "used_as": used_as });
        let told = world.apply(draft(Kind::Secret, &format!("s{}", used_as.to_string().len()), spec)).await;
        assert_eq!(told.is_ok(), fits, "{used_as}");
    }
}

#[tokio::test]
async fn who_lacks_a_secret_is_known_after_each_change() {
    let world = World::new().await;
    let shop = json!({ "project": "shop" });
    world.apply(secret("key", &shop, &json!([]))).await.unwrap();
    assert_eq!(world.stands("key").await.0, json!([]), "no computer is there to lack it");
    world.has_key("big", OLD).await;
    assert_eq!(world.stands("key").await.0, json!(["big"]), "one came");
    let done = world.apply(secret("key", &shop, &json!([sealed("big", OLD)]))).await.unwrap();
    assert_eq!(done.document.status, json!({ "missing": [] }), "and has it now");
    world.has_key("big", NEW).await;
    assert_eq!(world.stands("key").await, (json!(["big"]), vec![]), "another one came in its place");
    world.apply(secret("key", &shop, &json!([sealed("big", NEW)]))).await.unwrap();

    world.apply(draft(Kind::Runner, "other", json!({ "variant": "shared" }))).await.unwrap();
    world.has_key("other", OLD).await;
    let mut moved = environment();
    (moved["runner"], moved["class"]) = (json!("other"), Value::Null);
    world.apply(draft(Kind::Environment, "shop-1", moved.clone())).await.unwrap();
    assert_eq!(world.stands("key").await, (json!(["other"]), vec!["big".to_owned()]), "it moved");
    moved["desired_phase"] = json!("deleted");
    world.apply(draft(Kind::Environment, "shop-1", moved)).await.unwrap();
    assert_eq!(world.stands("key").await.0, json!([]), "and goes");

    let Deleted::Going(going) = world.delete(Kind::Environment, "shop-1").await.unwrap() else { panic!() };
    let id = going.metadata.id;
    world.write(move |t| release(t, Timestamp::UNIX_EPOCH, &id, RUNNER_FINALIZER)).await.unwrap();
    world.apply(draft(Kind::Project, "shop", json!({ "repository": { "url": "u" } }))).await.unwrap();
    world.delete(Kind::EnvironmentClass, "large").await.unwrap();
    world.delete(Kind::Runner, "big").await.unwrap();
    assert_eq!(world.stands("key").await.1, [""; 0], "what was sealed to a runner goes with it");
    let version = world.version().await;
    world.write(|t| recount_secrets(t, Timestamp::UNIX_EPOCH, &name("acme"))).await.unwrap();
    assert_eq!(world.version().await, version, "what is so already changes nothing");
}
